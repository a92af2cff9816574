#include "monitor/command_line.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/command/examples.h"
#include "monitor/command/lasting/clone_command.h"
#include "monitor/command/lasting/end_state.h"
#include "monitor/command/lasting/save_options.h"
#include "monitor/command/manual/describe_command.h"
#include "monitor/command/options/options.h"
#include "monitor/command/qemu/spelling.h"
#include "monitor/command/remote_screens.h"
#include "monitor/command/reports/doctor.h"
#include "monitor/command/reports/exit_code.h"
#include "monitor/command/reports/run_report.h"
#include "monitor/command/run_surroundings.h"
#include "monitor/command/test_command.h"
#include "monitor/command/translate_command.h"
#include "monitor/control/control_server.h"
#include "monitor/debug/debugger.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/sandbox/host_limits.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/lab/lab_command.h"
#include "monitor/machine/machine.h"
#include "monitor/manager/manager_command.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// Everything a command line can say. The commands' options point into it.
struct Arguments {
  RunOptions run;
  TranslateOptions translate;
  bool doctor_json = false;
  lab::LabCommand lab;
  manager::ManagerCommand manager;
  TestOptions test;       // for its help; its words are taken before
  std::string described;  // the form of describe
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

// Why there is no machine: the host or the image, unless somebody has asked for the end meanwhile.
int fail_to_start(const std::string& problem) {
  return HostSignals::termination_requested() ? kExitQuit : fail(problem);
}

// The values that a run is given besides its options.
struct RunContext {
  const ProgramVersion& version;
  const CommandLineHooks& hooks;
};

int run_machine(const RunOptions& options, RunSurroundings* around, const RunContext& context) {
  RunMeter meter;
  if (!options.machine.save.path.empty()) HostSignals::expect_save_requests();
  const ReportFile report = open_report(options);
  if (report == nullptr) {
    return fail("--stats-file: cannot write " + options.stats_path + ": " + std::strerror(errno));
  }
  std::string problem;
  debug::DebugRequest request = options.debug;
  request.version = context.version.number;
  const std::unique_ptr<debug::Debugger> debugger = debug::Debugger::create(request, &problem);
  if (debugger == nullptr) return fail(problem);
  const std::unique_ptr<RemoteScreens> screens =
      RemoteScreens::create(options.display_request, !options.machine.save.path.empty(), &problem);
  if (screens == nullptr) return fail(problem);
  const std::unique_ptr<control::ControlServer> server = control::ControlServer::create(
      options.control.requests, context.version.number, *debugger, &problem);
  if (server == nullptr) return fail(problem);
  MachineConfig config = options.machine;
  debugger->put_into(&config);
  server->put_into(&config);
  screens->put_into(&config);
  config.on_report = [&](Machine& machine) {
    begin_report_again(options, report.get());
    (void)print_stats(options, machine, meter, report.get());
  };
  config.figures = [&](Machine& machine) {
    return statistics_as_json(counters(), measure(machine, meter));
  };
  MachineFoundation foundation;
  if (!Machine::lay_foundation(config, &foundation, &problem) ||
      !around->sandbox.close(&meter.confinement, &problem)) {
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
    if (context.hooks.on_machine) context.hooks.on_machine(*machine);
    if (!debugger->attach(*machine, &error) || !server->attach(*machine, &error) ||
        !screens->attach(*machine, &error)) {
      return fail(error);
    }
    if (machine->stands_on_arrival()) debugger->hold();
    note_guest_runs();
    around->daemon.note_ready();
    if (is_first) meter.guest_began = HostClock::monotonic();
    MachineOutcome outcome = machine->run();
    server->detach_machine();
    debugger->detach_machine();
    screens->detach();
    all_written = all_written && !outcome.lost_output;
    if (outcome.reason == StopReason::Reset && HostSignals::termination_requested()) {
      outcome.reason = StopReason::Quit;
    }
    if (outcome.reason == StopReason::Reset && !options.no_reboot) {
      config.keys.clear();  // typed once
      config.resume_path.clear();
      config.incoming = nullptr;
      config.watchdog_has_fired = machine->config().watchdog_has_fired;
      config.media = machine->config().media;  // a CD-ROM that has been put in stays there
      continue;
    }
    all_written = leave_end_state(options, outcome, *machine) && all_written;
    begin_report_again(options, report.get());
    all_written = print_stats(options, *machine, meter, report.get()) && all_written;
    server->report_end(outcome);
    const int exit_code = final_exit_code(outcome, all_written);
    debugger->report_end(static_cast<uint8_t>(exit_code));
    return exit_code;
  }
}

int run_command(RunOptions* options, const RunContext& context) {
  std::string problem;
  RunSurroundings around;
  if (!finish_run_options(options, &problem)) return fail(problem);
  if (options->daemonize) {
    int exit_code = 0;
    const Daemon::Side side = around.daemon.start(&exit_code, &problem);
    if (side == Daemon::Side::Parent) return exit_code;
    if (side == Daemon::Side::Failed) return fail(problem);
  }
  if (!around.open(options, &problem)) return fail(problem);
  const int exit_code = run_machine(*options, &around, context);
  return around.replica.finish(around.tape.finish(exit_code));
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

void describe(CLI::App* app, Arguments* arguments, const ProgramVersion& version) {
  app->set_version_flag(
      "--version", std::string("ringshift ") + version.number + " (commit " + version.commit + ")");
  app->require_subcommand(0, 1);  // we say it better
  app->get_formatter()->column_width(34);
  app->footer(std::string("A command line that begins with an option means run.\n") + kExitCodes);
  CLI::App* run = app->add_subcommand("run", "boot a guest");
  add_run_options(*run, &arguments->run);
  run->footer(std::string(kRunExamples) + kExitCodes);
  app->add_subcommand("replay",
                      "run again what --record has kept: replay FOLDER [--until EVENT]\n"
                      "[--verify] [OPTION OF RUN...]");
  app->add_subcommand("backup",
                      "follow a machine that was run with --replicate-to, and take over when it\n"
                      "dies: backup WHERE [OPTION OF RUN...]");
  app->add_subcommand("resume", "go on with a saved machine: resume FILE [OPTION OF RUN...]");
  app->add_subcommand("clone",
                      "a second machine as one that runs is now: clone QMP-SOCKET [--freeze-disks] "
                      "[OPTION OF RUN...]");
  CLI::App* translate =
      app->add_subcommand("translate", "show what code of a guest is translated to; run nothing");
  add_translate_options(*translate, &arguments->translate);
  translate->footer(kTranslateExamples);
  CLI::App* doctor =
      app->add_subcommand("doctor", "say what this host offers, and whether guests can run");
  doctor->add_flag("--json", arguments->doctor_json, "print one JSON object");
  doctor->footer("Exit codes: 0 everything needed is there, 2 something needed is missing.\n");
  describe_test(*app, &arguments->test);
  arguments->lab.describe(*app);
  arguments->manager.describe(*app);
  manual::add_describe_command(*app, &arguments->described);
}

// Words that a saved machine was started with come before those that it is resumed with.
void let_later_words_win(CLI::App* run) {
  for (CLI::Option* option : run->get_options()) {
    if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw) option->take_last();
  }
}

}  // namespace

