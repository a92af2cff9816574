#include "devices/host/web_access.h"

#include <libwebsockets.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "devices/host/host_random.h"

namespace ringshift {
namespace {

std::string hex_of(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// No difference in time tells how much of it was right.
bool is_same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

std::string header_of(lws* connection, lws_token_indexes which) {
  std::array<char, 256> text{};
  const int length = lws_hdr_copy(connection, text.data(), static_cast<int>(text.size()), which);
  return length > 0 ? std::string(text.data(), static_cast<size_t>(length)) : std::string();
}

}  // namespace

WebAccess::WebAccess(std::string host) : host_(std::move(host)) {
  HostRandom random;
  std::array<uint8_t, 16> secret{};
  random.fill(secret);
  token_ = hex_of(secret);
  random.fill(secret);
  nonce_ = hex_of(secret);
}

lws_context* WebAccess::listen(uint16_t port, const lws_protocols* protocols, void* user,
                               uint16_t requests, std::string* error) {
  lws_set_log_level(0, nullptr);
  lws_context_creation_info info{};
  info.port = port;
  info.iface = host_.c_str();
  info.protocols = protocols;
  info.gid = static_cast<decltype(info.gid)>(-1);
  info.uid = static_cast<decltype(info.uid)>(-1);
  info.user = user;
  info.options = LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
                 LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
  constexpr int kDescriptors = 48;
  constexpr unsigned kPatience = 10;  // seconds, for a request
  info.fd_limit_per_thread = kDescriptors;
  info.timeout_secs = kPatience;
  info.max_http_header_data = 2048;
  info.max_http_header_pool = requests;
  errno = 0;
  lws_context* const context = lws_create_context(&info);
  const int why = errno;
  lws_vhost* host = context != nullptr ? lws_get_vhost_by_name(context, "default") : nullptr;
  if (host == nullptr) {
    *error = "cannot listen at " + host_ + ":" + std::to_string(port) +
             (why != 0 ? std::string(": ") + std::strerror(why) : "");
    if (context != nullptr) lws_context_destroy(context);
    return nullptr;
  }
  port_ = static_cast<uint16_t>(lws_get_vhost_listen_port(host));
  return context;
}

std::string WebAccess::address() const {
  return "http://" + host_ + ":" + std::to_string(port_) + "/?token=" + token_;
}

bool WebAccess::is_asked_as_ours(lws* connection) const {
  const std::string number = ":" + std::to_string(port_);
  const std::string host = header_of(connection, WSI_TOKEN_HOST);
  const std::string origin = header_of(connection, WSI_TOKEN_ORIGIN);
  const bool is_named =
      host == host_ + number || (host_ == "127.0.0.1" && host == "localhost" + number);
  return is_named && (origin.empty() || origin == "http://" + host);
}

bool WebAccess::has_token(lws* connection) const {
  std::array<char, 80> text{};
  const char* given =
      lws_get_urlarg_by_name(connection, "token=", text.data(), static_cast<int>(text.size()));
  return given != nullptr && is_same(given, token_);
}

bool WebAccess::names_a_page(lws* connection) {
  return !header_of(connection, WSI_TOKEN_ORIGIN).empty();
}

bool write_page_head(lws* connection, std::string_view type, size_t bytes, std::string_view nonce,
                     std::string_view images) {
  const std::string own = "'nonce-" + std::string(nonce) + "'";
  const std::string policy = "default-src 'none'; style-src " + own + "; script-src " + own +
                             "; img-src " + std::string(images) +
                             "; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'";
  const std::pair<const char*, std::string> kHeaders[] = {
      {"content-security-policy:", policy},
      {"cache-control:", "no-store"},
      {"referrer-policy:", "no-referrer"},
      {"x-content-type-options:", "nosniff"},
      {"cross-origin-opener-policy:", "same-origin"}};
  std::array<uint8_t, LWS_PRE + 2048> room{};
  uint8_t* const begin = room.data() + LWS_PRE;
  uint8_t* at = begin;
  uint8_t* const end = room.data() + room.size() - 1;
  if (lws_add_http_common_headers(connection, HTTP_STATUS_OK, std::string(type).c_str(), bytes, &at,
                                  end) != 0) {
    return false;
  }
  for (const auto& [name, value] : kHeaders) {
    if (lws_add_http_header_by_name(connection, reinterpret_cast<const uint8_t*>(name),
                                    reinterpret_cast<const uint8_t*>(value.data()),
                                    static_cast<int>(value.size()), &at, end) != 0) {
      return false;
    }
  }
  return lws_finalize_write_http_header(connection, begin, &at, end) == 0;
}

int write_page_body(lws* connection, std::string_view body) {
  std::vector<uint8_t> bytes(LWS_PRE);
  bytes.insert(bytes.end(), body.begin(), body.end());
  if (lws_write(connection, bytes.data() + LWS_PRE, body.size(), LWS_WRITE_HTTP_FINAL) < 0) {
    return -1;
  }
  return lws_http_transaction_completed(connection) != 0 ? -1 : 0;
}

int turn_away(lws* connection) {
  const bool is_said = lws_return_http_status(connection, HTTP_STATUS_FORBIDDEN,
                                              "The address that was printed has a token.") == 0;
  return is_said && lws_http_transaction_completed(connection) == 0 ? 0 : -1;
}

}  // namespace ringshift
