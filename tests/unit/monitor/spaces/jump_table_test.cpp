// Jump tables: one for each mode that code runs in.
#include "monitor/spaces/jump_table.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

class JumpTableTest : public ::testing::Test {
 protected:
  JumpTableTest() {
    std::string error;
    table_ = JumpTable::create(&error);
  }
  static CodeMode mode(uint32_t base) {
    CodeMode mode;
    mode.base = base;
    mode.bits = CodeMode::kNarrowCode;
    return mode;
  }
  [[nodiscard]] uint32_t at(const CodeMode& mode, Eip eip) {
    return reinterpret_cast<const uint32_t*>(table_->address_for(mode))[jump_table_index(eip)];
  }

  std::unique_ptr<JumpTable> table_;
};

TEST_F(JumpTableTest, EqualEipsOfTwoModesAreTwoEntries) {
  const Eip eip(0x1234);
  table_->set(eip, 64);
  table_->set(eip, 128, mode(0x10));
  table_->set(eip, 192, mode(0x20));
  EXPECT_EQ(at({}, eip), 64U);
  EXPECT_EQ(at(mode(0x10), eip), 128U);
  EXPECT_EQ(at(mode(0x20), eip), 192U);
  table_->clear_if(eip, 128);
  EXPECT_EQ(at(mode(0x10), eip), 0U);
  EXPECT_EQ(at(mode(0x20), eip), 192U);
}

TEST_F(JumpTableTest, AModeThatComesBackLateFindsNothingAndThatIsSaid) {
  constexpr uint32_t kMoreThanAreKept = 40;
  const Eip eip(0x1234);
  for (uint32_t base = 1; base <= 8; ++base) table_->set(eip, base * 64, mode(base));
  EXPECT_FALSE(table_->has_moved());
  for (uint32_t base = 9; base <= kMoreThanAreKept; ++base) {
    table_->set(eip, base * 64, mode(base));
  }
  EXPECT_TRUE(table_->has_moved());
  EXPECT_FALSE(table_->has_moved());
  EXPECT_EQ(at(mode(kMoreThanAreKept), eip), kMoreThanAreKept * 64U);
  EXPECT_EQ(at(mode(1), eip), 0U);
  EXPECT_TRUE(table_->has_moved());
}

TEST_F(JumpTableTest, APageThatIsMappedElsewhereTakesAllOfTheOtherModesAlong) {
  const Eip far_away(0x9000);
  table_->set(far_away, 64);
  table_->set(far_away, 128, mode(0x10));
  table_->clear_page(GuestVirtualPage(1));
  EXPECT_EQ(at({}, far_away), 64U);
  EXPECT_EQ(at(mode(0x10), far_away), 0U);
  table_->clear();
  EXPECT_EQ(at({}, far_away), 0U);
}

}  // namespace
}  // namespace ringshift
