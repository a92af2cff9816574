// Page tables that are traced: after a write by anybody, a flush drops every entry that is no
// longer true, and looks at no entry that still is.
#include <gtest/gtest.h>

#include "tests/support/paged_machine.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;
constexpr GuestPhysicalPage kKernelTablePage(Paged::kKernelTable / kPageSize);
constexpr GuestPhysicalPage kUserTablePage(Paged::kUserTable / kPageSize);
constexpr uint32_t kUsed = Paged::kSupervisorPage | Paged::kAccessed | Paged::kDirty;

ProcessorConfig config_of(ShadowPolicy policy) {
  ProcessorConfig config = ProcessorMachine::small_config();
  config.shadow = policy;
  return config;
}

class TracedTablesTest : public ::testing::Test {
 protected:
  explicit TracedTablesTest(ShadowPolicy policy = ShadowPolicy::Trace)
      : paged_(config_of(policy)) {}
  [[nodiscard]] AddressSpaces& spaces() { return paged_.spaces(); }
  [[nodiscard]] TableTraces& tables() { return paged_.watch().tables(); }
  [[nodiscard]] SoftTlbs& tlbs() { return paged_.processor().resources().soft_tlbs; }
  [[nodiscard]] const ShadowMapping* held(uint32_t linear) {
    return spaces().supervisor().window->find(GuestVirtualPage::of(GuestVirtual(linear)));
  }
  [[nodiscard]] Miss touch(uint32_t linear, bool is_write = false) {
    return paged_.data().fill_window(GuestVirtual(linear), is_write, Privilege::Supervisor);
  }
  [[nodiscard]] Miss soft(uint32_t linear, bool is_write) {
    return paged_.data().fill_soft(GuestVirtual(linear), is_write, Privilege::Supervisor);
  }
  [[nodiscard]] bool soft_holds(uint32_t linear, bool is_write = false) {
    return tlbs().holds(GuestVirtualPage::of(GuestVirtual(linear)), is_write,
                        Privilege::Supervisor);
  }
  // The guest writes an entry by a path that the monitor sees.
  void write_entry(uint32_t table, uint32_t page, uint32_t value) {
    paged_.machine.physical.write(GuestPhysical(table + page * 4), &value, sizeof(value));
  }
  void reload() { paged_.load_cr3(Paged::kDirectory); }
  // Both kinds of table are traced, with something held of each.
  void trace_both() {
    ASSERT_EQ(touch(Paged::kKernel + 0x7000), Miss::Filled);
    reload();
    ASSERT_EQ(soft(Paged::kUser + 0x9000, false), Miss::Filled);
    ASSERT_TRUE(paged_.watch().is_table_only(kKernelTablePage));
    ASSERT_TRUE(paged_.watch().is_table_only(kUserTablePage));
  }
  PagedMachine paged_;
};

TEST_F(TracedTablesTest, WhatHasNotBeenWrittenIsNotLookedAt) {
  trace_both();
  reload();
  counters() = Counters{};
  for (int i = 0; i < 10; ++i) reload();
  EXPECT_EQ(counters().tables_hashed, 0U);
  EXPECT_GT(counters().tables_by_version, 0U);
  EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr);
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, AWriteIsSeenAtTheNextFlush) {
  trace_both();
  ASSERT_EQ(touch(Paged::kKernel + 0x8000), Miss::Filled);
  write_entry(Paged::kKernelTable, 7, (9U << 12) | kUsed);
  EXPECT_NE(held(Paged::kKernel + 0x7000), nullptr) << "as stale as a TLB may be";
  reload();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
  EXPECT_NE(held(Paged::kKernel + 0x8000), nullptr);
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, DmaIsSeenToo) {
  trace_both();
  const uint32_t entry = (9U << 12) | kUsed;
  std::array<uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &entry, sizeof(entry));
  paged_.machine.physical.write_ram(Paged::kKernelTable + 7 * 4, bytes);
  reload();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
}

