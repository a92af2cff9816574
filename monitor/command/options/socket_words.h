// SocketWords: the place of a socket, as --qmp, --monitor and the ports take it: unix:PATH or
// tcp:[HOST]:PORT, and items behind it. A value and its parser. See docs/control.md.
#pragma once

#include <functional>
#include <string>

#include "monitor/command/options/option_items.h"
#include "monitor/host/sockets/socket_address.h"

namespace ringshift {

struct SocketWords {
  SocketAddress where;
  bool waits = false;  // nothing begins before a client has come
};

// take_other: an item that not all of them know; false: nor does it.
[[nodiscard]] bool parse_socket_words(const std::string& text,
                                      const std::function<bool(const KeyValue& item)>& take_other,
                                      SocketWords* words);

}  // namespace ringshift
