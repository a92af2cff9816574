#include "monitor/command/options/network_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <string_view>

#include "monitor/command/options/option_items.h"

namespace ringshift {
namespace {

// sun_path: with its terminating zero (unix(7)).
constexpr size_t kLongestUnixPath = 107;

bool parse_ipv4(const std::string& text, Ipv4* address) {
  in_addr number{};
  if (inet_pton(AF_INET, text.c_str(), &number) != 1) return false;
  *address = ntohl(number.s_addr);
  return true;
}

template <typename Number>
bool parse_between(std::string_view text, Number least, Number most, Number* value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, *value);
  return error == std::errc() && stopped == end && *value >= least && *value <= most;
}

bool parse_port(std::string_view text, uint16_t* port) {
  return parse_between<uint16_t>(text, 1, 0xffff, port);
}

// "10.0.2.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0": of class A, B or C.
bool parse_net(const std::string& text, UserNetwork* user) {
  const size_t slash = text.find('/');
  if (!parse_ipv4(text.substr(0, slash), &user->network)) return false;
  const std::string mask = slash == std::string::npos ? "" : text.substr(slash + 1);
  unsigned bits = 0;
  if (mask.empty()) {
    constexpr Ipv4 kNotA = 0x80000000, kNotB = 0x40000000;
    const bool is_a = (user->network & kNotA) == 0;
    const bool is_b = !is_a && (user->network & kNotB) == 0;
    user->mask = is_a ? 0xff000000 : is_b ? 0xffff0000 : 0xffffff00;
  } else if (parse_between(std::string_view(mask), 1U, 30U, &bits)) {
    user->mask = ~Ipv4{0} << (32 - bits);
  } else if (!parse_ipv4(mask, &user->mask)) {
    return false;
  }
  // Ones, then zeros, with room for the addresses that the network has for itself.
  constexpr Ipv4 kLeastRoom = 0x1f;
  const Ipv4 room = ~user->mask;
  user->network &= user->mask;
  return std::has_single_bit(uint64_t{room} + 1) && room >= kLeastRoom && user->mask != 0;
}

bool parse_guest_forward(const std::string& text, GuestForward* forward) {
  constexpr std::string_view kProtocol = "tcp:", kTarget = "-unix:";
  if (text.rfind(kProtocol, 0) != 0) return false;
  const size_t target = text.find(kTarget);
  const size_t colon = text.find(':', kProtocol.size());
  if (target == std::string::npos || colon == std::string::npos || colon > target) return false;
  forward->unix_path = text.substr(target + kTarget.size());
  return parse_ipv4(text.substr(kProtocol.size(), colon - kProtocol.size()), &forward->address) &&
         parse_port(std::string_view(text).substr(colon + 1, target - colon - 1), &forward->port) &&
         !forward->unix_path.empty() && forward->unix_path.size() <= kLongestUnixPath;
}

// "52:54:00:12:34:56"; no group of cards.
bool parse_mac(const std::string& text, MacAddress* address) {
  constexpr size_t kLength = 17, kStep = 3;
  if (text.size() != kLength) return false;
  for (size_t i = 0; i < address->size(); ++i) {
    const char* at = text.data() + i * kStep;
    const auto [end, error] = std::from_chars(at, at + 2, (*address)[i], 16);
    if (error != std::errc() || end != at + 2) return false;
    if (i + 1 < address->size() && at[2] != ':' && at[2] != '-') return false;
  }
  return ((*address)[0] & 1) == 0;
}

bool parse_card(const std::string& text, NetworkCard* card) {
  const bool is_e1000 = text == "e1000", is_ne2k = text == "ne2k_pci";
  *card = is_e1000 ? NetworkCard::E1000 : is_ne2k ? NetworkCard::Ne2k : NetworkCard::Virtio;
  return is_e1000 || is_ne2k || text == "virtio";
}

bool take_text(const std::string& value, std::string* text, size_t longest) {
  *text = value;
  return !value.empty() && value.size() <= longest;
}

struct Taken {
  bool is_known = true, is_good = true;
};

// libslirp has room for so much of a name (its DHCP server's answer).
constexpr size_t kLongestName = 63, kLongestBootFile = 127, kLongestPath = 4095;

Taken take_user_item(const std::string& key, const std::string& value, UserNetwork* user) {
  if (key == "net") return {true, parse_net(value, user)};
  if (key == "host") return {true, parse_ipv4(value, &user->host)};
  if (key == "dhcpstart") return {true, parse_ipv4(value, &user->dhcp_start)};
  if (key == "dns") return {true, parse_ipv4(value, &user->name_server)};
  if (key == "restrict") return {true, parse_on_off(value, &user->restricted)};
  if (key == "ipv4") return {true, parse_on_off(value, &user->ipv4)};
  if (key == "ipv6") return {true, parse_on_off(value, &user->ipv6)};
  if (key == "hostname") return {true, take_text(value, &user->host_name, kLongestName - 31)};
  if (key == "domainname") return {true, take_text(value, &user->domain_name, kLongestName)};
  if (key == "dnssearch") {
    user->search.push_back(value);
    return {true, !value.empty() && value.size() <= kLongestName && user->search.size() <= 8};
  }
  if (key == "tftp") return {true, take_text(value, &user->tftp_folder, kLongestPath)};
  if (key == "bootfile") return {true, take_text(value, &user->boot_file, kLongestBootFile)};
  if (key == "tftp-server-name") {
    return {true, take_text(value, &user->tftp_server_name, kLongestName)};
  }
  if (key == "hostfwd") {
    user->host_forwards.emplace_back();
    return {true, parse_host_forward(value, &user->host_forwards.back())};
  }
  if (key == "guestfwd") {
    user->guest_forwards.emplace_back();
    return {true, parse_guest_forward(value, &user->guest_forwards.back())};
  }
  return {false, false};
}

Taken take_stream_item(const std::string& key, const std::string& value, PeerAddress* peer) {
  if (key == "server") return {true, parse_on_off(value, &peer->listens)};
  if (key == "unix") {
    peer->is_unix = true;
    return {true, take_text(value, &peer->path, kLongestUnixPath)};
  }
  if (key == "tcp") {
    const size_t colon = value.rfind(':');
    if (colon == std::string::npos) return {true, false};
    const std::string host = value.substr(0, colon);
    const bool is_good = host.empty() || host == "localhost" || parse_ipv4(host, &peer->host);
    return {true, is_good && parse_port(std::string_view(value).substr(colon + 1), &peer->port)};
  }
  return {false, false};
}

constexpr const char* kUserItems =
    "hostfwd, guestfwd=tcp:ADDRESS:PORT-unix:PATH, restrict, net, host, dhcpstart, dns, hostname, "
    "domainname, dnssearch, tftp, bootfile, tftp-server-name, ipv4, ipv6, model, mac";
constexpr const char* kStreamItems = "unix=PATH or tcp=[HOST]:PORT, server=on|off, model, mac";

// Addresses that the network gives itself are in it, and they are different ones.
bool is_sound(const UserNetwork& user) {
  const auto is_inside = [&](Ipv4 address) {
    return address == 0 || (address & user.mask) == user.network;
  };
  const bool are_apart =
      user.host == 0 || (user.host != user.name_server && user.host != user.dhcp_start);
  return is_inside(user.host) && is_inside(user.dhcp_start) && is_inside(user.name_server) &&
         are_apart;
}

bool check(const NetworkRequest& request, std::string* problem) {
  if (request.kind == NetworkRequest::Kind::User) {
    if (is_sound(request.user)) return true;
    *problem = "--net user: host, dhcpstart and dns are different addresses within net";
    return false;
  }
  if (request.peer.is_unix != (request.peer.port != 0)) return true;
  *problem = "--net stream: needs one of unix=PATH and tcp=[HOST]:PORT";
  return false;
}

}  // namespace