// The tables lie in pages 3 and 4, which the kernel's window shows as all of RAM.
TEST_F(TracedTablesTest, NoPlainStoreReachesATable) {
  EXPECT_EQ(touch(Paged::kKernel + Paged::kKernelTable, true), Miss::Filled);
  EXPECT_EQ(soft(Paged::kKernel + Paged::kKernelTable, true), Miss::Filled);
  trace_both();
  EXPECT_FALSE(held(Paged::kKernel + Paged::kKernelTable)->is_writable);
  EXPECT_FALSE(soft_holds(Paged::kKernel + Paged::kKernelTable, true));
  EXPECT_EQ(touch(Paged::kKernel + Paged::kKernelTable, true), Miss::Interpret);
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, ASoftStoreLeavesAMark) {
  trace_both();
  ASSERT_EQ(soft(Paged::kKernel + Paged::kKernelTable, true), Miss::Filled);
  EXPECT_TRUE(soft_holds(Paged::kKernel + Paged::kKernelTable, true));
  EXPECT_TRUE(paged_.watch().is_table_only(kKernelTablePage));
  const uint32_t slot = (Paged::kKernel + Paged::kKernelTable) / kPageSize % kSoftTlbEntries;
  Frame& frame = paged_.processor().gate().frame();
  frame.table_tlb[slot].is_written = 1;  // as the stub does
  frame.slots.tables_written = 1;
  paged_.map(Paged::kKernelTable, 7, 9, kUsed);
  reload();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, CodeOnATableEndsSoftStores) {
  trace_both();
  ASSERT_EQ(soft(Paged::kKernel + Paged::kKernelTable, true), Miss::Filled);
  paged_.watch().ensure_code_trace(kKernelTablePage.address(), kPageSize);
  EXPECT_FALSE(soft_holds(Paged::kKernel + Paged::kKernelTable, true));
  EXPECT_EQ(soft(Paged::kKernel + Paged::kKernelTable, true), Miss::Interpret);
  paged_.watch().on_write(GuestPhysical(Paged::kKernelTable), 4);
  paged_.watch().apply(Paged::safe());
  EXPECT_TRUE(paged_.watch().is_table_only(kKernelTablePage)) << "the code has gone";
}

TEST_F(TracedTablesTest, APageThatIsNoTableAnyMoreIsWrittenPlainly) {
  trace_both();
  paged_.machine.set32(Paged::kDirectory + (Paged::kUser >> 22) * 4, 0);
  EXPECT_EQ(touch(Paged::kKernel + Paged::kUserTable, true), Miss::Filled);
  EXPECT_FALSE(paged_.watch().watches(kUserTablePage));
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, SoftEntriesComeBackWithTheirSpace) {
  trace_both();
  paged_.load_cr3(Paged::kOtherDirectory);
  EXPECT_FALSE(soft_holds(Paged::kUser + 0x9000));
  reload();
  EXPECT_TRUE(soft_holds(Paged::kUser + 0x9000));
  write_entry(Paged::kUserTable, 9, (11U << 12) | Paged::kUserPage | Paged::kAccessed);
  EXPECT_TRUE(soft_holds(Paged::kUser + 0x9000));
  reload();
  EXPECT_FALSE(soft_holds(Paged::kUser + 0x9000)) << "written while it was there";
}

TEST_F(TracedTablesTest, AnEntryThatWasStaleWhenItsSpaceWasLeftIsGone) {
  trace_both();
  write_entry(Paged::kUserTable, 9, (11U << 12) | Paged::kUserPage | Paged::kAccessed);
  ASSERT_EQ(soft(Paged::kUser + 0xa000, false), Miss::Filled);
  paged_.load_cr3(Paged::kOtherDirectory);
  reload();
  EXPECT_FALSE(soft_holds(Paged::kUser + 0x9000));
  EXPECT_TRUE(soft_holds(Paged::kUser + 0xa000));
}

