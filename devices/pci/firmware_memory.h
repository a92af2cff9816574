// FirmwareMemory: the BIOS image below 4 GiB, and the shadow RAM of 0xc0000-0xfffff that the host
// bridge's PAM registers turn on and off. Owns: the image, the claims of its ranges on the bus.
// Does not own: RAM. Keeps: D1 M2. See docs/devices.md; Intel 82441FX (PMC) datasheet 290549, PAM
// registers.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/bus/bus.h"
#include "devices/bus/device.h"
#include "devices/bus/dma_memory.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class StateArchive;

class FirmwareMemory {
 public:
  static constexpr unsigned kShadowSegments = 13;  // 16 KiB each from 0xc0000; the last has 64 KiB

  // image: at most 16 MiB, a multiple of 64 KiB, ending at 4 GiB; its end is seen below 1 MiB too.
  FirmwareMemory(std::vector<uint8_t> image, GuestMemory& ram, DmaMemory& dma, MemoryBus& bus);
  FirmwareMemory(const FirmwareMemory&) = delete;
  FirmwareMemory& operator=(const FirmwareMemory&) = delete;

  [[nodiscard]] static bool is_good_size(uint64_t bytes);
  // PAM: reads go to RAM, writes go to RAM; otherwise reads go to the image and writes nowhere.
  // True if anything changed: mappings of guest-physical memory are void then.
  [[nodiscard]] bool set_shadow(unsigned segment, bool read_ram, bool write_ram);

  // Only a check that the image is the same: the shadowed ranges are the host bridge's state.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  class Image final : public MemoryDevice {
   public:
    explicit Image(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t, AccessWidth, uint32_t) override {}
    [[nodiscard]] const uint8_t* readable_bytes() const override { return bytes_.data(); }
    [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }

   private:
    std::vector<uint8_t> bytes_;
  };
  // One range whose reads and writes do not both go to RAM.
  struct Segment final : public MemoryDevice {
    [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override;
    void write(uint64_t offset, AccessWidth width, uint32_t value) override;
    [[nodiscard]] const uint8_t* readable_bytes() const override { return source; }
    DmaMemory* dma = nullptr;
    uint64_t address = 0;
    uint64_t bytes = 0;
    const uint8_t* image = nullptr;
    const uint8_t* source = nullptr;  // the bytes that reads see: the image or RAM
    bool write_ram = false;
    bool claimed = false;
  };

  // Not state: nothing_, segments_: the host bridge's registers say where each segment leads.
  GuestMemory& ram_;
  MemoryBus& bus_;
  Image image_;
  std::vector<uint8_t> nothing_;  // the bytes below 1 MiB that the image does not reach
  std::array<Segment, kShadowSegments> segments_;
};

}  // namespace ringshift
