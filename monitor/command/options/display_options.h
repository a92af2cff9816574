// DisplayOptions: --display: the viewers of the guest's screen, and the places where remote ones
// listen. See docs/screen.md.
#pragma once

#include <cstdint>
#include <string>

#include "devices/host/screen/rfb_server.h"
#include "devices/host/screen/web_server.h"

namespace ringshift {

struct DisplayRequest {
  bool has_text = false, has_vnc = false, has_web = false;
  RfbServerConfig vnc;        // if has_vnc
  WebServerConfig web;        // if has_web
  std::string password_file;  // where its password is; empty: it is there, or there is none
};

// One of a line's options, which add up; no kind comes twice. False with one line in *problem.
[[nodiscard]] bool parse_display(const std::string& text, DisplayRequest* request,
                                 std::string* problem);
// Whether words like these, of a saved machine, would listen on the host.
[[nodiscard]] bool is_remote_display(const std::string& text);

}  // namespace ringshift
