// UserViews: the cost of all user views together stays in its bound, whatever a guest does with its
// address spaces; and a host that refuses one more mapping costs speed only.
#include <gtest/gtest.h>

#include "monitor/cpu/control_registers.h"
#include "shadowmmu/base/counters.h"
#include "tests/support/processor_machine.h"

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 4U << 20;
constexpr uint32_t kDirectory = 0x1000;  // of the first space; more of them 4 KiB apart
constexpr uint32_t kSpaces = 110;
constexpr uint32_t kTable = 0x100000;   // for all of linear space: every page is one of RAM
constexpr uint32_t kUserEntry = 0x67;   // P W U A D
constexpr uint32_t kPages = 32 * 1024;  // of code in each space: as many as a view remembers

class UserViewsTest : public ::testing::Test {
 protected:
  UserViewsTest() {
    for (uint32_t i = 0; i < 1024; ++i) set32(kTable + i * 4, (i << 12) | kUserEntry);
    for (uint32_t space = 0; space < kSpaces; ++space) {
      for (uint32_t i = 0; i < 1024; ++i) {
        set32(kDirectory + space * kPageSize + i * 4, kTable | kUserEntry);
      }
    }
    reset(state());
    state().cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    state().cpl = 3;
    go_to_space(0);
    processor().note_state_changed();
    counters() = Counters{};
  }
  [[nodiscard]] Processor& processor() { return *machine_.processor; }
  [[nodiscard]] AddressSpaces& spaces() { return processor().spaces(); }
  [[nodiscard]] GuestState& state() { return machine_.state(); }
  void set32(uint32_t at, uint32_t value) { machine_.set32(at, value); }
  void refuse_every(uint32_t calls) { processor().resources().refusals.refuse_every(calls); }
  void go_to_space(uint32_t space) {
    state().cr3 = kDirectory + space * kPageSize;
    processor().linear().flush();
    spaces().on_cr3_loaded();
  }
  void fetch(uint32_t eip) {
    GuestPhysical at;
    EXPECT_FALSE(processor().code().code_at(GuestVirtual(eip), Privilege::User, &at).empty());
  }
  void give_window() {
    constexpr uint64_t kMuchWork = 1U << 20;
    (void)spaces().note_user_work(kMuchWork);
  }
  // Weighed after so many pages only.
  static constexpr size_t kSlack = size_t{4} << 20;

  ProcessorMachine machine_{kRamBytes};
};

TEST_F(UserViewsTest, AHundredSpacesFullOfCodeStayInTheBound) {
  for (uint32_t space = 0; space < kSpaces; ++space) {
    go_to_space(space);
    for (uint32_t page = 0; page < kPages; ++page) fetch(page << 12);
    ASSERT_LE(spaces().users().bytes(), UserViews::kMostBytes + kSlack) << space;
  }
  EXPECT_GT(counters().user_views_evicted, 0U);
  EXPECT_GT(spaces().users().bytes(), UserViews::kMostBytes / 2);
  spaces().verify_invariants();
}

TEST_F(UserViewsTest, SoDoWindowsTouchedAllOver) {
  for (uint32_t space = 0; space < 24; ++space) {
    go_to_space(space);
    fetch(0);
    give_window();
    ASSERT_TRUE(processor().data().has_window(Privilege::User));
    // One page in each 2 MiB: the dearest there is.
    for (uint32_t block = 0; block < 2048; ++block) {
      ASSERT_EQ(processor().data().fill_window(GuestVirtual(block << 21), true, Privilege::User),
                Miss::Filled);
    }
    ASSERT_LE(spaces().users().bytes(), UserViews::kMostBytes + kSlack) << space;
  }
  spaces().verify_invariants();
}

TEST_F(UserViewsTest, AViewIsHadWithoutAJumpTableOfItsOwn) {
  refuse_every(1);  // all
  for (uint32_t space = 0; space < kSpaces; ++space) {
    go_to_space(space);
    fetch(0x1000);
    spaces().select(Privilege::User);
    EXPECT_NE(processor().gate().frame().slots.jump_table, 0U);
    give_window();
    EXPECT_FALSE(processor().data().has_window(Privilege::User));  // refused: it stays soft
  }
  spaces().on_memory_map_changed();  // all views go, with the one table
  fetch(0x1000);
  spaces().verify_invariants();
}

TEST_F(UserViewsTest, WhateverTheHostRefusesNothingIsLeftBehind) {
  for (const uint32_t every : {2U, 3U, 5U, 7U, 1U}) {
    SCOPED_TRACE(every);
    refuse_every(0);
    go_to_space(every);
    fetch(0);
    give_window();
    refuse_every(every);
    for (uint32_t i = 0; i < 2000; ++i) {
      const GuestVirtual at((i * 7919 % 4096) << 12);
      (void)processor().data().fill_window(at, i % 2 == 0, Privilege::User);
      if (i % 5 == 0)
        machine_.watch.ensure_code_trace(GuestPhysicalPage(i % 1024).address(), kPageSize);
      if (i % 7 == 0) spaces().on_page_invalidated(at);
      if (i % 50 == 0) spaces().select(Privilege::User);
      if (i % 200 == 0) spaces().verify_invariants();
    }
    spaces().select(Privilege::User);
    spaces().verify_invariants();
  }
}

}  // namespace
}  // namespace ringshift
