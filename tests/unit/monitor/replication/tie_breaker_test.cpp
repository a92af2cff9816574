#include "monitor/replication/tie_breaker.h"

#include <gtest/gtest.h>

#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

using Side = TieBreaker::Side;

TEST(TieBreaker, NamesTheFirstOneForGood) {
  for (const bool is_primary_first : {true, false}) {
    const TieFile file;
    auto first = file.open(Side::Primary), second = file.open(Side::Backup);
    if (!is_primary_first) std::swap(first, second);
    std::string why;
    EXPECT_TRUE(first->win(&why)) << why;
    EXPECT_FALSE(second->win(&why));
    EXPECT_NE(why.find("says that the other machine goes on"), std::string::npos) << why;
    EXPECT_TRUE(first->win(&why));
    EXPECT_FALSE(second->win(&why));
  }
}

TEST(TieBreaker, IsOfOnePair) {
  const TieFile file;
  const auto old = file.open(Side::Primary), follower = file.open(Side::Backup);
  const auto next = file.open(Side::Primary, {9});
  std::string why;
  EXPECT_FALSE(follower->win(&why));
  EXPECT_NE(why.find("belongs to another pair"), std::string::npos) << why;
  EXPECT_FALSE(old->win(&why));
  EXPECT_EQ(TieBreaker::open(file.path(), Side::Backup, {1, 2, 3}, &why), nullptr);
  EXPECT_NE(why.find("is not the file of this primary"), std::string::npos) << why;
  EXPECT_TRUE(next->win(&why));
}

TEST(TieBreaker, IsRenewedByTheOneThatLives) {
  for (const bool is_primary_first : {true, false}) {
    const TieFile file;
    auto lives = file.open(Side::Primary), other = file.open(Side::Backup);
    if (!is_primary_first) std::swap(lives, other);
    std::string why;
    ASSERT_TRUE(lives->win(&why)) << why;
    EXPECT_FALSE(other->renew({4}, &why));
    EXPECT_NE(why.find("says that the other machine goes on"), std::string::npos) << why;
    ASSERT_TRUE(lives->renew({5}, &why)) << why;
    EXPECT_FALSE(other->win(&why));
    EXPECT_NE(why.find("belongs to another pair"), std::string::npos) << why;
    EXPECT_FALSE(other->renew({4}, &why));
    ASSERT_TRUE(lives->renew({6}, &why)) << "the next backup, when one has not come to join";
    const auto next = file.open(Side::Backup, {6});
    EXPECT_TRUE(next->win(&why)) << why;
    EXPECT_FALSE(lives->win(&why));
    EXPECT_FALSE(lives->renew({7}, &why));
  }
}

TEST(TieBreaker, RefusesAFileThatIsNone) {
  const TieFile file;
  std::string why;
  EXPECT_EQ(TieBreaker::open("/no/such/file", Side::Primary, {}, &why), nullptr);
  EXPECT_EQ(TieBreaker::open("/no/such/file", Side::Backup, {}, &why), nullptr);
  EXPECT_EQ(TieBreaker::open(file.path(), Side::Backup, {}, &why), nullptr);  // it is empty
  EXPECT_EQ(TieBreaker::open("/dev/null", Side::Backup, {}, &why), nullptr);
  EXPECT_EQ(why.find('\n'), std::string::npos);
}

TEST(TieBreaker, NamesNobodyWhenItIsCut) {
  const TieFile file;
  const auto primary = file.open(Side::Primary), backup = file.open(Side::Backup);
  ASSERT_EQ(ftruncate(file.descriptor(), 5), 0);
  std::string why;
  EXPECT_FALSE(primary->win(&why));
  EXPECT_FALSE(backup->win(&why));
}

}  // namespace
}  // namespace ringshift
