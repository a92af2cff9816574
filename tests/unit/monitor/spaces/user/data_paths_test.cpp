// DataPaths: the accesses of translated code that a window or a soft TLB may serve.
#include "monitor/spaces/user/data_paths.h"

#include <gtest/gtest.h>

#include "tests/support/paged_machine.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

using Paged = PagedMachine;
constexpr GuestVirtual kKernelData(Paged::kKernel + 0x7123);
constexpr GuestVirtual kUserData(Paged::kUser + 0x7123);

class DataPathsTest : public ::testing::Test {
 protected:
  [[nodiscard]] Miss window(GuestVirtual address, bool is_write,
                            Privilege privilege = Privilege::Supervisor) {
    return paged_.data().fill_window(address, is_write, privilege);
  }
  [[nodiscard]] Miss soft(GuestVirtual address, bool is_write,
                          Privilege privilege = Privilege::Supervisor) {
    return paged_.data().fill_soft(address, is_write, privilege);
  }
  [[nodiscard]] bool holds(GuestVirtual address, bool is_write) {
    return paged_.processor().resources().soft_tlbs.holds(GuestVirtualPage::of(address), is_write,
                                                          Privilege::Supervisor);
  }
  PagedMachine paged_;
};

TEST_F(DataPathsTest, TheWindowShowsTheGuestsBytes) {
  ASSERT_EQ(window(kKernelData, true), Miss::Filled);
  paged_.spaces().select(Privilege::Supervisor);
  const uint64_t base = paged_.processor().gate().frame().slots.window_base;
  *reinterpret_cast<uint8_t*>(base + kKernelData.value()) = 0x5a;
  EXPECT_EQ(*paged_.machine.ram->at(GuestPhysical(0x7123)), 0x5a);
  EXPECT_EQ(paged_.data().window_address(base + kKernelData.value(), Privilege::Supervisor),
            kKernelData);
  EXPECT_EQ(paged_.data().window_address(base - 1, Privilege::Supervisor), std::nullopt);
}

TEST_F(DataPathsTest, TheSupervisorsWindowHoldsNoUserPages) {
  EXPECT_EQ(window(kUserData, false), Miss::Interpret);
  EXPECT_EQ(paged_.entry(Paged::kUserTable, 7) & Paged::kAccessed, 0U)
      << "whoever does the access sets A, if his TLB has it not yet";
  EXPECT_EQ(soft(kUserData, false), Miss::Filled) << "a soft access may reach them";
}

TEST_F(DataPathsTest, AUserWithoutAWindowIsInterpreted) {
  paged_.enter_user();
  EXPECT_EQ(window(kUserData, false, Privilege::User), Miss::Interpret);
  EXPECT_EQ(soft(kUserData, false, Privilege::User), Miss::Filled);
  EXPECT_EQ(soft(kKernelData, false, Privilege::User), Miss::Interpret) << "not his";
}

TEST_F(DataPathsTest, ASoftWriteNeedsDAndNoTrace) {
  EXPECT_EQ(soft(kKernelData, false), Miss::Filled);
  EXPECT_TRUE(holds(kKernelData, false));
  EXPECT_FALSE(holds(kKernelData, true));
  EXPECT_EQ(soft(kKernelData, true), Miss::Filled);
  EXPECT_TRUE(holds(kKernelData, true));
  paged_.watch().trace(GuestPhysicalPage(7), TraceReason::TranslatedCode);
  EXPECT_FALSE(holds(kKernelData, true)) << "M1: a trace takes the write path";
  EXPECT_EQ(soft(kKernelData, true), Miss::Interpret);
  EXPECT_EQ(window(kKernelData, true), Miss::Interpret);
}

