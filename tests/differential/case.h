// Case: a short run of random unprivileged code, its start, and how the oracle runs it. Owns:
// values. Generation looks at the state the interpreter has reached, so that addresses fall where
// they are wanted; a case is then fixed bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/differential/guest.h"
#include "tests/differential/outcome.h"

namespace ringshift::differential {

// Instructions that stay together when a failing case is shrunk.
struct Piece {
  std::vector<uint8_t> bytes;
  int relocation = -1;  // offset of a dword to which the piece's own address is added
};

struct Case {
  uint64_t seed = 0;
  Start start;
  uint32_t data_offset = 0;
  std::vector<Piece> pieces;

  [[nodiscard]] std::vector<uint8_t> code() const;  // kEndBytes included
  [[nodiscard]] std::span<const uint8_t> data() const;
};

// The oracle's result: the outcome, and the parts of it in which other runs may differ.
struct Expected {
  Outcome outcome;
  uint32_t undefined_flags = 0;
  bool depends_on_undefined = false;  // such a case says nothing
  // If several addresses fault, the implementation chooses which one CR2 shows.
  uint32_t cr2_mask = ~0U;
  bool x87_compared = true;
  uint8_t mxcsr_mask = 0xff;  // of its exception flags
  uint32_t instructions = 0;
};

// Pre: guest is for interpreting. With Alignment::Checked EFLAGS.AC is set at the start.
enum class Alignment : uint8_t { Unchecked, Checked };
[[nodiscard]] Case generate(uint64_t seed, Guest& guest, Segments segments = Segments::Flat,
                            Alignment alignment = Alignment::Unchecked);
[[nodiscard]] Expected run_oracle(const Case& test, Guest& guest, Ring ring);
[[nodiscard]] std::string listing(const Case& test);

}  // namespace ringshift::differential
