// MachineControl, second part: figures of the network card and of the balloon.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "monitor/debug/machine_control.h"
#include "monitor/machine/machine.h"
#include "monitor/network/network_link.h"

namespace ringshift::debug {
namespace {

std::string text_of(Ipv4 address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff,
                     address & 0xff);
}

const char* model_of(NetworkCard card) {
  switch (card) {
    case NetworkCard::Virtio:
      return "virtio-net-pci";
    case NetworkCard::E1000:
      return "e1000";
    case NetworkCard::Ne2k:
      return "ne2k_pci";
  }
  return "?";
}

// The kind of the network, and its description.
std::pair<std::string, std::string> network_of(const NetworkRequest& request) {
  const char* const on_off[] = {"off", "on"};
  if (request.kind == NetworkRequest::Kind::User) {
    return {"user", fmt::format("net={},restrict={}", text_of(request.user.network),
                                on_off[request.user.restricted ? 1 : 0])};
  }
  const PeerAddress& peer = request.peer;
  const std::string where =
      peer.is_unix ? "unix=" + peer.path : fmt::format("tcp={}:{}", text_of(peer.host), peer.port);
  return {"stream", fmt::format("{},server={}", where, on_off[peer.listens ? 1 : 0])};
}

}  // namespace

std::vector<MemoryFigure> MachineControl::balloon_figures() {
  VirtioBalloon* const balloon = find_balloon();
  std::vector<MemoryFigure> figures;
  // The driver is asked by an interrupt, which would not be on the tape.
  if (balloon == nullptr || machine_.config().tape != nullptr) return figures;
  const BalloonStatistics told = balloon->statistics();
  machine_.attention().raise();
  for (size_t tag = 0; tag < BalloonStatistics::kTags; ++tag) {
    if (told.by_tag[tag]) figures.push_back({BalloonStatistics::name_of(tag), *told.by_tag[tag]});
  }
  return figures;
}

std::optional<NetworkInfo> MachineControl::network() {
  NetworkLink* const link = machine_.config().network_link;
  if (link == nullptr) return std::nullopt;
  const NetworkRequest& request = link->request();
  auto [kind, details] = network_of(request);
  NetworkLink::Traffic& traffic = link->traffic();
  return NetworkInfo{.model = model_of(request.card),
                     .address = fmt::format("{:02x}", fmt::join(request.address, ":")),
                     .kind = std::move(kind),
                     .details = std::move(details),
                     .is_up = link->is_up(),
                     .sent_frames = traffic.sent_frames.load(),
                     .sent_bytes = traffic.sent_bytes.load(),
                     .received_frames = traffic.taken_frames.load(),
                     .received_bytes = traffic.taken_bytes.load()};
}

}  // namespace ringshift::debug