TEST_F(TracedTablesTest, AnEntryComesBackWithoutTheRightThatATraceHasTaken) {
  trace_both();
  ASSERT_EQ(soft(Paged::kUser + 0xa000, true), Miss::Filled);
  paged_.load_cr3(Paged::kOtherDirectory);
  paged_.watch().ensure_code_trace(GuestPhysicalPage(10).address(), kPageSize);
  reload();
  EXPECT_TRUE(soft_holds(Paged::kUser + 0xa000));
  EXPECT_FALSE(soft_holds(Paged::kUser + 0xa000, true));
  spaces().verify_invariants();
}

TEST_F(TracedTablesTest, NothingIsKeptThroughAChangeOfWhatAnEntryMeans) {
  trace_both();
  const auto change_mode = [this] {
    paged_.state().cr0 ^= kCr0Wp;
    spaces().on_paging_mode_changed();
  };
  paged_.load_cr3(Paged::kOtherDirectory);
  change_mode();
  reload();
  EXPECT_FALSE(soft_holds(Paged::kUser + 0x9000));
}

TEST_F(TracedTablesTest, RamThatChangesUnseenTakesAllTraces) {
  trace_both();
  paged_.map(Paged::kKernelTable, 7, 9, kUsed);
  spaces().forget_tables();
  EXPECT_EQ(tables().traced(), 0U);
  EXPECT_FALSE(paged_.watch().watches(kKernelTablePage));
  paged_.processor().note_state_changed();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
  spaces().verify_invariants();
}

// A page added to a region that has been verified leaves that true.
TEST_F(TracedTablesTest, WhatIsAddedDoesNotMakeTheRestUncertain) {
  trace_both();
  ASSERT_EQ(touch(Paged::kKernel + 0x8000), Miss::Filled);
  const uint64_t verified =
      spaces().supervisor().verified_tables[Region::of(GuestVirtual(Paged::kKernel)).index()];
  EXPECT_NE(verified, 0U);
  write_entry(Paged::kKernelTable, 7, (9U << 12) | kUsed);
  ASSERT_EQ(touch(Paged::kKernel + 0xa000), Miss::Filled);
  EXPECT_EQ(spaces().supervisor().verified_tables[Region::of(GuestVirtual(Paged::kKernel)).index()],
            0U);
  reload();
  EXPECT_EQ(held(Paged::kKernel + 0x7000), nullptr);
}

class AutoTracedTablesTest : public TracedTablesTest {
 protected:
  AutoTracedTablesTest() : TracedTablesTest(ShadowPolicy::Auto) {}
};

TEST_F(AutoTracedTablesTest, ATableIsTracedOnceItHasBeenComparedOften) {
  ASSERT_EQ(touch(Paged::kKernel + 0x7000), Miss::Filled);
  for (uint32_t i = 0; i < TableTraces::kFirstThreshold; ++i) reload();
  EXPECT_FALSE(paged_.watch().watches(kKernelTablePage));
  reload();
  EXPECT_TRUE(paged_.watch().watches(kKernelTablePage));
  EXPECT_EQ(touch(Paged::kKernel + Paged::kKernelTable, true), Miss::Filled);
  EXPECT_FALSE(paged_.watch().watches(kKernelTablePage)) << "a plain store ends it";
  spaces().verify_invariants();
}

class UntracedTablesTest : public TracedTablesTest {
 protected:
  UntracedTablesTest() : TracedTablesTest(ShadowPolicy::Tlb) {}
};

TEST_F(UntracedTablesTest, ATlbKeepsAndTracesNothing) {
  ASSERT_EQ(touch(Paged::kKernel + 0x7000), Miss::Filled);
  ASSERT_EQ(soft(Paged::kUser + 0x9000, false), Miss::Filled);
  for (int i = 0; i < 200; ++i) reload();
  EXPECT_EQ(tables().traced(), 0U);
  EXPECT_FALSE(soft_holds(Paged::kUser + 0x9000));
}

}  // namespace
}  // namespace ringshift
