// VgaMemory: the four planes of a VGA, as the processor reaches them through the sequencer and the
// graphics controller. Owns: 256 KiB of display memory, the latches. Does not own: the registers.
// See docs/devices.md; IBM VGA technical reference, "Graphics controller".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace ringshift {

class StateArchive;

struct VgaRegisterFile {
  std::array<uint8_t, 8> sequencer{};
  std::array<uint8_t, 16> graphics{};
};

class VgaMemory {
 public:
  static constexpr uint32_t kPlaneBytes = 0x10000;

  explicit VgaMemory(const VgaRegisterFile& registers)
      : registers_(registers), planes_(size_t{4} * kPlaneBytes) {}

  // offset: from 0xa0000. Outside the window that is decoded: all ones, and nothing.
  [[nodiscard]] uint8_t read(uint32_t offset);
  void write(uint32_t offset, uint8_t value);
  [[nodiscard]] uint8_t plane(unsigned number, uint32_t address) const {
    return planes_[(address % kPlaneBytes) * 4 + number];
  }

  void put_in_plane(unsigned number, uint32_t address, uint8_t value) {
    planes_[(address % kPlaneBytes) * 4 + number] = value;
  }
  // The four bytes of an address side by side.
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return planes_; }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  // The offset in the window at which the address lies; nothing: outside.
  [[nodiscard]] std::optional<uint32_t> decode(uint32_t offset) const;
  [[nodiscard]] bool chained() const { return (registers_.sequencer[4] & 0x08) != 0; }
  [[nodiscard]] bool odd_even() const { return (registers_.graphics[6] & 0x02) != 0; }
  void write_planes(uint32_t address, uint8_t value, uint8_t plane_mask);
  [[nodiscard]] uint8_t combine(uint8_t value, unsigned plane) const;

  const VgaRegisterFile& registers_;
  std::vector<uint8_t> planes_;  // the four bytes of an address side by side
  std::array<uint8_t, 4> latch_{};
};

}  // namespace ringshift
