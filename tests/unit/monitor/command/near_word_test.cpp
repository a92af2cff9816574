#include "monitor/command/near_word.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(NearWord, IsOneLetterAwayOrTwoInALongWord) {
  const std::vector<std::string> words{"cpu", "memory", "kernel"};
  EXPECT_EQ(near_word("memroy", words), "memory");
  EXPECT_EQ(near_word("cpus", words), "cpu");
  EXPECT_EQ(near_word("kernels", words), "kernel");
  EXPECT_EQ(near_word("xyz", words), "");
  EXPECT_EQ(near_word("", words), "");
  EXPECT_EQ(near_word(std::string(1000, 'm'), words), "");
}

TEST(NearWord, LettersApartAreCounted) {
  EXPECT_EQ(letters_apart("", "abc"), 3U);
  EXPECT_EQ(letters_apart("abc", "abc"), 0U);
  EXPECT_EQ(letters_apart("abc", "axc"), 1U);
  EXPECT_EQ(letters_apart("abc", "bc"), 1U);
}

}  // namespace
}  // namespace ringshift
