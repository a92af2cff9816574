// E1000: an Intel 82540EM, the gigabit network card that nearly every system has a driver for: its
// registers, two rings of descriptors, checksums and segments for sent packets. Does not own: the
// port that frames go through. A port without room leaves descriptors in the ring, a ring without
// descriptors leaves frames in the port. See docs/networking.md; Intel 317453.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/network/e1000_packet.h"
#include "devices/network/e1000_registers.h"
#include "devices/network/ethernet_phy.h"
#include "devices/network/microwire_eeprom.h"
#include "devices/pci/pci_function.h"
#include "devices/virtio/packet_port.h"

namespace ringshift {

struct E1000Surroundings {
  PciBuses& buses;
  VirtualClock& clock;
  DmaMemory& memory;
  InterruptLine& line;
};

class E1000 final : public PciFunction {
 public:
  // takes_any_address: as for VirtioNet.
  E1000(const E1000Surroundings& on, PacketPort& port, const MacAddress& address,
        bool takes_any_address = false);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

  static constexpr uint32_t kMemoryBytes = 0x20000, kPortBytes = 64;
  static constexpr unsigned kMemoryBar = 0, kPortBar = 2;
  // A frame longer than this one, its tag included, goes nowhere.
  static constexpr size_t kLeastFrame = 14, kLongestFrame = 1518;

 private:
  class Registers final : public MemoryDevice {
   public:
    explicit Registers(E1000& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;

   private:
    E1000& owner_;
  };
  // An address, and what is there (13.3.2... IOADDR, IODATA).
  class Window final : public PortDevice {
   public:
    explicit Window(E1000& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    E1000& owner_;
  };
  using Descriptor = std::array<uint8_t, e1000::kDescriptorBytes>;
  // A ring as its registers say it is now: any guest may change them at any time.
  struct Ring {
    uint64_t base;
    uint32_t entries, head, tail;
    [[nodiscard]] uint64_t address(uint32_t index) const {
      return base + uint64_t{index} * e1000::kDescriptorBytes;
    }
    [[nodiscard]] uint32_t waiting() const {
      return entries == 0 ? 0 : (tail + entries - head) % entries;
    }
  };

  [[nodiscard]] uint32_t& at(uint32_t offset) { return registers_[offset / 4]; }
  [[nodiscard]] uint32_t value(uint32_t offset) const { return registers_[offset / 4]; }
  [[nodiscard]] uint32_t read_register(uint32_t offset);
  [[nodiscard]] uint32_t read_statistic(uint32_t offset);
  void write_register(uint32_t offset, uint32_t value);
  void write_control(uint32_t value);
  void write_eecd(uint32_t value);
  void write_mdic(uint32_t value);
  void reset();
  [[nodiscard]] uint32_t eecd() const;
  [[nodiscard]] bool link_is_up() const;
  void on_port_change();

  void raise(uint32_t causes);
  void update_line();

  [[nodiscard]] Ring ring(uint32_t base_register) const;
  void serve();
  void transmit();
  void send_what_waits();
  [[nodiscard]] bool send_next_frame();
  void take_descriptor(const Descriptor& descriptor);
  void gather(uint64_t address, uint32_t bytes);
  void write_back(uint64_t address, Descriptor* descriptor, uint8_t status);
  void receive();
  [[nodiscard]] bool accepts(std::span<const uint8_t> frame) const;
  [[nodiscard]] bool passes_address(std::span<const uint8_t> frame) const;
  [[nodiscard]] uint32_t buffer_bytes() const;
  void make_received(std::span<const uint8_t> frame, uint32_t* tag);
  void store_received(const Ring& ring, uint32_t tag);
  void count_frame(std::span<const uint8_t> frame, uint32_t good, uint32_t multicast,
                   uint32_t broadcast, uint32_t octets);

  // Not state: received_: where a frame is put together; kept for its room.
  // Not state: budget_: of one call.
  // Not state: takes_any_address_: set when it is made.
  // Not state: register_page_, window_: ways to the registers.
  DmaMemory& memory_;
  InterruptLine& line_;
  VirtualClock& clock_;
  PacketPort& port_;
  Registers register_page_{*this};
  Window window_{*this};
  MicrowireEeprom eeprom_;
  EthernetPhy phy_;
  std::array<uint32_t, e1000::kRegistersEnd / 4> registers_{};
  uint32_t causes_ = 0;  // ICR
  uint32_t mask_ = 0;    // IMS
  uint32_t window_address_ = 0;
  bool takes_any_address_;
  bool told_up_ = false;  // the link as it was when its last change was told
  bool line_is_up_ = false;
  Nanoseconds quiet_until_ = 0;  // ITR
  E1000Packet packet_;
  size_t budget_ = 0;
  std::vector<uint8_t> received_;
  ClockTimer more_;
  ClockTimer quiet_;
};

}  // namespace ringshift
