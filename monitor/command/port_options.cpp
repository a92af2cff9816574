#include "monitor/command/port_options.h"

#include <algorithm>

namespace ringshift {
namespace {

// The path of "file=PATH"; empty: it is nothing of the kind.
std::string path_in(const std::string& text) {
  return text.rfind("file=", 0) == 0 || text.rfind("file:", 0) == 0 ? text.substr(5) : "";
}

}  // namespace

bool apply_serial(const std::string& text, MachineConfig* machine, std::string* problem) {
  if (text.empty() || text == "console" || text == "stdio" || text == "mon:stdio") {
    machine->serial = SerialTarget::Console;
  } else if (text == "none" || text == "null") {
    machine->serial = SerialTarget::None;
  } else if (text.rfind("file=", 0) == 0 || text.rfind("file:", 0) == 0) {
    machine->serial = SerialTarget::File;
    machine->serial_path = text.substr(5);
  } else {
    *problem = "--serial: '" + text + "' is none of console, none, file=PATH";
    return false;
  }
  return true;
}

bool apply_other_ports(RunOptions* options, std::string* problem) {
  MachineConfig& machine = options->machine;
  machine.second_serial_path = path_in(options->second_serial);
  if (machine.second_serial_path.empty() && options->second_serial != "none") {
    *problem = "--serial2: '" + options->second_serial + "' is none of none, file=PATH";
    return false;
  }
  const std::string& debugcon = options->debugcon;
  machine.debug_console_path = path_in(debugcon);
  if (debugcon.empty()) {
    machine.debug_console = DebugConsoleTarget::WithSerial;
  } else if (debugcon == "console") {
    machine.debug_console = DebugConsoleTarget::Console;
  } else if (debugcon == "none") {
    machine.debug_console = DebugConsoleTarget::None;
  } else if (!machine.debug_console_path.empty()) {
    machine.debug_console = DebugConsoleTarget::File;
  } else {
    *problem = "--debugcon: '" + debugcon + "' is none of console, none, file=PATH";
    return false;
  }
  return true;
}

// The terminal is the serial port's or the virtio console's.
bool apply_virtio_console(const RunOptions& options, MachineConfig* machine, std::string* problem) {
  const std::string& where = options.virtio_console;
  machine->virtio_console_path = path_in(where);
  if (where == "console") {
    machine->virtio_console = VirtioConsoleTarget::Console;
    if (options.serial.empty()) machine->serial = SerialTarget::None;
  } else if (!machine->virtio_console_path.empty()) {
    machine->virtio_console = VirtioConsoleTarget::File;
  } else if (where != "none") {
    *problem = "--virtio-console: '" + where + "' is none of none, console, file=PATH";
    return false;
  }
  const auto& displays = options.displays;
  const bool is_text = std::find(displays.begin(), displays.end(), "text") != displays.end();
  const bool is_twice = machine->virtio_console == VirtioConsoleTarget::Console &&
                        (machine->serial == SerialTarget::Console || options.daemonize || is_text);
  if (is_twice)
    *problem = "--virtio-console console: the terminal is somebody else's, or not there";
  return !is_twice;
}

}  // namespace ringshift
