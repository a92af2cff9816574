// ControlRequest: one socket at which the machine is controlled, as --qmp and --monitor say it. A
// value. See docs/control.md.
#pragma once

#include <string>

#include "monitor/host/sockets/socket_address.h"

namespace ringshift::control {

struct ControlRequest {
  SocketAddress where;
  std::string option;  // that asked for it
  bool speaks_qmp = true;
  bool waits = false;   // the guest does not run before a client has come
  bool pretty = false;  // of QMP: answers are indented
};

}  // namespace ringshift::control
