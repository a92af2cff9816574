#include "devices/virtio/virtio_rng.h"

#include <algorithm>
#include <array>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kEntries = 64;
// The device may fill less than a buffer's whole length (5.4.6).
constexpr size_t kMostPerBuffer = 4096;
constexpr unsigned kMostBuffersAtOnce = 64;

}  // namespace

VirtioKind VirtioRng::kind() const {
  return {.name = "virtio-rng",
          .id = 4,
          .pci_device = 0x1005,
          .class_code = 0x00ff00,
          .queue_entries = kEntries};
}

VirtioDevice::Served VirtioRng::serve(unsigned index) {
  Virtqueue& queue = transport().queue(index);
  std::array<uint8_t, kMostPerBuffer> bytes;
  DescriptorChain chain;
  for (unsigned left = kMostBuffersAtOnce; left != 0; --left) {
    const Virtqueue::Taken taken = queue.take(&chain);
    if (taken == Virtqueue::Taken::None) return Served::All;
    // The driver gives buffers to write, and nothing else.
    if (taken == Virtqueue::Taken::Broken || chain.readable.bytes() != 0) return Served::Broken;
    const auto count =
        static_cast<size_t>(std::min<uint64_t>(chain.writable.bytes(), bytes.size()));
    source_.fill(std::span(bytes).first(count));
    chain.writable.put(transport().memory(), std::span(bytes).first(count));
    queue.give_back(chain.head, count);
  }
  return queue.has_waiting() ? Served::More : Served::All;
}

void VirtioRng::visit_state(StateArchive& archive) { archive.same("most", kMostPerBuffer); }

}  // namespace ringshift
