#include "devices/virtio/virtio_console.h"

#include <algorithm>
#include <array>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Features (5.3.3): bytes may be printed by the configuration, before there are queues. There is
// one port, and its size is not told.
constexpr uint64_t kEmergencyWrite = 1U << 2;
// Configuration (5.3.4): columns, rows, ports, and the byte to be printed.
constexpr unsigned kPortsAt = 4, kEmergencyAt = 8, kConfigBytes = 12;

}  // namespace

VirtioKind VirtioConsole::kind() const {
  return {.name = "virtio-console",
          .id = 3,
          .pci_device = 0x1003,
          .class_code = 0x078000,
          .features = kEmergencyWrite,
          .queues = 2,
          .queue_entries = 128,
          .config_bytes = kConfigBytes};
}

uint8_t VirtioConsole::config_byte(unsigned offset) const { return offset == kPortsAt ? 1 : 0; }

void VirtioConsole::write_config_byte(unsigned offset, uint8_t value) {
  if (offset == kEmergencyAt) backend_.transmit(value);
}

void VirtioConsole::forget(unsigned queue) {
  if (queue == kReceive) {
    broke_ = false;
    return;
  }
  is_printing_ = false;
  text_.clear();
}

VirtioDevice::Served VirtioConsole::serve(unsigned queue) {
  if (queue == kTransmit) return transmit();
  if (broke_) return Served::Broken;
  if (on_room_) on_room_();
  return Served::All;
}

VirtioDevice::Served VirtioConsole::transmit() {
  Virtqueue& queue = transport().queue(kTransmit);
  std::array<uint8_t, kMostAtOnce> bytes;
  for (size_t left = kMostAtOnce; left != 0;) {
    if (!is_printing_) {
      const Virtqueue::Taken taken = queue.take(&chain_);
      if (taken == Virtqueue::Taken::None) return Served::All;
      if (taken == Virtqueue::Taken::Broken || chain_.writable.bytes() != 0) return Served::Broken;
      is_printing_ = true;
      head_ = chain_.head;
      std::swap(text_, chain_.readable);
    }
    const auto count = static_cast<size_t>(std::min<uint64_t>(text_.bytes(), left));
    const auto part = std::span(bytes).first(count);
    text_.take(transport().memory(), part);
    for (const uint8_t byte : part) backend_.transmit(byte);
    left -= std::max<size_t>(count, 1);  // an empty chain is work, too
    if (text_.bytes() != 0) break;
    is_printing_ = false;
    queue.give_back(head_, 0);
  }
  return Served::More;
}

// Outside of a device access: the transport interrupts when the queue is served.
size_t VirtioConsole::receive(std::span<const uint8_t> bytes) {
  Virtqueue& queue = transport().queue(kReceive);
  size_t taken_bytes = 0;
  while (!bytes.empty() && queue.is_enabled() && !broke_) {
    const Virtqueue::Taken taken = queue.take(&chain_);
    if (taken == Virtqueue::Taken::None) break;
    broke_ = taken == Virtqueue::Taken::Broken || chain_.readable.bytes() != 0;
    if (broke_) break;
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(chain_.writable.bytes(), bytes.size()));
    chain_.writable.put(transport().memory(), bytes.first(count));
    queue.give_back(chain_.head, count);
    bytes = bytes.subspan(count);
    taken_bytes += count;
  }
  if (taken_bytes != 0 || broke_) transport().serve_soon(kReceive);
  return taken_bytes;
}

void VirtioConsole::visit_state(StateArchive& archive) {
  archive.field("is printing", is_printing_);
  archive.field("head", head_);
  archive.part("text", text_);
  archive.field("broke", broke_);
}

}  // namespace ringshift
