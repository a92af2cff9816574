// Spelling: a command line as people type it, QEMU's single-dash words among it, in our own words.
// The parser of options never sees a single-dash word of many letters, which it would take for many
// options of one letter. See docs/usage.md, "QEMU's spelling".
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ringshift {

struct SpelledLine {
  std::vector<std::string> words;  // a command first, then its options with two dashes
  std::string note;     // one line about words that were understood and change nothing; empty: none
  std::string problem;  // not empty: the line is refused, and this says why
};

// Says whether an option of `run`, named with its dashes, takes a value; none: there is no such
// option.
using LongOptions = std::function<std::optional<bool>(const std::string& name)>;

// A line that begins with an option or with the name of a file means `run`.
[[nodiscard]] SpelledLine spell(const std::vector<std::string>& typed, const LongOptions& options);

}  // namespace ringshift
