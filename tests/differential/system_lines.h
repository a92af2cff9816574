// SystemLines: one random system instruction after another, with the few that make it meaningful.
// Owns: the bytes being made. See SDM 2 for each encoding beside it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "tests/differential/random.h"

namespace ringshift::differential {

class SystemLines {
 public:
  // Code that will lie at `linear`, for this ring.
  SystemLines(Random& random, uint32_t linear, bool user)
      : random_(random), linear_(linear), user_(user) {}

  // Appends one step: a few instructions, from a fresh line to the end of a line.
  void step();
  void append(std::initializer_list<uint32_t> bytes);
  void align();
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  using Bytes = std::vector<uint8_t>;
  void add(Bytes instruction);
  void load_eax(uint32_t value);
  void push(uint32_t value);
  [[nodiscard]] uint32_t selector();
  [[nodiscard]] uint32_t data_address();
  [[nodiscard]] uint32_t next_line(uint32_t lines) const;
  void flags();
  void segments();
  void control();
  void tables();
  void page_table();
  void far_transfer();
  void software_interrupt();
  void ports();
  void memory();
  void strings();
  void self_modify();
  void go_to_user();
  void sense();

  Random& random_;
  uint32_t linear_;
  bool user_;
  Bytes bytes_;
};

}  // namespace ringshift::differential
