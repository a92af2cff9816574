// MemoryTypes: the memory type range registers (MTRRs), which keep the written values and change
// nothing: guest memory is cached as the host caches it. Firmware sets them, kernels read them.
// Owns: their values. SDM 3A 11.11.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace ringshift {

class StateArchive;

class MemoryTypes {
 public:
  static constexpr unsigned kRanges = 8;
  // Nothing: there is no such register.
  [[nodiscard]] std::optional<uint64_t> read(uint32_t index);
  // False: no such register, or not a value for it.
  [[nodiscard]] bool write(uint32_t index, uint64_t value);
  // As firmware leaves them: write-back but for devices.
  void set_up();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] uint64_t* find(uint32_t index);

  std::array<uint64_t, size_t{2} * kRanges> variable_{};
  std::array<uint64_t, 11> fixed_{};
  uint64_t default_ = 0;
};

}  // namespace ringshift
