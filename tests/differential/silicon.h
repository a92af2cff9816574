// Silicon: runs 32-bit code on the processor itself, in compatibility mode (SDM 3A 9.8.5.3), at the
// addresses a guest of these tests sees. Owns: the low mappings of code and data, the handlers
// while a run lasts. One at a time; vCPU thread only.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "tests/differential/outcome.h"

namespace ringshift::differential {

class Silicon {
 public:
  // Null with one line in *error where the addresses are taken or 32-bit code is refused.
  static std::unique_ptr<Silicon> create(std::string* error);
  ~Silicon();
  Silicon(const Silicon&) = delete;
  Silicon& operator=(const Silicon&) = delete;

  // Runs `code` (which lies in the code area from start.eip on) over `data` to its fault or end.
  [[nodiscard]] Outcome run(const Start& start, std::span<const uint8_t> code,
                            std::span<const uint8_t> data);
  // Whether it can start with segments that are not flat.
  [[nodiscard]] bool has_segments() const { return has_segments_; }

 private:
  Silicon() = default;
  bool has_segments_ = false;
};

}  // namespace ringshift::differential
