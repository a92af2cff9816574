// DebugAddress: where a debugger or a control program is listened for. A value and its parser. See
// docs/usage.md.
#pragma once

#include <cstdint>
#include <string>

namespace ringshift::debug {

struct DebugAddress {
  enum class Kind : uint8_t { None, Tcp, Unix };
  Kind kind = Kind::None;
  std::string host = "127.0.0.1";  // numeric, IPv4
  uint16_t port = 0;               // 0: any that is free
  std::string path;
  bool connects = false;  // not listened: it is connected to once, at the start
};

struct DebugRequest {
  DebugAddress gdb;  // Kind::None: no socket
  bool starts_paused = false;
  // Whoever listens on --qmp or --monitor can let the guest go, too.
  bool has_controller = false;
  // What those, and the prompt, are told, and which files they may have written or read.
  std::string name;            // --name
  std::string version;         // of this program
  std::string control_folder;  // --control-folder; empty: none
  std::string screendump;      // --screendump; empty: none
};

// "tcp=:1234", "tcp=192.0.2.1:1234", "unix=PATH"; a colon for the equals sign, as others write it.
[[nodiscard]] bool parse_debug_address(const std::string& text, DebugAddress* address);

}  // namespace ringshift::debug
