// Network options: --net, from its text to a request. See docs/networking.md.
#pragma once

#include <string>

#include "monitor/network/network_request.h"

namespace ringshift {

// KIND[,KEY=VALUE,...]. False with one line in *problem: frames of no network cannot be
// dumped, either.
[[nodiscard]] bool parse_network(const std::string& text, NetworkRequest* request,
                                 std::string* problem);
// "tcp::8080-:80", "udp:127.0.0.1:53-10.0.2.15:53"; false: it is none.
[[nodiscard]] bool parse_host_forward(const std::string& text, HostForward* forward);

}  // namespace ringshift
