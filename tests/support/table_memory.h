// TableMemory: a small flat memory for page tables alone, which counts the updates made to it.
// Owns: its bytes. Reads outside it are all ones, as PageTableMemory asks; updates outside it
// vanish.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "shadowmmu/walker.h"

namespace ringshift {

class TableMemory final : public PageTableMemory {
 public:
  static constexpr uint64_t kBytes = 0x8000;

  [[nodiscard]] uint32_t read_entry32(GuestPhysical address) override {
    return contains(address, 4) ? load32(address.value()) : ~uint32_t{0};
  }
  [[nodiscard]] uint64_t read_entry64(GuestPhysical address) override {
    return contains(address, 8) ? load64(address.value()) : ~uint64_t{0};
  }
  void set_entry_bits(GuestPhysical address, uint32_t bits) override {
    ++updates_;
    if (contains(address, 4)) store32(address.value(), load32(address.value()) | bits);
  }

  [[nodiscard]] GuestPhysical masked(GuestPhysical address) const override { return address; }
  [[nodiscard]] const uint8_t* table_bytes(GuestPhysical address) const override {
    return contains(address, kPageSize) ? &bytes_.at(address.value()) : nullptr;
  }

  [[nodiscard]] uint32_t load32(uint64_t at) const { return load<uint32_t>(at); }
  [[nodiscard]] uint64_t load64(uint64_t at) const { return load<uint64_t>(at); }
  void store32(uint64_t at, uint32_t value) { std::memcpy(&bytes_.at(at), &value, sizeof(value)); }
  void store64(uint64_t at, uint64_t value) { std::memcpy(&bytes_.at(at), &value, sizeof(value)); }
  [[nodiscard]] uint32_t updates() const { return updates_; }
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  [[nodiscard]] static bool contains(GuestPhysical address, uint64_t length) {
    return address.value() <= kBytes - length;
  }
  template <typename T>
  [[nodiscard]] T load(uint64_t at) const {
    T value;
    std::memcpy(&value, &bytes_.at(at), sizeof(value));
    return value;
  }
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kBytes);
  uint32_t updates_ = 0;
};

}  // namespace ringshift
