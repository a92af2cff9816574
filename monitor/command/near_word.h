// Near word: the word that somebody may have meant who typed another one. See docs/usage.md.
#pragma once

#include <string>
#include <vector>

namespace ringshift {

// How many letters have to be put in, left out or changed to make one the other.
[[nodiscard]] size_t letters_apart(const std::string& a, const std::string& b);

// The nearest of `words` if it is one letter away, or two of a word of six; empty: none is near.
[[nodiscard]] std::string near_word(const std::string& typed,
                                    const std::vector<std::string>& words);

}  // namespace ringshift
