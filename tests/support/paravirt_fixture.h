// ParavirtFixture: a CPU, and RAM of its own for the structures of a hypervisor interface, which a
// test can read as bytes and watch. Owns: both.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "tests/support/cpu_fixture.h"

namespace ringshift {

class ParavirtFixture : public CpuFixture {
 protected:
  ParavirtFixture() {
    std::string error;
    told_ = GuestMemory::create(kRamBytes, &error);
    EXPECT_NE(told_, nullptr) << error;
    told_memory_ = std::make_unique<PhysicalMemory>(*told_, told_bus_);
  }
  template <typename T>
  [[nodiscard]] T told(uint32_t at) const {
    T value;
    std::memcpy(&value, told_->at(GuestPhysical(at)), sizeof value);
    return value;
  }
  template <typename T>
  void put(uint32_t at, T value) {
    std::memcpy(told_->at(GuestPhysical(at)), &value, sizeof value);
  }

  MemoryBus told_bus_;
  std::unique_ptr<GuestMemory> told_;
  std::unique_ptr<PhysicalMemory> told_memory_;
};

}  // namespace ringshift
