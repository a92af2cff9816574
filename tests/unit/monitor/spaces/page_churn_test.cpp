#include "monitor/spaces/page_churn.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr GuestVirtualPage kPage(0x1234);
constexpr uint32_t kSpace = 0x5000;

void change(PageChurn& churn, uint32_t times, GuestVirtualPage page = kPage,
            uint32_t space = kSpace) {
  for (uint32_t i = 0; i < times; ++i) churn.note_change(page, space);
}

TEST(PageChurn, APageChurnsAfterSomeChanges) {
  PageChurn churn;
  change(churn, PageChurn::kChangesOfChurn - 1);
  EXPECT_FALSE(churn.is_churning(kPage, kSpace));
  EXPECT_FALSE(churn.refuses(kPage, kSpace));
  change(churn, 1);
  EXPECT_TRUE(churn.is_churning(kPage, kSpace));
  EXPECT_TRUE(churn.refuses(kPage, kSpace));
}

TEST(PageChurn, ItIsThePageOfOneSpace) {
  PageChurn churn;
  change(churn, PageChurn::kChangesOfChurn);
  EXPECT_FALSE(churn.is_churning(kPage + 1, kSpace));
  EXPECT_FALSE(churn.is_churning(kPage, kSpace + kPageSize));
  EXPECT_FALSE(churn.is_churning(kPage, PageChurn::kSupervisor));
}

TEST(PageChurn, APageThatIsAskedForAndNotChangedIsBelievedAgain) {
  PageChurn churn;
  change(churn, PageChurn::kChangesOfChurn);
  for (uint32_t i = 1; i < PageChurn::kRefusalsUntilBelieved; ++i) {
    ASSERT_TRUE(churn.refuses(kPage, kSpace)) << i;
  }
  EXPECT_FALSE(churn.refuses(kPage, kSpace));
  EXPECT_FALSE(churn.is_churning(kPage, kSpace));
}

TEST(PageChurn, AChangeMeanwhileIsRemembered) {
  PageChurn churn;
  change(churn, PageChurn::kChangesOfChurn);
  for (uint32_t i = 0; i < 10 * PageChurn::kRefusalsUntilBelieved; ++i) {
    ASSERT_TRUE(churn.refuses(kPage, kSpace)) << i;
    if (i % 8 == 0) change(churn, 1);
  }
}

TEST(PageChurn, APageOfTheSamePlaceTakesTheOther) {
  PageChurn churn;
  constexpr GuestVirtualPage kOther(kPage.number() + 2048);
  change(churn, PageChurn::kChangesOfChurn);
  change(churn, 1, kOther);
  EXPECT_FALSE(churn.is_churning(kPage, kSpace));
  EXPECT_FALSE(churn.is_churning(kOther, kSpace));
}

}  // namespace
}  // namespace ringshift
