// Encoder: one row as bytes, with operands chosen so that memory is hit where it is wanted. Owns:
// nothing beyond its references. Encodings: SDM 2A 2.1.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/differential/random.h"
#include "tests/differential/rows.h"
#include "translator/guest_state.h"

namespace ringshift::differential {

class Encoder {
 public:
  Encoder(Random& random, const GuestState& state) : random_(random), state_(state) {}
  [[nodiscard]] std::vector<uint8_t> encode(const Row& row);
  // An address in the data area, more often than not an ordinary one.
  [[nodiscard]] uint32_t target(bool aligned);

 private:
  void append(uint32_t value, unsigned bytes);
  void append_vex();
  void append_modrm(const Row& row, bool memory, bool word);
  void append_memory(uint32_t address, unsigned field);
  void append_sib(uint32_t address, unsigned field);
  void append_displacement(unsigned mode, uint32_t displacement);
  void append_immediate(const Row& row, bool word);
  [[nodiscard]] unsigned destination();
  [[nodiscard]] int32_t bit_string_step(unsigned field, bool word) const;

  Random& random_;
  const GuestState& state_;
  std::vector<uint8_t> bytes_;
};

}  // namespace ringshift::differential