int run_command_line(int argc, char** argv, const ProgramVersion& version,
                     const CommandLineHooks& hooks) {
  (void)program_began();
  prepare_for_limits();
  CLI::App app{"Ringshift: unprivileged binary-translating virtual machine monitor for IA-32",
               "ringshift"};
  Arguments arguments;
  describe(&app, &arguments, version);
  const CLI::App* run = app.get_subcommand("run");
  const auto takes_value = [run](const std::string& name) -> std::optional<bool> {
    const CLI::Option* option = run->get_option_no_throw(name);
    if (name == "--until") return true;  // of `replay`
    if (option == nullptr) return std::nullopt;
    return option->get_items_expected_max() > 0;
  };
  const std::vector<std::string> typed(argv + 1, argv + argc);
  if (is_test_line(typed)) return run_test_command(typed);
  if (manager::is_keeper_line(typed)) return manager::run_keeper(typed);
  SpelledLine line = spell(typed, takes_value);
  if (!line.problem.empty()) return fail(line.problem);
  if (!line.note.empty()) std::fprintf(stderr, "ringshift: %s\n", line.note.c_str());
  std::vector<std::string> words = std::move(line.words);
  std::string problem;
  MachineConfig& machine = arguments.run.machine;
  const bool asks_for_help = words.size() > 1 && (words[1] == "--help" || words[1] == "-h");
  if (!words.empty() && words[0] == "clone" && !asks_for_help && !cloned_words(&words, &problem)) {
    return fail(problem);
  }
  if (!words.empty() && words[0] == "resume" && !asks_for_help) {
    ResumedFiles files;
    if (!resumed_words(&words, &files, &problem)) return fail(problem);
    machine.resume_path = files.path;
    machine.resume_descriptors = files.descriptors;
  }
  if (!words.empty() && words[0] == "replay" && !asks_for_help &&
      !replayed_words(&words, &arguments.run.replay, &problem)) {
    return fail(problem);
  }
  if (!words.empty() && words[0] == "backup" && !asks_for_help &&
      !backed_up_words(&words, &arguments.run.replica, &arguments.run.replay, &problem)) {
    return fail(problem);
  }
  if (!machine.resume_path.empty() || !arguments.run.replay.folder.empty() ||
      arguments.run.replica.from != nullptr)
    let_later_words_win(app.get_subcommand("run"));
  machine.save.words = words_to_keep(words);
  std::reverse(words.begin(), words.end());  // CLI11 takes them last first
  try {
    app.parse(words);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + " (see ringshift --help)");
  }
  if (app.get_subcommands().empty()) {
    return fail(
        "needs a command: run, resume, clone, replay, backup, test, up, translate, doctor or lab "
        "(see ringshift --help)");
  }
  if (app.got_subcommand("translate")) return translate_command(&arguments.translate);
  if (app.got_subcommand("lab")) return arguments.lab.run();
  if (arguments.manager.was_given()) return arguments.manager.run();
  if (app.got_subcommand("doctor")) return doctor_command(arguments.doctor_json);
  if (app.got_subcommand("describe")) {
    return print(manual::description(app, arguments.described, version.number));
  }
  return run_command(&arguments.run, {version, hooks});
}

}  // namespace ringshift
