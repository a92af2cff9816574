#include "devices/virtio/virtio_net.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t kHasAddress = 1U << 5, kHasStatus = 1U << 16;  // features (5.1.3)
constexpr unsigned kConfigBytes = 8, kStatusAt = 6;
constexpr uint8_t kLinkUp = 1;

// In front of each frame (5.1.6): all zeros but for the last field, how many buffers the frame is
// in, which the legacy interface has not.
constexpr size_t kHeaderBytes = 12, kLegacyHeaderBytes = 10, kBufferCountAt = 10;

// What one call moves before the processor goes on, and what the shortest frame counts as.
constexpr size_t kMostAtOnce = size_t{1} << 20, kLeastCost = 4096;

}  // namespace

VirtioNet::VirtioNet(PacketPort& port, const MacAddress& address, bool takes_any_address)
    : port_(port), address_(address), takes_any_address_(takes_any_address) {
  port_.set_on_change([this] { on_port_change(); });
}

void VirtioNet::on_port_change() {
  if (port_.is_up() != told_up_) {
    told_up_ = port_.is_up();
    transport().note_config_change();
  }
  transport().serve_soon(kReceiveQueue);
  transport().serve_soon(kTransmitQueue);
}

VirtioKind VirtioNet::kind() const {
  return {.name = "virtio-net",
          .id = 1,
          .pci_device = 0x1000,
          .class_code = 0x020000,
          .features = kHasAddress | kHasStatus,
          .queues = 2,
          .config_bytes = kConfigBytes};
}

uint8_t VirtioNet::config_byte(unsigned offset) const {
  if (offset < address_.size()) return address_[offset];
  return offset == kStatusAt && port_.is_up() ? kLinkUp : 0;
}

size_t VirtioNet::header_bytes() const {
  return transport().has_feature(kVirtioVersion1) ? kHeaderBytes : kLegacyHeaderBytes;
}

VirtioDevice::Served VirtioNet::serve(unsigned queue) {
  return queue == kReceiveQueue ? receive() : transmit();
}

// A frame waits in the port for a buffer. A driver's buffers hold the longest frame (5.1.6.3.1);
// where one does not hold what came, the driver has made no sense.
VirtioDevice::Served VirtioNet::receive() {
  Virtqueue& queue = transport().queue(kReceiveQueue);
  std::array<uint8_t, kHeaderBytes> header{};
  header[kBufferCountAt] = 1;
  for (size_t cost = 0; cost < kMostAtOnce;) {
    const std::span<const uint8_t> frame = port_.received();
    if (frame.empty()) return Served::All;
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    const size_t bytes = header_bytes() + frame.size();
    if (taken == Virtqueue::Taken::Broken || chain_.readable.bytes() != 0 ||
        chain_.writable.bytes() < bytes) {
      return Served::Broken;
    }
    chain_.writable.put(transport().memory(), std::span(header).first(header_bytes()));
    chain_.writable.put(transport().memory(), frame);
    port_.take_received();
    queue.give_back(chain_.head, bytes);
    cost += std::max(kLeastCost, bytes);
  }
  return Served::More;
}

// Nothing of the header is of use: the driver has agreed to no offload.
VirtioDevice::Served VirtioNet::transmit() {
  Virtqueue& queue = transport().queue(kTransmitQueue);
  std::array<uint8_t, kLongestFrame> frame;
  std::array<uint8_t, kHeaderBytes> header;
  for (size_t cost = 0; cost < kMostAtOnce;) {
    if (!port_.has_room()) return Served::All;
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) return Served::All;
    if (taken == Virtqueue::Taken::Broken || chain_.readable.bytes() < header_bytes()) {
      return Served::Broken;
    }
    chain_.readable.take(transport().memory(), std::span(header).first(header_bytes()));
    const uint64_t bytes = chain_.readable.bytes();
    if (bytes >= kLeastFrame && bytes <= kLongestFrame) {
      const auto content = std::span(frame).first(static_cast<size_t>(bytes));
      chain_.readable.take(transport().memory(), content);
      port_.send(content);
    }
    queue.give_back(chain_.head, 0);
    cost += kLeastCost;
  }
  return Served::More;
}

void VirtioNet::visit_state(StateArchive& archive) {
  uint64_t address = 0;
  for (const uint8_t byte : address_) address = address << 8 | byte;
  if (archive.is_loading() && takes_any_address_) {
    archive.dropped("address");
  } else {
    archive.same("address", address);
  }
  if (archive.version() >= 2) archive.field("link", told_up_);
}

}  // namespace ringshift
