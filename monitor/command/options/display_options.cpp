#include "monitor/command/options/display_options.h"

#include <utility>
#include <vector>

#include "monitor/command/options/option_items.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

constexpr const char* kVncForms =
    " (vnc=[HOST]:N or vnc=unix:PATH; password=TEXT, password-file=FILE)";
constexpr std::string_view kUnix = "unix:";

// "[HOST]:N": screen N is at port 5900 + N.
bool parse_address(const std::string& text, RfbServerConfig* vnc) {
  constexpr uint32_t kFirstPort = 5900, kLastPort = 65535;
  const size_t colon = text.rfind(':');
  uint32_t number = 0;
  if (colon == std::string::npos || !parse_number(text.substr(colon + 1), &number) ||
      number > kLastPort - kFirstPort) {
    return false;
  }
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (!host.empty() && host != "localhost") vnc->host = host;
  vnc->port = static_cast<uint16_t>(kFirstPort + number);
  return true;
}

bool take_item(const std::string& item, DisplayRequest* request, std::string* problem) {
  const auto [key, value] = split_item(item);
  if (key == "password-file" && !value.empty()) {
    request->password_file = value;
    return true;
  }
  if (key == "password" && (value.empty() || value == "on")) {
    *problem = "--display vnc: 'password' needs the password: password=TEXT, or password-file=FILE";
    return false;
  }
  if (key == "password") {
    if (value.size() > rfb::kMostPassword) {
      *problem = "--display vnc: a password has 8 characters at most (RFC 6143)";
      return false;
    }
    request->vnc.password = value;
    return true;
  }
  // Clients share the screen, whatever a policy of QEMU's says.
  if (key == "share" || item == "power-control=off" || item == "lossy=off") return true;
  *problem = "--display vnc: cannot use '" + item + "'" + kVncForms;
  return false;
}

bool parse_vnc(const std::string& text, DisplayRequest* request, std::string* problem) {
  const std::vector<std::string> items = split_at_commas(text);
  if (items[0].rfind(kUnix, 0) == 0 && items[0].size() > kUnix.size()) {
    request->vnc.unix_path = items[0].substr(kUnix.size());
  } else if (!parse_address(items[0], &request->vnc)) {
    *problem = "--display vnc: cannot listen at '" + items[0] + "'" + kVncForms;
    return false;
  }
  for (size_t i = 1; i < items.size(); ++i) {
    if (!take_item(items[i], request, problem)) return false;
  }
  if (request->password_file.empty() || request->vnc.password.empty()) return true;
  *problem = "--display vnc: password= and password-file= exclude each other";
  return false;
}

// "web", "web=PORT", "web=HOST:PORT".
bool parse_web(const std::string& text, DisplayRequest* request, std::string* problem) {
  constexpr uint32_t kLastPort = 65535;
  if (text.empty()) return true;
  const size_t colon = text.rfind(':');
  const bool has_host = colon != std::string::npos;
  uint32_t number = 0;
  if (!parse_number(has_host ? text.substr(colon + 1) : text, &number) || number > kLastPort) {
    *problem = "--display web: cannot listen at '" + text + "' (web, web=PORT, web=HOST:PORT)";
    return false;
  }
  const std::string host = has_host ? text.substr(0, colon) : "";
  if (!host.empty() && host != "localhost") request->web.host = host;
  request->web.port = static_cast<uint16_t>(number);
  return true;
}

}  // namespace

bool parse_display(const std::string& text, DisplayRequest* request, std::string* problem) {
  const auto take = [&](bool* has, const char* name) {
    if (*has) *problem = std::string("--display ") + name + ": it is there already";
    return !std::exchange(*has, true);
  };
  constexpr std::string_view kVnc = "vnc=", kWeb = "web=";
  if (text.empty() || text == "none") return true;
  if (text == "text") return take(&request->has_text, "text");
  if (text.rfind(kVnc, 0) == 0) {
    return take(&request->has_vnc, "vnc") && parse_vnc(text.substr(kVnc.size()), request, problem);
  }
  if (text == "web" || text.rfind(kWeb, 0) == 0) {
    const std::string where = text == "web" ? "" : text.substr(kWeb.size());
    return take(&request->has_web, "web") && parse_web(where, request, problem);
  }
  if (text == "sdl" || text == "gtk") {
    *problem = "--display " + text + ": there is no window of ours; --display vnc=:0 " +
               "is for a VNC viewer, --display web for a browser";
    return false;
  }
  *problem = "--display: '" + text + "' is none of none, text, vnc=[HOST]:N, web";
  return false;
}

bool is_remote_display(const std::string& text) {
  return text.rfind("vnc=", 0) == 0 || text.rfind("web", 0) == 0;
}

}  // namespace ringshift
