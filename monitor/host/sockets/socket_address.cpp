#include "monitor/host/sockets/socket_address.h"

#include <charconv>

namespace ringshift {
namespace {

// Removes one of these words from the front of the text.
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

bool parse_host_and_port(const std::string& text, std::string* host, uint16_t* port) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || !parse_host(text.substr(0, colon), host)) return false;
  const char* begin = text.data() + colon + 1;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(begin, end, *port);
  return error == std::errc() && stopped == end && begin != end;
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
  return parse_host_and_port(rest, &address->host, &address->port);
}

bool parse_datagram_address(const std::string& text, SocketAddress* address) {
  std::string rest = text;
  if (!take_word(&rest, "udp")) return false;
  address->kind = SocketAddress::Kind::Udp;
  const size_t at = rest.find('@');
  if (!parse_host_and_port(rest.substr(0, at), &address->host, &address->port)) return false;
  return address->port != 0 &&
         (at == std::string::npos ||
          parse_host_and_port(rest.substr(at + 1), &address->own_host, &address->own_port));
}

}  // namespace ringshift
