// VirtioConsole: one port of a virtio serial device, which Linux calls hvc0: a queue of buffers for
// typed keys, and one of printed text. Does not own: the backend. See docs/devices.md; VIRTIO 1.2,
// 5.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "devices/chips/serial_backend.h"
#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

class VirtioConsole final : public VirtioDevice {
 public:
  explicit VirtioConsole(SerialBackend& backend) : backend_(backend) {}

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned offset) const override;
  void write_config_byte(unsigned offset, uint8_t value) override;
  void reset() override { forget(kTransmit); }
  void forget(unsigned queue) override;
  [[nodiscard]] Served serve(unsigned queue) override;

  // Bytes that are typed. Returns how many the guest has room for; the caller keeps the rest and
  // offers it again when on_room is called.
  [[nodiscard]] size_t receive(std::span<const uint8_t> bytes);
  // Called when the guest has given buffers, from inside a register access.
  void set_on_room(std::function<void()> on_room) { on_room_ = std::move(on_room); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

  static constexpr unsigned kReceive = 0, kTransmit = 1;
  // Bytes printed before the processor goes on.
  static constexpr size_t kMostAtOnce = 4096;

 private:
  [[nodiscard]] Served transmit();

  // Not state: chain_: kept for its room.
  SerialBackend& backend_;
  std::function<void()> on_room_;
  bool is_printing_ = false;  // a chain is printed piece by piece
  uint16_t head_ = 0;
  GuestBuffer text_;
  DescriptorChain chain_;
  bool broke_ = false;  // receive() has met rings that make no sense; serve() is to say so
};

}  // namespace ringshift
