// Jump tables: one for each mode that code runs in, and an exact one.
#include "monitor/spaces/jump_table.h"

#include <gtest/gtest.h>

#include <cstring>

#include "translator/exact_jumps.h"

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

  // As generated code finds it.
  [[nodiscard]] const uint32_t* exact() {
    uint64_t address = 0;
    std::memcpy(&address,
                reinterpret_cast<const uint8_t*>(table_->address_for({})) + kExactJumpsFromTable,
                sizeof(address));
    return reinterpret_cast<const uint32_t*>(address);
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
  table_->clear_if(eip, 128, 0);
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

TEST_F(JumpTableTest, AnExactTableHasEveryEipAndOnlyWhenItIsAsked) {
  EXPECT_EQ(exact(), nullptr);
  table_->set_exact(Eip(0x1000), 64);  // nothing to set
  ASSERT_TRUE(table_->add_exact());
  ASSERT_TRUE(table_->add_exact());
  ASSERT_NE(exact(), nullptr);
  for (const uint32_t eip : {0U, 0x1000U, 0x1001U, 0x80000000U, 0xffffffffU}) {
    EXPECT_EQ(exact()[eip], 0U);
    table_->set_exact(Eip(eip), eip + 5);
    EXPECT_EQ(exact()[eip], eip + 5);
  }
  table_->clear_if(Eip(0x1000), 0, 0x1004);  // another fragment's
  EXPECT_EQ(exact()[0x1000], 0x1005U);
  table_->clear_if(Eip(0x1000), 0, 0x1005);
  EXPECT_EQ(exact()[0x1000], 0U);
  EXPECT_EQ(exact()[0x1001], 0x1006U);
  table_->clear();
  EXPECT_EQ(exact()[0xffffffffU], 0U);
  table_->forget_exact();
  EXPECT_EQ(exact(), nullptr);
}

TEST_F(JumpTableTest, APageThatIsMappedElsewhereLeavesNothingOfItInTheExactTable) {
  ASSERT_TRUE(table_->add_exact());
  for (const uint32_t eip : {0x8ff0U, 0x8ff1U, 0x8fffU, 0x9000U, 0x9fffU, 0xa000U}) {
    table_->set_exact(Eip(eip), 64);
  }
  table_->clear_page(GuestVirtualPage(9));
  for (const uint32_t eip : {0x8ff1U, 0x8fffU, 0x9000U, 0x9fffU})
    EXPECT_EQ(exact()[eip], 0U) << eip;
  EXPECT_EQ(exact()[0x8ff0], 64U);
  EXPECT_EQ(exact()[0xa000], 64U);
  table_->set_exact(Eip(5), 64);
  table_->clear_page(GuestVirtualPage(0));  // whose last instruction before it is at the ring's end
  EXPECT_EQ(exact()[5], 0U);
}

TEST_F(JumpTableTest, AnExactTableIsEmptiedBeforeItTakesMuchMemory) {
  constexpr uint32_t kFar = 1U << 16;
  ASSERT_TRUE(table_->add_exact());
  for (uint32_t i = 0; i < 4000; ++i) table_->set_exact(Eip(i * kFar), 64);
  EXPECT_EQ(exact()[0], 0U);
  EXPECT_EQ(exact()[3999 * kFar], 64U);
  EXPECT_LT(table_->bytes(), size_t{9} << 20);
}

}  // namespace
}  // namespace ringshift
