// Dma8237: the registers of the two DMA controllers and of the page latches.
// Owns: addresses, counts, masks. No device on this board requests DMA, so nothing is ever moved.
// Called by: bus. See docs/devices.md; Intel 8237A datasheet 231466; PC/AT technical reference.
#pragma once

#include <array>
#include <cstdint>

#include "devices/byte_ports.h"

namespace ringshift {

// One controller chip: sixteen registers.
class Dma8237 {
 public:
  [[nodiscard]] uint8_t read(unsigned index);
  void write(unsigned index, uint8_t value);

 private:
  struct Channel {
    uint16_t base_address = 0;
    uint16_t base_count = 0;
    uint16_t address = 0;
    uint16_t count = 0;
    uint8_t mode = 0;
  };
  void write_channel(unsigned index, uint8_t value);
  void master_clear();

  std::array<Channel, 4> channels_;
  bool high_byte_next_ = false;  // the flip-flop shared by all 16-bit registers
  uint8_t mask_ = 0x0f;
  uint8_t requests_ = 0;
  uint8_t command_ = 0;
};

class DmaControllers {
 public:
  DmaControllers();

  [[nodiscard]] PortDevice& first_ports() { return first_ports_; }    // 0x00-0x0f
  [[nodiscard]] PortDevice& second_ports() { return second_ports_; }  // 0xc0-0xdf, even addresses
  [[nodiscard]] PortDevice& page_ports() { return page_ports_; }      // 0x81-0x8f

 private:
  Dma8237 first_;
  Dma8237 second_;
  std::array<uint8_t, 16> pages_{};
  PortWindow first_ports_;
  PortWindow second_ports_;
  PortWindow page_ports_;
};

}  // namespace ringshift
