// BochsDisplay: linear frame buffer modes behind an index and a data port ("dispi"), and the PCI
// function with the frame buffer and the video BIOS. Owns: 16 MiB of display memory, the ROM. Does
// not own: the VGA registers. See docs/devices.md; the "VBE DISPI" interface of the Bochs VGA,
// versions 0 to 5.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "devices/bus/device.h"
#include "devices/pci/pci_function.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {

class StateArchive;

class BochsDisplay {
 public:
  static constexpr uint32_t kMemoryBytes = 16U << 20;

  // rom: the video BIOS, at most 64 KiB; empty: none.
  BochsDisplay(PciBuses& buses, std::vector<uint8_t> rom);
  BochsDisplay(const BochsDisplay&) = delete;
  BochsDisplay& operator=(const BochsDisplay&) = delete;

  [[nodiscard]] PciFunction& function() { return function_; }
  [[nodiscard]] PortDevice& ports() { return registers_; }  // 0x1ce-0x1d1

  // Sets a mode as software does, the screen black; false: there is no such mode.
  [[nodiscard]] bool show(uint32_t width, uint32_t height, uint32_t bits);
  // The picture on the screen, while the mode is one of ours and not the VGA's. Every pixel of
  // [0, height) x [0, width) lies in memory().
  struct Mode {
    uint32_t width = 0;
    uint32_t height = 0;
    uint32_t bits_per_pixel = 0;  // 8, 15, 16, 24 or 32
    uint32_t first_byte = 0;
    uint32_t bytes_per_line = 0;
    [[nodiscard]] bool operator==(const Mode&) const = default;
  };
  [[nodiscard]] bool enabled() const;
  [[nodiscard]] Mode mode() const;  // Pre: enabled()
  [[nodiscard]] std::span<const uint8_t> memory() const { return frame_buffer_.bytes(); }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  static constexpr unsigned kRegisters = 11;

  // Plain bytes that cannot be written.
  struct Rom final : public MemoryDevice {
    explicit Rom(std::vector<uint8_t> content) : bytes(std::move(content)) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t, AccessWidth, uint32_t) override {}
    [[nodiscard]] const uint8_t* readable_bytes() const override { return bytes.data(); }
    std::vector<uint8_t> bytes;
  };
  class FrameBuffer final : public MemoryDevice {
   public:
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;
    [[nodiscard]] const uint8_t* readable_bytes() const override { return bytes().data(); }
    [[nodiscard]] uint8_t* writable_bytes() override {
      is_zero_ = false;
      return bytes().data();
    }
    [[nodiscard]] std::span<uint8_t> bytes() const { return bytes_.span(); }
    void clear();
    void visit_bytes(StateArchive& archive);

   private:
    ZeroedBytes bytes_{kMemoryBytes};
    // True: nobody can have written to the memory. Most guests show text, and need not pay for its
    // pages.
    bool is_zero_ = true;
  };
  class Registers final : public PortDevice {
   public:
    explicit Registers(FrameBuffer& memory);
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;
    [[nodiscard]] uint16_t at(unsigned index) const { return values_[index]; }
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);

   private:
    [[nodiscard]] uint16_t read_data() const;
    void write_data(uint16_t value);
    void enable(uint16_t value);
    FrameBuffer& memory_;  // cleared by a new mode
    uint16_t index_ = 0;
    std::array<uint16_t, kRegisters> values_{};
  };
  class Function final : public PciFunction {
   public:
    Function(PciBuses& buses, MemoryDevice& frame_buffer, MemoryDevice& rom, bool has_rom);
  };

  FrameBuffer frame_buffer_;
  Rom rom_;
  Registers registers_;
  Function function_;
};

}  // namespace ringshift
