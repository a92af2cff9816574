// Options of every command: each spelling, and its field in the MachineConfig. Long options with
// key=value sub-options; the usual short spellings are translated first. See docs/usage.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "monitor/command/lasting/control_options.h"
#include "monitor/command/lasting/migration_options.h"
#include "monitor/command/lasting/replica_options.h"
#include "monitor/command/lasting/tape_options.h"
#include "monitor/command/options/display_options.h"
#include "monitor/command/resource_limits.h"
#include "monitor/debug/debug_request.h"
#include "monitor/host/sandbox/confinement.h"
#include "monitor/machine/machine.h"
#include "monitor/share/share_request.h"

namespace CLI {
class App;
}

namespace ringshift {

enum class StatsFormat : uint8_t { None, Text, AllText, Json };

struct RunOptions {
  MachineConfig machine;
  MediaRequest media;
  bool no_reboot = false;
  Sandbox sandbox = Sandbox::On;
  bool dump_screen = false;
  StatsFormat stats = StatsFormat::None;
  // As typed; finish_run_options parses them.
  std::string memory = "128M";
  std::string engine = "translate";
  std::string user = "auto";
  std::string shadow = "auto";
  std::string paravirt = "none";
  std::string limit;  // empty: none
  ResourceLimits limits;
  std::string serial;  // empty: the console, or nowhere in the background
  std::string second_serial = "none";
  std::string debugcon;  // empty: with the serial port
  std::string rtc = "utc";
  std::string clock;   // empty: host
  std::string time;    // empty: what --clock says
  std::string record;  // a folder; empty: nothing is recorded
  ReplayRequest replay;
  std::string pid_file;  // empty: none
  bool daemonize = false;
  std::string boot;
  std::vector<std::string> firmware_files;
  std::string sandbox_text = "on";
  std::string keys;
  // Empty: none, but the text screen's last page is shown at the end.
  std::vector<std::string> displays;
  DisplayRequest display_request;
  std::string screendump;  // a file for a picture of the screen at the end; empty: none
  std::string digest;      // a file for a line about the end; empty: none
  std::string stats_text;
  std::string stats_path;  // empty: standard error
  std::vector<std::string> modules;
  std::vector<std::string> cpu;
  std::vector<std::string> parts;
  std::vector<std::string> translator;
  std::vector<std::string> devices;
  std::vector<std::string> actions;
  std::string virtio_console = "none";
  std::string network = "none";
  std::vector<std::string> share;
  ShareRequest share_request;
  bool nographic = false;
  std::string save;
  std::string verify_ram;  // empty: not given
  std::string share_pages = "off";
  std::string gdb;
  debug::DebugRequest debug;
  ControlOptions control;
  MigrationOptions migration;
  ReplicaOptions replica;
  bool default_gdb = false;  // -s
};

struct TranslateOptions {
  RunOptions guest;      // its kernel path is empty when raw_path is not
  std::string raw_path;  // a file of 32-bit code
  uint32_t base_address = 0;
  std::optional<uint32_t> at_address;  // none: the entry point, or the raw file's first byte
  AccessStyle access_style = AccessStyle::Window;
  uint32_t ring = 0;
  uint32_t count = 0;  // instructions at most; 0: no limit
  uint32_t blocks = 8;
  // As typed; finish_translate_options parses them.
  std::string base = "0x1000";
  std::string at;
  std::string style;
  bool entry = false;
};

void add_run_options(CLI::App& command, RunOptions* options);
void add_translate_options(CLI::App& command, TranslateOptions* options);
// False with one line in *problem for a value that makes no sense.
[[nodiscard]] bool finish_run_options(RunOptions* options, std::string* problem);
[[nodiscard]] bool finish_translate_options(TranslateOptions* options, std::string* problem);

}  // namespace ringshift
