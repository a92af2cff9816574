#include "monitor/host/sockets/socket_address.h"

#include <charconv>

namespace ringshift {
namespace {

// What is left after one of these.
bool take_word(std::string* text, const char* word) {
  for (const char separator : {'=', ':'}) {
    const std::string prefix = std::string(word) + separator;
    if (!text->starts_with(prefix)) continue;
    text->erase(0, prefix.size());
    return true;
  }
  return false;
}

bool parse_host(const std::string& text, std::string* host) {
  if (text.empty()) return true;
  *host = text == "localhost" ? "127.0.0.1" : text;
  return host->find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace

std::string SocketAddress::name() const {
  return kind == Kind::Unix ? "unix:" + path : "tcp:" + host + ":" + std::to_string(port);
}

bool parse_socket_address(const std::string& text, SocketAddress* address) {
  // sun_path: with its terminating zero (unix(7)).
  constexpr size_t kLongestPath = 107;
  std::string rest = text;
  if (take_word(&rest, "unix")) {
    address->kind = SocketAddress::Kind::Unix;
    address->path = rest;
    return !rest.empty() && rest.size() <= kLongestPath;
  }
  if (!take_word(&rest, "tcp")) return false;
  address->kind = SocketAddress::Kind::Tcp;
  const size_t colon = rest.rfind(':');
  if (colon == std::string::npos || !parse_host(rest.substr(0, colon), &address->host))
    return false;
  const char* begin = rest.data() + colon + 1;
  const char* end = rest.data() + rest.size();
  const auto [stopped, error] = std::from_chars(begin, end, address->port);
  return error == std::errc() && stopped == end && begin != end;
}

}  // namespace ringshift
