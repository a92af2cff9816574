// DebugRequest: the command line's words about debuggers and control programs. A value. See
// docs/debugging.md.
#pragma once

#include <string>

#include "monitor/host/sockets/socket_address.h"

namespace ringshift::debug {

struct DebugRequest {
  SocketAddress gdb;  // Kind::None: no socket
  bool starts_paused = false;
  // A client on --qmp or --monitor can let the guest go on, too.
  bool has_controller = false;
  // Facts for these clients and the prompt, and the files that they may have written or read.
  std::string name;            // --name
  std::string version;         // of this program
  std::string control_folder;  // --control-folder; empty: none
  std::string screendump;      // --screendump; empty: none
};

}  // namespace ringshift::debug
