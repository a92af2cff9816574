// Links and the lists of those that lead to a fragment.
#include "translator/link_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringshift {
namespace {

class LinkTableTest : public ::testing::Test {
 protected:
  uint32_t add(FragmentKind kind, Fragment& from) {
    const uint32_t number = links_.next(kind);
    links_.add(kind, from, {});
    return number;
  }
  std::vector<uint32_t> incoming_of(const Fragment& fragment) const {
    std::vector<uint32_t> found;
    for (uint32_t i = fragment.first_incoming; i != kNoLink; i = links_[i].next_incoming) {
      found.push_back(i);
    }
    return found;
  }
  LinkTable links_;
  Fragment a_;
  Fragment b_;
};

TEST_F(LinkTableTest, NumbersOfCopiesAreApart) {
  const uint32_t original = add(FragmentKind::Original, a_);
  const uint32_t copy = add(FragmentKind::Copy, b_);
  EXPECT_FALSE(LinkTable::is_of_copy(original));
  EXPECT_TRUE(LinkTable::is_of_copy(copy));
  EXPECT_EQ(links_[original].from, &a_);
  EXPECT_EQ(links_[copy].from, &b_);
  EXPECT_FALSE(links_.has(original + 1));
  links_.clear(FragmentKind::Copy);
  EXPECT_FALSE(links_.has(copy));
  EXPECT_TRUE(links_.has(original));
}

TEST_F(LinkTableTest, EachLinkCanLeaveTheListByItself) {
  for (size_t leaves = 0; leaves < 3; ++leaves) {
    const std::vector<uint32_t> numbers = {add(FragmentKind::Original, a_),
                                           add(FragmentKind::Copy, a_),
                                           add(FragmentKind::Original, b_)};
    for (const uint32_t number : numbers) links_.connect(number, b_);
    EXPECT_EQ(incoming_of(b_).size(), 3U);
    links_.disconnect(numbers[leaves]);
    links_.verify_invariants();
    EXPECT_EQ(incoming_of(b_).size(), 2U);
    EXPECT_EQ(links_[numbers[leaves]].to, nullptr);
    for (const uint32_t number : incoming_of(b_)) EXPECT_NE(number, numbers[leaves]);
    while (b_.first_incoming != kNoLink) links_.disconnect(b_.first_incoming);
    links_.verify_invariants();
  }
}

}  // namespace
}  // namespace ringshift
