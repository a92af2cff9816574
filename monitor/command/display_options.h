// DisplayOptions: --display: what shows the guest's screen, and where a remote one listens. See
// docs/screen.md.
#pragma once

#include <cstdint>
#include <string>

#include "devices/host/rfb_server.h"
#include "devices/host/web_server.h"

namespace ringshift {

struct DisplayRequest {
  enum class Kind : uint8_t { None, Text, Vnc, Web };
  Kind kind = Kind::None;
  RfbServerConfig vnc;        // of Kind::Vnc
  WebServerConfig web;        // of Kind::Web
  std::string password_file;  // where its password is; empty: it is there, or there is none
};

// False with one line in *problem.
[[nodiscard]] bool parse_display(const std::string& text, DisplayRequest* request,
                                 std::string* problem);
// Whether words like these, of a saved machine, would listen on the host.
[[nodiscard]] bool is_remote_display(const std::string& text);

}  // namespace ringshift
