// Shared by tests of a backup that joins: a machine of some RAM and a few bytes of state.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/replication/joined_machine.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

class FewGrains final : public JoinedMachine {
 public:
  static constexpr uint32_t kGrain = 64 * 1024, kGrains = 8;
  static constexpr uint64_t kRam = uint64_t{kGrains} * kGrain;

  explicit FewGrains(uint64_t ram = kRam) {
    std::string error;
    ram_ = GuestMemory::create(ram, &error);
    CHECK(ram_ != nullptr);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
  }
  void write(uint64_t place, uint32_t value) { memory_->write(GuestPhysical(place), &value, 4); }
  uint32_t read(uint64_t place) {
    uint32_t value = 0;
    memory_->read(GuestPhysical(place), &value, 4);
    return value;
  }

  [[nodiscard]] PhysicalMemory& physical_memory() override { return *memory_; }
  [[nodiscard]] TapePosition position() const override { return at; }
  [[nodiscard]] bool take_moment(const std::function<bool()>& with_ram, std::vector<uint8_t>* bytes,
                                 std::string* error) override {
    if (!with_ram()) return false;
    *bytes = state;
    if (state.empty()) *error = "it has no state";
    return !state.empty();
  }
  [[nodiscard]] bool load_moment(std::span<const uint8_t> bytes, const TapePosition& there,
                                 std::string* error) override {
    state.assign(bytes.begin(), bytes.end());
    at = there;
    if (state.empty()) *error = "it has no state";
    return !state.empty();
  }
  [[nodiscard]] bool is_ending() const override { return false; }

  TapePosition at;
  std::vector<uint8_t> state;

 private:
  MemoryBus bus_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
};

}  // namespace ringshift
