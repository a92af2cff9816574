// Options of `ringshift run`: every spelling, and what it sets in the MachineConfig.
// Owns: nothing. Long options with key=value sub-options; the usual short spellings are translated
// first. Called by: command_line. See docs/usage.md.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "monitor/machine.h"

namespace ringshift {

enum class StatsFormat : uint8_t { None, Text, Json };

struct RunOptions {
  MachineConfig machine;
  bool no_reboot = false;
  bool dump_screen = false;
  StatsFormat stats = StatsFormat::None;
  // As typed; finish_run_options parses them.
  std::string memory = "128M";
  std::string engine = "translate";
  std::string serial = "console";
  std::string stats_text;
  std::vector<std::string> modules;
  std::vector<std::string> cpu;
  std::vector<std::string> translator;
  bool nographic = false;
};

void add_run_options(CLI::App& command, RunOptions* options);
// False with one line in *problem for a value that makes no sense.
[[nodiscard]] bool finish_run_options(RunOptions* options, std::string* problem);

// -kernel, -initrd, -append, -m, -nographic, -serial, -no-reboot as other emulators spell them; a
// command line that begins with an option means `run`.
[[nodiscard]] std::vector<std::string> modern_spelling(std::vector<std::string> arguments);

// "64K", "256M", "1G", "4096" (bytes; MiB when `megabytes` and no suffix). False if it is none.
[[nodiscard]] bool parse_size(const std::string& text, uint64_t unit_without_suffix,
                              uint64_t* bytes);

}  // namespace ringshift
