// Ne2kPci: a Realtek RTL8029AS, the PCI form of the NE2000: the registers of a DP8390 and 16 KiB of
// memory of its own, which only the card reaches. The driver puts frames to send there; received
// frames are stored in a ring in it. Owns: that memory. Does not own: the port that frames go
// through. A port without room keeps the command to send pending, a ring without room leaves frames
// in the port. See docs/networking.md; RTL8029AS, DP8390D (National Semiconductor, TL/F/8582).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/bus/device.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/pci/pci_function.h"
#include "devices/virtio/packet_port.h"

namespace ringshift {

struct Ne2kSurroundings {
  PciBuses& buses;
  VirtualClock& clock;
  InterruptLine& line;
};

class Ne2kPci final : public PciFunction {
 public:
  Ne2kPci(const Ne2kSurroundings& on, PacketPort& port, const MacAddress& address);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

  static constexpr uint32_t kPortBytes = 32;
  static constexpr uint32_t kMemoryAt = 0x4000, kMemoryBytes = 0x4000;
  static constexpr size_t kLeastFrame = 14, kLongestFrame = 1518;

 private:
  class Ports final : public PortDevice {
   public:
    explicit Ports(Ne2kPci& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    Ne2kPci& owner_;
  };

  void reset();
  [[nodiscard]] uint8_t read_register(unsigned number);
  [[nodiscard]] uint8_t read_page_0(unsigned number);
  [[nodiscard]] uint8_t read_page_2(unsigned number) const;
  void write_register(unsigned number, uint8_t value);
  void write_page_0(unsigned number, uint8_t value);
  void write_command(uint8_t value);

  [[nodiscard]] uint32_t read_data(AccessWidth width);
  void write_data(AccessWidth width, uint32_t value);
  [[nodiscard]] unsigned step_of(AccessWidth width) const;
  void pass_data(unsigned bytes);
  [[nodiscard]] uint8_t memory_at(uint32_t address) const;
  void set_memory(uint32_t address, uint8_t value);

  void serve();
  void transmit();
  void receive();
  [[nodiscard]] bool is_running() const;
  [[nodiscard]] bool accepts(std::span<const uint8_t> frame) const;
  [[nodiscard]] bool has_ring() const;
  [[nodiscard]] uint32_t boundary_in_ring() const;
  [[nodiscard]] uint32_t free_pages() const;
  void store(std::span<const uint8_t> frame);
  void miss();

  void raise(uint8_t causes);
  void update_line();

  // Not state: port_window_: a way to the registers.
  // Not state: frame_: where one is put together; kept for its room.
  InterruptLine& line_;
  PacketPort& port_;
  Ports port_window_{*this};
  std::array<uint8_t, kMemoryBytes> memory_{};
  MacAddress address_{};                // in its PROM
  std::array<uint8_t, 6> physical_{};   // PAR
  std::array<uint8_t, 8> multicast_{};  // MAR
  uint8_t command_ = 0, causes_ = 0, mask_ = 0;
  bool is_told_ = false;  // the driver has wanted to be interrupted for frames since the reset
  uint8_t data_control_ = 0, receive_control_ = 0, transmit_control_ = 0;
  uint8_t start_page_ = 0, stop_page_ = 0, boundary_ = 0, current_ = 0, transmit_page_ = 0;
  uint8_t transmit_status_ = 0, receive_status_ = 0, missed_ = 0;
  uint16_t transmit_bytes_ = 0;
  uint16_t data_address_ = 0, data_count_ = 0;  // of the data port ("remote DMA")
  std::vector<uint8_t> frame_;
  ClockTimer more_;
};

}  // namespace ringshift
