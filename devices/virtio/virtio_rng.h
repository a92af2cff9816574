// VirtioRng: an entropy device: buffers come back with random bytes in them. Does not own: the
// source. See docs/devices.md; VIRTIO 1.1, 5.4.
#pragma once

#include "devices/virtio/random_source.h"
#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

class VirtioRng final : public VirtioDevice {
 public:
  explicit VirtioRng(RandomSource& source) : source_(source) {}

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned) const override { return 0; }
  void reset() override {}
  [[nodiscard]] Served serve(unsigned queue) override;

  // The device keeps nothing between two buffers.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 private:
  RandomSource& source_;
};

}  // namespace ringshift
