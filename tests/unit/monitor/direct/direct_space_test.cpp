#include "monitor/direct/direct_space.h"

#include "tests/support/direct_fixture.h"

namespace ringshift {
namespace {

class DirectSpaceTest : public DirectFixture {
 protected:
  void SetUp() override {
    DirectFixture::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::string error;
    space_ = DirectSpace::create(*host_, reverse_, traces_, ShadowBudget{60000, 64 * 1024}, &error);
    ASSERT_NE(space_, nullptr) << error;
    traces_.add(kCodeFrame, TraceReason::DirectCode);
    ASSERT_TRUE(space_->shadow().fill(code_run(kCodePage)));
    // mov [kData], eax; hlt
    write_code({0xa3, 0, 0, 0x20, 0, 0xf4});
  }

  static ShadowRun code_run(GuestVirtualPage at) {
    ShadowRun run;
    run.virtual_page = at;
    run.physical_page = kCodeFrame;
    run.may_execute = true;
    return run;
  }
  static ShadowRun data_run(bool may_write) {
    ShadowRun run;
    run.virtual_page = kDataPage;
    run.physical_page = kDataFrame;
    run.pages = 2;
    run.may_write = may_write;
    return run;
  }

  DirectStop run() {
    std::string error;
    EXPECT_TRUE(space_->bring_up_to_date(TimeStampTrap::Off, &error)) << error;
    state_.eip = kCode;
    const DirectStop stop = space_->process().run(&state_);
    space_->shadow().verify_invariants();
    return stop;
  }
  void expect_fault(uint32_t address) {
    const DirectStop stop = run();
    EXPECT_EQ(stop.kind, DirectStop::Kind::PageFault);
    EXPECT_EQ(stop.address, GuestVirtual(address));
  }
  void expect_run_to_halt() {
    EXPECT_EQ(run().kind, DirectStop::Kind::Instruction);
    EXPECT_EQ(state_.eip, kCode + 5);
  }

