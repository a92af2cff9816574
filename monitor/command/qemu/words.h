// Words: every single-dash word that is understood, one row each: our word for it, why it changes
// nothing, why it cannot be had, or who reads its value. A new facility changes its row. See
// docs/usage.md.
#pragma once

#include <span>

#include "monitor/command/qemu/qemu_line.h"

namespace ringshift::qemu {

enum class Meaning : uint8_t {
  Ours,      // text: our word, with the same value
  Idle,      // text: why it changes nothing
  Refused,   // text: why it cannot be had
  Read,      // by a reader
  ReadLast,  // by a reader, behind all others: it names by their ids what other words make
};

struct Word {
  const char* name;  // with its dash
  bool has_value;
  Meaning meaning;
  const char* text;
  Reader read;
};

[[nodiscard]] std::span<const Word> all_words();

}  // namespace ringshift::qemu
