// MemoryFixture: guest RAM, a memory bus and PhysicalMemory wired together, for tests above them.
// Owns: all three.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "monitor/memory/physical_memory.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

// Remembers what it was asked for; answers each read with the low bytes of 0xd3d2d1d0 + offset.
class RecordingDevice final : public MemoryDevice {
 public:
  struct Access {
    uint64_t offset;
    uint32_t width;
    uint32_t value;  // writes only
    bool operator==(const Access&) const = default;
  };
  [[nodiscard]] uint32_t read(uint64_t offset, AccessWidth width) override {
    reads.push_back({offset, static_cast<uint32_t>(width), 0});
    uint32_t value = 0xd3d2d1d0U + static_cast<uint32_t>(offset);
    return width == AccessWidth::Dword ? value
                                       : value & ((1U << (8 * static_cast<uint32_t>(width))) - 1);
  }
  void write(uint64_t offset, AccessWidth width, uint32_t value) override {
    writes.push_back({offset, static_cast<uint32_t>(width), value});
  }
  std::vector<Access> reads;
  std::vector<Access> writes;
};

// Watches one page and remembers the writes to it.
class RecordingObserver final : public WriteObserver {
 public:
  explicit RecordingObserver(GuestPhysicalPage page) : page_(page) {}
  [[nodiscard]] bool watches(GuestPhysicalPage page) const override {
    return watching && page == page_;
  }
  void on_write(GuestPhysical address, uint32_t length) override {
    addresses.push_back(address);
    lengths.push_back(length);
  }
  bool watching = true;
  std::vector<GuestPhysical> addresses;
  std::vector<uint32_t> lengths;

 private:
  GuestPhysicalPage page_;
};

class MemoryFixture : public testing::Test {
 protected:
  static constexpr uint64_t kRamBytes = 4 << 20;
  static constexpr GuestPhysical kDevice{0x200000};  // a page with RAM behind it, claimed

  MemoryFixture() {
    std::string error;
    ram_ = GuestMemory::create(kRamBytes, &error);
    EXPECT_NE(ram_, nullptr) << error;
    EXPECT_TRUE(bus_.claim(kDevice, kPageSize, device_, "test device"));
    physical_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
  }
  [[nodiscard]] uint32_t ram32(uint64_t at) const {
    uint32_t value;
    std::memcpy(&value, ram_->at(GuestPhysical(at)), sizeof(value));
    return value;
  }
  void set_ram32(uint64_t at, uint32_t value) {
    std::memcpy(ram_->at(GuestPhysical(at)), &value, sizeof(value));
  }

  std::unique_ptr<GuestMemory> ram_;
  MemoryBus bus_;
  RecordingDevice device_;
  std::unique_ptr<PhysicalMemory> physical_;
};

}  // namespace ringshift
