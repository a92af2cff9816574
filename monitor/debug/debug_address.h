// DebugAddress: where a debugger is listened for, as --gdb says it.
// Owns: nothing; a value and its parser.
// Called by: options, debug_socket. See docs/usage.md.
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
};

struct DebugRequest {
  DebugAddress gdb;  // Kind::None: no socket
  bool starts_paused = false;
};

// "tcp=:1234", "tcp=192.0.2.1:1234", "unix=PATH"; a colon for the equals sign, as others write it.
[[nodiscard]] bool parse_debug_address(const std::string& text, DebugAddress* address);

}  // namespace ringshift::debug
