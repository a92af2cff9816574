#include "monitor/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "monitor/command/doctor.h"
#include "monitor/command/options.h"
#include "monitor/command/run_sandbox.h"
#include "monitor/command/statistics.h"
#include "monitor/command/translate_command.h"
#include "monitor/debug/debugger.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/host_clock.h"
#include "monitor/host/host_limits.h"
#include "monitor/host/host_signals.h"
#include "monitor/lab/lab_command.h"
#include "monitor/machine/machine.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// Everything a command line can say. The commands' options point into it.
struct Arguments {
  RunOptions run;
  TranslateOptions translate;
  bool doctor_json = false;
  lab::LabCommand lab;
};

int fail(std::string message) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

// The exit code: a full disk is not to pass for success.
int print(const std::string& text) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return kExitPowerOff;
  std::fprintf(stderr, "ringshift: cannot write: %s\n", std::strerror(errno));
  return kExitHost;
}

// Where the statistics go; standard error is not closed.
struct CloseUnlessStandard {
  void operator()(std::FILE* file) const {
    if (file != stderr) std::fclose(file);
  }
};
using ReportFile = std::unique_ptr<std::FILE, CloseUnlessStandard>;

ReportFile open_report(const RunOptions& options) {
  if (options.stats_path.empty()) return ReportFile(stderr);
  return ReportFile(std::fopen(options.stats_path.c_str(), "we"));
}

// What the statistics need of the host, from before it is given up.
struct RunMeter {
  Nanoseconds started = HostClock::monotonic();
  MemoryCount memory;
  ConfinementOutcome confinement;
};

// False: a file cannot take them. Whoever closes standard error does not want them.
bool print_stats(const RunOptions& options, Machine& machine, const RunMeter& meter,
                 std::FILE* file) {
  if (options.stats == StatsFormat::None) return true;
  const double wall = static_cast<double>(HostClock::monotonic() - meter.started) / 1e9;
  ProcessFigures figures = measure_process(wall, machine.memory().descriptor(), meter.memory);
  figures.sandbox_filter = meter.confinement.system_calls ? 1 : 0;
  figures.sandbox_landlock = meter.confinement.landlock;
  const StatisticsDetail detail =
      options.stats == StatsFormat::AllText ? StatisticsDetail::All : StatisticsDetail::NonZero;
  const std::string text = options.stats == StatsFormat::Json
                               ? statistics_as_json(counters(), figures)
                               : statistics_as_text(counters(), figures, detail);
  if ((std::fputs(text.c_str(), file) >= 0 && std::fflush(file) == 0) || file == stderr)
    return true;
  std::fprintf(stderr, "ringshift: --stats-file: cannot write %s: %s\n", options.stats_path.c_str(),
               std::strerror(errno));
  return false;
}

// A file has the newest statistics only; what is printed elsewhere is printed again.
void begin_report_again(const RunOptions& options, std::FILE* file) {
  if (options.stats_path.empty()) return;
  std::rewind(file);
  (void)!ftruncate(fileno(file), 0);
}

int exit_code_of(const MachineOutcome& outcome) {
  switch (outcome.reason) {
    case StopReason::Running:
    case StopReason::Halted:
      return kExitPowerOff;
    case StopReason::Reset:
      return kExitReset;
    case StopReason::DebugExit:
      return (outcome.debug_exit_value << 1) | 1;
    case StopReason::Quit:
      return kExitQuit;
    case StopReason::HostFailure:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitHost;
    case StopReason::Unimplemented:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitUnimplemented;
  }
  return kExitInternal;
}

// False, with a line: the picture cannot be written.
bool show_screen(const RunOptions& options, Machine& machine) {
  std::string error;
  if (options.dump_screen) {
    std::fprintf(stderr, "%s", machine.board().vga().dump_text().c_str());
  }
  if (options.screendump.empty() || write_png(machine.screen(), options.screendump, &error)) {
    return true;
  }
  std::fprintf(stderr, "ringshift: %s\n", error.c_str());
  return false;
}

// The guest's run as a whole: what a file should have and has not is the host's failure, but for
// reasons that are worse.
int final_exit_code(const MachineOutcome& outcome, bool all_written) {
  const int exit_code = exit_code_of(outcome);
  const bool is_worse = exit_code == kExitUnimplemented || exit_code == kExitInternal;
  return all_written || is_worse ? exit_code : kExitHost;
}

// Why there is no machine: the host or the image, unless somebody has asked for the end meanwhile.
int fail_to_start(const std::string& problem) {
  return HostSignals::termination_requested() ? kExitQuit : fail(problem);
}