  ReverseMap reverse_{kRamBytes};
  TraceTable traces_{kRamBytes};
  std::unique_ptr<DirectSpace> space_;
};

class DirectMapperTest : public ::testing::Test {
 protected:
  static constexpr GuestVirtualPage kAt{0x8048};
  static constexpr GuestPhysicalPage kFrom{0x300};
  std::vector<DirectCommand> queue_;
  DirectMapper mapper_{&queue_};
};

TEST_F(DirectMapperTest, NeighboursInBothSpacesAreOneCommand) {
  ASSERT_TRUE(mapper_.map(kAt, kFrom, 1, HostAccess::Read));
  ASSERT_TRUE(mapper_.map(kAt + 1, kFrom + 1, 2, HostAccess::Read));
  ASSERT_EQ(queue_.size(), 1U);
  EXPECT_EQ(queue_[0].arguments, command_to_map(kAt, kFrom, 3, HostAccess::Read).arguments);
  ASSERT_TRUE(mapper_.map(kAt + 3, kFrom + 4, 1, HostAccess::Read));  // elsewhere in memory
  EXPECT_EQ(queue_.size(), 2U);
  ASSERT_TRUE(mapper_.map(kAt + 5, kFrom + 5, 1, HostAccess::Read));  // elsewhere in the program
  EXPECT_EQ(queue_.size(), 3U);
  ASSERT_TRUE(mapper_.map(kAt + 6, kFrom + 6, 1, HostAccess::ReadWrite));
  EXPECT_EQ(queue_.size(), 4U);
}

TEST_F(DirectMapperTest, OrderIsKept) {
  ASSERT_TRUE(mapper_.map(kAt, kFrom, 1, HostAccess::Read));
  ASSERT_TRUE(mapper_.unmap(kAt, 1));
  ASSERT_TRUE(mapper_.map(kAt + 1, kFrom + 1, 1, HostAccess::Read));
  EXPECT_EQ(queue_.size(), 3U);
  ASSERT_TRUE(mapper_.restrict_to(kAt + 1, HostAccess::Read));
  ASSERT_TRUE(mapper_.map(kAt + 2, kFrom + 2, 1, HostAccess::Read));
  EXPECT_EQ(queue_.size(), 5U);
  // A command that has been carried out no longer grows.
  queue_.clear();
  ASSERT_TRUE(mapper_.map(kAt + 3, kFrom + 3, 1, HostAccess::Read));
  ASSERT_EQ(queue_.size(), 1U);
  EXPECT_EQ(queue_[0].arguments, command_to_map(kAt + 3, kFrom + 3, 1, HostAccess::Read).arguments);
}

TEST_F(DirectSpaceTest, FillsAreThereWhenTheProcessRuns) {
  expect_fault(kData);
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  state_.reg(Gpr::Eax) = 0x5a5a;
  expect_run_to_halt();
  EXPECT_EQ(ram32(2 * kPageSize), 0x5a5aU);
}

TEST_F(DirectSpaceTest, DropsAreCarriedOutBeforeTheProcessRuns) {
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  expect_run_to_halt();
  space_->shadow().drop(kDataPage);
  expect_fault(kData);
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  space_->shadow().drop_all();
  expect_fault(kCode);
}

TEST_F(DirectSpaceTest, ReadOnlyRunsAndProtectedPagesFaultOnStores) {
  ASSERT_TRUE(space_->shadow().fill(data_run(false)));
  expect_fault(kData);
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  expect_run_to_halt();
  ShadowSpace::protect_all(reverse_.of(kDataFrame));
  expect_fault(kData);
}

TEST_F(DirectSpaceTest, TracedPagesComeOutReadOnly) {
  traces_.add(kDataFrame, TraceReason::TranslatedCode);
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  expect_fault(kData);
}

TEST_F(DirectSpaceTest, RevokedPagesAreReadableAndNoLongerRun) {
  ASSERT_TRUE(space_->shadow().fill(data_run(true)));
  expect_run_to_halt();
  ShadowSpace::revoke_execution_all(reverse_.of(kCodeFrame));
  expect_fault(kCode);
  EXPECT_FALSE(space_->shadow().find(kCodePage)->is_executable);
}

TEST_F(DirectSpaceTest, PagesBelowWhatTheHostMapsAreRefused) {
  EXPECT_FALSE(space_->shadow().fill(code_run(GuestVirtualPage(0))));
  EXPECT_FALSE(space_->shadow().fill(code_run(GuestVirtualPage(15))));
  EXPECT_TRUE(space_->shadow().fill(code_run(GuestVirtualPage(16))));
  std::string error;
  EXPECT_TRUE(space_->bring_up_to_date(TimeStampTrap::Off, &error)) << error;
}

TEST_F(DirectSpaceTest, MoreChangesThanFitOneBatchAreCarriedOut) {
  for (int round = 0; round < 1500; ++round) {
    space_->shadow().drop(kDataPage);
    space_->shadow().drop(kDataPage + 1);
    ASSERT_TRUE(space_->shadow().fill(data_run(round % 2 == 1)));
  }
  expect_run_to_halt();
}

TEST_F(DirectSpaceTest, KilledProcessCannotBeBroughtUpToDate) {
  kill(space_->process().id(), SIGKILL);
  std::string error;
  EXPECT_FALSE(space_->bring_up_to_date(TimeStampTrap::Off, &error));
  EXPECT_EQ(error, "the process that runs user code is gone");
  state_.eip = kCode;
  EXPECT_EQ(space_->process().run(&state_).kind, DirectStop::Kind::Gone);
}

TEST_F(DirectSpaceTest, DestructionLeavesNoProcess) {
  const pid_t id = space_->process().id();
  space_.reset();
  EXPECT_FALSE(exists(id));
}

}  // namespace
}  // namespace ringshift