// CR0.WP lets the supervisor write; what outlives a change of it may not hold the page writable.
TEST_F(DataPathsTest, AWriteThatWpAloneAllowsIsSoftAndNoWindows) {
  paged_.map(Paged::kKernelTable, 7, 7, Paged::kPresent);
  EXPECT_EQ(soft(kKernelData, true), Miss::Interpret) << "WP is set";
  paged_.state().cr0 &= ~kCr0Wp;
  paged_.processor().note_state_changed();
  EXPECT_EQ(window(kKernelData, true), Miss::Interpret);
  EXPECT_EQ(window(kKernelData, false), Miss::Filled);
  EXPECT_EQ(window(kKernelData, true), Miss::Interpret) << "it would fault again for ever";
  EXPECT_EQ(soft(kKernelData, true), Miss::Filled);
  EXPECT_TRUE(holds(kKernelData, true));
  paged_.state().cr0 |= kCr0Wp;
  paged_.processor().note_state_changed();
  EXPECT_FALSE(holds(kKernelData, true));
  EXPECT_EQ(soft(kKernelData, true), Miss::Interpret);
}

TEST_F(DataPathsTest, APageThatChurnsIsLeftOutOfTheWindow) {
  ASSERT_EQ(window(kKernelData, true), Miss::Filled);
  for (uint32_t i = 0; i < PageChurn::kChangesOfChurn; ++i) {
    paged_.map(Paged::kKernelTable, 7, 0x100 + i,
               Paged::kSupervisorPage | Paged::kAccessed | Paged::kDirty);
    paged_.invalidate(kKernelData.value());
  }
  EXPECT_EQ(window(kKernelData, true), Miss::Interpret);
  EXPECT_EQ(soft(kKernelData, true), Miss::Filled) << "a soft access reaches it";
  EXPECT_EQ(window(kKernelData + kPageSize, true), Miss::Filled) << "its neighbour is well";
}

TEST_F(DataPathsTest, ASoftMissIsNeedlessWhereTheWindowHasThePage) {
  EXPECT_FALSE(paged_.data().would_serve_plainly(kKernelData, false, Privilege::Supervisor));
  ASSERT_EQ(window(kKernelData, false), Miss::Filled);
  EXPECT_TRUE(paged_.data().would_serve_plainly(kKernelData, false, Privilege::Supervisor));
  EXPECT_FALSE(paged_.data().would_serve_plainly(kKernelData, true, Privilege::Supervisor))
      << "D is not set: it is there read-only";
  ASSERT_EQ(window(kKernelData, true), Miss::Filled);
  EXPECT_TRUE(paged_.data().would_serve_plainly(kKernelData, true, Privilege::Supervisor));
  EXPECT_FALSE(paged_.data().would_serve_plainly(kUserData, false, Privilege::User))
      << "the user has no window";
}

TEST_F(DataPathsTest, ASecondMissOfWhatIsThereCrossesAPage) {
  ASSERT_EQ(soft(kKernelData, false), Miss::Filled);
  EXPECT_EQ(soft(kKernelData, false), Miss::Interpret);
}

TEST_F(DataPathsTest, WatchedPagesAreHeldNowhere) {
  ASSERT_EQ(window(kKernelData, false), Miss::Filled);
  const LinearPages watched{{GuestVirtualPage::of(kKernelData), {kKernelData, kKernelData + 3}}};
  paged_.processor().resources().watched.set(&watched);
  paged_.data().drop_watched();
  EXPECT_EQ(paged_.spaces().supervisor().window->find(GuestVirtualPage::of(kKernelData)), nullptr);
  EXPECT_EQ(window(kKernelData, false), Miss::Interpret);
  EXPECT_EQ(soft(kKernelData, false), Miss::Filled) << "the rest of the page";
  EXPECT_FALSE(holds(kKernelData, false));
  EXPECT_EQ(soft(kKernelData, false), Miss::Interpret) << "it is what is watched";
  EXPECT_EQ(window(kKernelData + kPageSize, false), Miss::Filled);
  paged_.processor().resources().watched.set(nullptr);
  EXPECT_EQ(window(kKernelData, false), Miss::Filled);
}