int run_machine(const RunOptions& options, RunSandbox* sandbox, const CommandLineHooks& hooks) {
  RunMeter meter;
  const ReportFile report = open_report(options);
  if (report == nullptr) {
    return fail("--stats-file: cannot write " + options.stats_path + ": " + std::strerror(errno));
  }
  std::string problem;
  const std::unique_ptr<debug::Debugger> debugger =
      debug::Debugger::create(options.debug, &problem);
  if (debugger == nullptr) return fail(problem);
  MachineConfig config = options.machine;
  debugger->put_into(&config);
  config.on_report = [&](Machine& machine) {
    begin_report_again(options, report.get());
    (void)print_stats(options, machine, meter, report.get());
  };
  MachineFoundation foundation;
  if (!Machine::lay_foundation(config, &foundation, &problem) ||
      !sandbox->close(&meter.confinement, &problem)) {
    return fail_to_start(problem);
  }
  config.foundation = &foundation;
  const HostSignals::Hold hold;  // from one life of the guest to the next
  bool all_written = true;
  for (bool is_first = true;; is_first = false) {
    std::string error;
    if (!is_first && !foundation.memory->clear()) return fail("guest RAM cannot be emptied");
    const std::unique_ptr<Machine> machine = Machine::create(config, &error);
    if (machine == nullptr) return fail_to_start(error);
    if (hooks.on_machine) hooks.on_machine(*machine);
    if (!debugger->attach(*machine, &error)) return fail(error);
    note_guest_runs();
    MachineOutcome outcome = machine->run();
    debugger->detach_machine();
    all_written = all_written && !outcome.lost_output;
    if (outcome.reason == StopReason::Reset && HostSignals::termination_requested()) {
      outcome.reason = StopReason::Quit;
    }
    if (outcome.reason == StopReason::Reset && !options.no_reboot) {
      config.keys.clear();  // typed once
      continue;
    }
    all_written = show_screen(options, *machine) && all_written;
    begin_report_again(options, report.get());
    all_written = print_stats(options, *machine, meter, report.get()) && all_written;
    const int exit_code = final_exit_code(outcome, all_written);
    debugger->report_end(static_cast<uint8_t>(exit_code));
    return exit_code;
  }
}

int run_command(RunOptions* options, const CommandLineHooks& hooks) {
  std::string problem;
  RunSandbox sandbox;
  if (!finish_run_options(options, &problem) || !sandbox.prepare(*options, &problem)) {
    return fail(problem);
  }
  if (!open_media(options->media, &options->machine.media, &problem)) return fail(problem);
  return run_machine(*options, &sandbox, hooks);
}

int translate_command(TranslateOptions* options) {
  std::string problem;
  std::string text;
  if (!finish_translate_options(options, &problem)) return fail(problem);
  if (!run_translate(*options, &text, &problem)) return fail(problem);
  return print(text);
}

int doctor_command(bool json) {
  const std::vector<Finding> findings = examine(collect_host_facts());
  const int printed = print(json ? findings_as_json(findings) : findings_as_text(findings));
  return is_usable(findings) ? printed : kExitUsage;
}

constexpr char kExitCodes[] =
    "Exit codes: 0 power-off (HLT with interrupts off), 2 bad command line, image or host,\n"
    "4 the guest used something not implemented, 6 reset under --no-reboot, 8 Ctrl-A x or "
    "SIGTERM, 10 the host failed or an output file could not be written,\n"
    "134 internal error; odd: the guest wrote v to the debug-exit port 0xf4, (v << 1) | 1.\n";

constexpr char kRunExamples[] =
    "Keys on the console: Ctrl-A x quits, Ctrl-A h helps, Ctrl-A a sends Ctrl-A.\n"
    "Examples:\n"
    "  ringshift run --kernel bzImage --initrd root.cpio.gz --append console=ttyS0\n"
    "  ringshift run --kernel kernel.elf --module 'disk.img rw' -m 64M --stats\n";

constexpr char kTranslateExamples[] =
    "Examples:\n"
    "  ringshift translate --kernel vmlinuz --blocks 20\n"
    "  ringshift translate --raw loop.bin --base 0x8048000 --ring 3\n";

void describe(CLI::App* app, Arguments* arguments) {
  app->set_version_flag("--version", std::string("ringshift ") + kVersion);
  app->require_subcommand(0, 1);  // we say it better
  app->get_formatter()->column_width(34);
  app->footer(std::string("A command line that begins with an option means run.\n") + kExitCodes);
  CLI::App* run = app->add_subcommand("run", "boot a guest");
  add_run_options(*run, &arguments->run);
  run->footer(std::string(kRunExamples) + kExitCodes);
  CLI::App* translate =
      app->add_subcommand("translate", "show what code of a guest is translated to; run nothing");
  add_translate_options(*translate, &arguments->translate);
  translate->footer(kTranslateExamples);
  CLI::App* doctor =
      app->add_subcommand("doctor", "say what this host offers, and whether guests can run");
  doctor->add_flag("--json", arguments->doctor_json, "print one JSON object");
  doctor->footer("Exit codes: 0 everything needed is there, 2 something needed is missing.\n");
  arguments->lab.describe(*app);
}

}  // namespace

int run_command_line(int argc, char** argv, const CommandLineHooks& hooks) {
  prepare_for_limits();
  CLI::App app{"Ringshift: unprivileged binary-translating virtual machine monitor for IA-32",
               "ringshift"};
  Arguments arguments;
  describe(&app, &arguments);
  std::vector<std::string> words = modern_spelling({argv + 1, argv + argc});
  std::reverse(words.begin(), words.end());  // CLI11 takes them last first
  try {
    app.parse(words);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + " (see ringshift --help)");
  }
  if (app.get_subcommands().empty()) {
    return fail("needs a command: run, translate, doctor or lab (see ringshift --help)");
  }
  if (app.got_subcommand("translate")) return translate_command(&arguments.translate);
  if (app.got_subcommand("lab")) return arguments.lab.run();
  if (app.got_subcommand("doctor")) return doctor_command(arguments.doctor_json);
  return run_command(&arguments.run, hooks);
}

}  // namespace ringshift
