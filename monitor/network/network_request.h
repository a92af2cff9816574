// NetworkRequest: the command line's wishes for a network: the card, and the other end of its
// cable. Values only; see docs/networking.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "devices/network/network_card.h"
#include "devices/virtio/packet_port.h"

namespace ringshift {

// IPv4 addresses are numbers: 10.0.2.15 is 0x0a00020f. 0: none is named.
using Ipv4 = uint32_t;

// A port of the host's that leads to one of the guest's.
struct HostForward {
  bool udp = false;
  Ipv4 host_address = 0;  // 0: all of them
  uint16_t host_port = 0;
  Ipv4 guest_address = 0;  // 0: the first one of the DHCP server
  uint16_t guest_port = 0;
};

// An address of the guest's network where a socket of the host's answers.
struct GuestForward {
  Ipv4 address = 0;
  uint16_t port = 0;
  std::string unix_path;
};

// A network of its own for the guest, behind address translation; a value that is 0 or empty has
// the default of the network (docs/networking.md has the numbers).
struct UserNetwork {
  bool restricted = false;
  bool ipv4 = true, ipv6 = true;
  Ipv4 network = 0x0a000200, mask = 0xffffff00;
  Ipv4 host = 0, dhcp_start = 0, name_server = 0;
  std::string host_name, domain_name;
  std::vector<std::string> search;
  std::string tftp_folder, tftp_server_name, boot_file;
  std::vector<HostForward> host_forwards;
  std::vector<GuestForward> guest_forwards;
};

// Another machine, or a program that speaks the same: frames with their lengths on a stream.
struct PeerAddress {
  bool is_unix = false;
  std::string path;
  Ipv4 host = 0x7f000001;
  uint16_t port = 0;
  bool listens = false;
};

struct NetworkRequest {
  enum class Kind : uint8_t { None, User, Stream };
  Kind kind = Kind::None;
  NetworkCard card = NetworkCard::Virtio;
  UserNetwork user;
  PeerAddress peer;
  // Locally administered: nobody's card.
  MacAddress address{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
  std::string dump_path;  // a file for all frames, as tcpdump writes them; empty: none
};

}  // namespace ringshift