// The guest's address may be left out, and so may the host's; a protocol that is left out is TCP.
bool parse_host_forward(const std::string& text, HostForward* forward) {
  std::string rest = text;
  const size_t first = rest.find(':');
  if (first == std::string::npos) return false;
  const std::string protocol = rest.substr(0, first);
  if (!protocol.empty() && protocol != "tcp" && protocol != "udp") return false;
  forward->udp = protocol == "udp";
  rest.erase(0, first + 1);
  const size_t dash = rest.find('-');
  if (dash == std::string::npos) return false;
  const auto take_side = [](const std::string& side, Ipv4* address, uint16_t* port) {
    const size_t colon = side.rfind(':');
    if (colon == std::string::npos) return false;
    const std::string host = side.substr(0, colon);
    const bool is_good = host.empty() || parse_ipv4(host, address);
    return is_good && parse_port(std::string_view(side).substr(colon + 1), port);
  };
  std::string host_side = rest.substr(0, dash);
  if (host_side.rfind("localhost:", 0) == 0) host_side.replace(0, 9, "127.0.0.1");
  return take_side(host_side, &forward->host_address, &forward->host_port) &&
         take_side(rest.substr(dash + 1), &forward->guest_address, &forward->guest_port);
}

bool parse_network(const std::string& text, NetworkRequest* request, std::string* problem) {
  const std::vector<std::string> pieces = split_at_commas(text);
  const std::string& kind = pieces[0];
  if (kind == "none" && pieces.size() == 1) {
    if (request->dump_path.empty()) return true;
    *problem = "--net-dump: there is no network (--net user)";
    return false;
  }
  if (kind == "user") {
    request->kind = NetworkRequest::Kind::User;
  } else if (kind == "stream") {
    request->kind = NetworkRequest::Kind::Stream;
  } else {
    *problem = "--net: '" + text + "' is none of none, user, stream";
    return false;
  }
  const bool is_user = kind == "user";
  for (size_t i = 1; i < pieces.size(); ++i) {
    const auto [key, value] = split_item(pieces[i]);
    Taken taken{true, true};
    if (key == "mac") {
      taken.is_good = parse_mac(value, &request->address);
    } else if (key == "model") {
      taken.is_good = parse_card(value, &request->card);
    } else {
      taken = is_user ? take_user_item(key, value, &request->user)
                      : take_stream_item(key, value, &request->peer);
    }
    if (taken.is_good) continue;
    *problem = "--net " + kind + ": cannot use '" + pieces[i] + "'";
    if (!taken.is_known)
      *problem += std::string(" (") + (is_user ? kUserItems : kStreamItems) + ")";
    return false;
  }
  return check(*request, problem);
}

}  // namespace ringshift