TEST_F(DataPathsTest, TheSupervisorsHostAddressIsMappedOnDemand) {
  const auto host = paged_.data().supervisor_host_address(kKernelData);
  ASSERT_TRUE(host);
  *paged_.machine.ram->at(GuestPhysical(0x7123)) = 0x77;
  EXPECT_EQ(*reinterpret_cast<const uint8_t*>(*host), 0x77);
  EXPECT_EQ(paged_.data().supervisor_host_address(GuestVirtual(0x40000000)), std::nullopt);
}

// A machine whose RAM, the guest's tables and all, begins as a base that is shared.
class SharedDataPathsTest : public DataPathsTest {
 protected:
  SharedDataPathsTest() {
    *paged_.machine.ram->at(GuestPhysical(0x7123)) = 0x11;
    base_.put_under(*paged_.machine.ram);
  }
  [[nodiscard]] volatile uint8_t& through_window(GuestVirtual address) {
    paged_.spaces().select(Privilege::Supervisor);
    return *reinterpret_cast<uint8_t*>(paged_.processor().gate().frame().slots.window_base +
                                       address.value());
  }
  [[nodiscard]] bool is_shared() { return paged_.machine.ram->is_shared(GuestPhysicalPage(7)); }
  SharedBase base_;
};

TEST_F(SharedDataPathsTest, AWriteThroughTheWindowGoesToACopy) {
  ASSERT_EQ(window(kKernelData, false), Miss::Filled);
  EXPECT_EQ(through_window(kKernelData), 0x11);
  EXPECT_TRUE(is_shared());
  ASSERT_EQ(window(kKernelData, true), Miss::Filled);
  EXPECT_FALSE(is_shared());
  through_window(kKernelData) = 0x22;
  EXPECT_EQ(*paged_.machine.ram->at(GuestPhysical(0x7123)), 0x22);
  EXPECT_EQ(base_.byte_at(0x7123), 0x11);
  paged_.spaces().verify_invariants();
}

TEST_F(SharedDataPathsTest, AWindowThatReadsSeesWhatOthersWrite) {
  ASSERT_EQ(window(kKernelData, false), Miss::Filled);
  const uint8_t value = 0x33;
  paged_.machine.physical.write(GuestPhysical(0x7123), &value, 1);
  EXPECT_EQ(through_window(kKernelData), 0x33);
}

TEST_F(SharedDataPathsTest, ASoftReadLetsNobodyWrite) {
  ASSERT_EQ(soft(kKernelData, true), Miss::Filled);  // sets D
  paged_.machine.physical.flip_backing(GuestPhysicalPage(7));
  ASSERT_TRUE(is_shared());
  EXPECT_FALSE(holds(kKernelData, true)) << "forgotten when it is shared again";
  EXPECT_TRUE(holds(kKernelData, false)) << "the same bytes are where they were";
  paged_.spaces().verify_invariants();
  ASSERT_EQ(soft(kKernelData, true), Miss::Filled);
  EXPECT_TRUE(holds(kKernelData, true));
  EXPECT_FALSE(is_shared());
}

TEST_F(SharedDataPathsTest, TheInterpretersWritesGoToACopyToo) {
  LinearMemory& linear = paged_.processor().linear();
  uint8_t value = 0;
  ASSERT_FALSE(linear.read(kKernelData, &value, 1, Privilege::Supervisor));
  EXPECT_EQ(value, 0x11);
  for (value = 0x40; value < 0x43; ++value) {
    ASSERT_FALSE(linear.write(kKernelData, &value, 1, Privilege::Supervisor));
    uint8_t found = 0;
    ASSERT_FALSE(linear.read(kKernelData, &found, 1, Privilege::Supervisor));
    EXPECT_EQ(found, value);
  }
  EXPECT_EQ(base_.byte_at(0x7123), 0x11);
  paged_.spaces().verify_invariants();
}

}  // namespace
}  // namespace ringshift
