#include "monitor/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "monitor/machine.h"
#include "monitor/options.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

int fail(const std::string& message) {
  std::fprintf(stderr, "ringshift: %s\n", message.c_str());
  return kExitUsage;
}

void print_stats(StatsFormat format) {
  if (format == StatsFormat::None) return;
  if (format == StatsFormat::Json) {
    nlohmann::ordered_json out;
    for_each_counter(counters(), [&out](std::string_view name, uint64_t value) {
      out[std::string(name)] = value;
    });
    std::fprintf(stderr, "%s\n", out.dump(2).c_str());
    return;
  }
  for_each_counter(counters(), [](std::string_view name, uint64_t value) {
    std::fprintf(stderr, "%-36.*s %14llu\n", static_cast<int>(name.size()), name.data(),
                 static_cast<unsigned long long>(value));
  });
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
    case StopReason::Unimplemented:
      std::fprintf(stderr, "ringshift: %s\n", outcome.message.c_str());
      return kExitUnimplemented;
  }
  return kExitInternal;
}

int run_machine(const RunOptions& options) {
  while (true) {
    std::string error;
    const std::unique_ptr<Machine> machine = Machine::create(options.machine, &error);
    if (machine == nullptr) return fail(error);
    const MachineOutcome outcome = machine->run();
    if (outcome.reason == StopReason::Reset && !options.no_reboot) continue;
    if (options.dump_screen) {
      std::fprintf(stderr, "%s", machine->board().vga().dump_text().c_str());
    }
    print_stats(options.stats);
    return exit_code_of(outcome);
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app{"Ringshift: unprivileged binary-translating virtual machine monitor for IA-32"};
  app.require_subcommand(1);
  RunOptions run;
  CLI::App* run_command = app.add_subcommand("run", "boot a guest");
  add_run_options(*run_command, &run);
  std::vector<std::string> arguments = modern_spelling({argv + 1, argv + argc});
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
  try {
    app.parse(arguments);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(error.what());
  }
  std::string problem;
  if (!finish_run_options(&run, &problem)) return fail(problem);
  return run_machine(run);
}

}  // namespace ringshift
