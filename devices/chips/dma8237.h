// Dma8237: the two DMA controllers and the page latches. Owns: addresses, counts, masks. Does not
// own: RAM. See docs/devices.md; Intel 8237A datasheet 231466; PC/AT technical reference.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"

namespace ringshift {

class StateArchive;

// One controller chip: sixteen registers.
class Dma8237 {
 public:
  [[nodiscard]] uint8_t read(unsigned index);
  void write(unsigned index, uint8_t value);

  enum class Direction : uint8_t { ToMemory, FromMemory };
  // How many of `wanted` bytes the channel would move now, and from which address on; 0 if it is
  // masked, or set up for the other direction.
  [[nodiscard]] uint32_t grant(unsigned channel, Direction direction, uint32_t wanted,
                               uint16_t* address) const;
  // So many have been moved; true at terminal count. Pre: as granted.
  bool advance(unsigned channel, uint32_t bytes);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Channel {
    uint16_t base_address = 0;
    uint16_t base_count = 0;
    uint16_t address = 0;
    uint16_t count = 0;
    uint8_t mode = 0;
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
  };
  void write_channel(unsigned index, uint8_t value);
  void master_clear();

  std::array<Channel, 4> channels_;
  bool high_byte_next_ = false;  // the flip-flop shared by all 16-bit registers
  uint8_t mask_ = 0x0f;
  uint8_t requests_ = 0;
  uint8_t command_ = 0;
  uint8_t terminal_counts_ = 0;  // since the status was read
};

class DmaControllers {
 public:
  DmaControllers();

  // A device on channel 0 to 3 moves bytes to or from memory. Returns how many were
  // moved; *ended at terminal count.
  uint32_t to_memory(unsigned channel, DmaMemory& memory, std::span<const uint8_t> bytes,
                     bool* ended);
  uint32_t from_memory(unsigned channel, DmaMemory& memory, std::span<uint8_t> bytes, bool* ended);

  [[nodiscard]] PortDevice& first_ports() { return first_ports_; }    // 0x00-0x0f
  [[nodiscard]] PortDevice& second_ports() { return second_ports_; }  // 0xc0-0xdf, even addresses
  [[nodiscard]] PortDevice& page_ports() { return page_ports_; }      // 0x81-0x8f

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] uint64_t page_of(unsigned channel) const;
  Dma8237 first_;
  Dma8237 second_;
  std::array<uint8_t, 16> pages_{};
  PortWindow first_ports_;
  PortWindow second_ports_;
  PortWindow page_ports_;
};

}  // namespace ringshift
