// Value words: the words that an option's value can begin with, for completion. A word that goes on
// ends with "=". tests/unit/monitor/command/manual compares them with the options' messages when
// they refuse a value. See docs/packaging.md.
#pragma once

#include <string>
#include <vector>

namespace ringshift::manual {

// The words that an option can have as its value; option: the long name, with its dashes. Empty:
// the option has no such words.
[[nodiscard]] std::vector<std::string> words_of_value(const std::string& option);

}  // namespace ringshift::manual
