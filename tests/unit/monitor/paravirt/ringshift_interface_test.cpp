#include "monitor/paravirt/ringshift_interface.h"

#include "tests/support/ringshift_interface_fixture.h"

namespace ringshift {
namespace {

constexpr uint32_t kTimerBit = 1U << RingshiftInterface::kTimerChannel;
constexpr uint32_t kInterruptBit = 1U << RingshiftInterface::kInterruptChannel;

class RingshiftInterfaceTest : public RingshiftInterfaceFixture {
 protected:
  std::vector<uint8_t> save() {
    std::vector<uint8_t> saved;
    std::string error;
    calls_->stand_at(tsc_.now);
    EXPECT_TRUE(
        StateArchive::save([&](StateArchive& a) { a.part("calls", *calls_); }, &saved, &error))
        << error;
    return saved;
  }
  std::string load(RingshiftInterface& calls, std::span<const uint8_t> saved) {
    std::string error;
    calls.stand_at(tsc_.now);
    (void)StateArchive::load(
        saved, [&](StateArchive& a) { a.part("calls", calls); }, &error);
    return error;
  }
};

TEST_F(RingshiftInterfaceTest, TheRegistersAreThereAndNoOthers) {
  uint64_t value = 0;
  ASSERT_EQ(read_msr(cpu(), RingshiftInterface::kIdentity, &value), kNoFault);
  EXPECT_EQ(value, (uint64_t{1} << 32) | 0x474e4952U);
  EXPECT_NE(write_msr(cpu(), RingshiftInterface::kIdentity, 0), kNoFault);
  EXPECT_NE(read_msr(cpu(), RingshiftInterface::kCall, &value), kNoFault);
  EXPECT_NE(read_msr(cpu(), RingshiftInterface::kCall + 1, &value), kNoFault);
  for (const uint32_t index : {RingshiftInterface::kCodePage, RingshiftInterface::kSharedPage}) {
    EXPECT_NE(write_msr(cpu(), index, kShared | 2), kNoFault) << "reserved bits";
    for (const uint64_t hostile :
         {uint64_t{0xfffff001}, uint64_t{1} << 20 | 1, ~uint64_t{0xffe}, uint64_t{0xfee00001}}) {
      ASSERT_EQ(write_msr(cpu(), index, hostile), kNoFault);
      ASSERT_EQ(read_msr(cpu(), index, &value), kNoFault);
      EXPECT_EQ(value, hostile) << "kept, and nothing written";
    }
  }
}

TEST_F(RingshiftInterfaceTest, TheCodePageCalls) {
  ASSERT_EQ(write_msr(cpu(), RingshiftInterface::kCodePage, kCodeOfCalls | 1), kNoFault);
  const uint32_t back = state.eip + 5;
  eax() = static_cast<uint32_t>(Call::Version);
  const uint32_t away = kCodeOfCalls - back;
  run({0xe8, away & 0xff, away >> 8 & 0xff, away >> 16 & 0xff, away >> 24});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step().kind, StepKind::Done);
  EXPECT_EQ(eax(), kRingshiftVersion);
  EXPECT_EQ(state.eip, back);
}

TEST_F(RingshiftInterfaceTest, UserCodeCannotCall) {
  enter_ring(3);
  EXPECT_EQ(call(Call::Version).kind, StepKind::Fault);
  EXPECT_EQ(eax(), 0U);
  enter_ring(0);
  enter_real_mode();
  EXPECT_EQ(call(Call::Version).kind, StepKind::Fault);
}

TEST_F(RingshiftInterfaceTest, OtherNumbersAreNoCalls) {
  for (const uint32_t number : {16U, 17U, 0x80000000U, ~0U}) {
    EXPECT_EQ(ask(static_cast<Call>(number)), RingshiftInterface::kNoSuchCall) << number;
  }
}

TEST_F(RingshiftInterfaceTest, TablesAreUpdatedInBatches) {
  put_update(0, kTable, 0, 0x1007);
  put_update(1, kTable + 0xffc, 0x400000 | 1, 0x2007);
  put_update(2, 0x64000, 0, 0x3007);  // no table
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 3), RingshiftInterface::kBadArgument);
  ASSERT_EQ(ask(Call::RegisterTable, kTable), 0U);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 3), 2U) << "those before the first that is wrong";
  EXPECT_EQ(get32(kTable), 0x1007U);
  EXPECT_EQ(get32(kTable + 0xffc), 0x2007U);
  EXPECT_EQ(get32(0x64000), 0U);
  ASSERT_EQ(paging_.pages.size(), 1U);
  EXPECT_EQ(paging_.pages[0].value(), 0x400000U);
  EXPECT_EQ(ask(Call::UpdateTables, kArray + 32, 1), RingshiftInterface::kBadArgument);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 0), 0U);
  ASSERT_EQ(ask(Call::ReleaseTable, kTable), 0U);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), RingshiftInterface::kBadArgument);
}

TEST_F(RingshiftInterfaceTest, HostileUpdatesChangeNothing) {
  ASSERT_EQ(ask(Call::RegisterTable, kTable), 0U);
  for (const uint32_t page : {kTable + 4, static_cast<uint32_t>(kRamBytes), 0xfffff000U}) {
    EXPECT_EQ(ask(Call::RegisterTable, page), RingshiftInterface::kBadArgument) << page;
  }
  put_update(0, kTable + 2, 0, 1);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), RingshiftInterface::kBadArgument);
  put_update(0, kTable, 0, uint64_t{1} << 32);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), RingshiftInterface::kBadArgument);
  state.cr4 |= kCr4Pae;
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), 1U);
  EXPECT_EQ(get32(kTable + 4), 1U);
  enable_paging();
  unmap(kArray);
  state.cr4 &= ~kCr4Pae;
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), RingshiftInterface::kBadAddress);
  EXPECT_EQ(state.cr2, 0U) << "a call raises no page fault";
}

TEST_F(RingshiftInterfaceTest, ACallDoesABoundedAmountOfWork) {
  EXPECT_EQ(ask(Call::Invalidate, 0, ~0U), RingshiftInterface::kMostPages);
  EXPECT_EQ(paging_.pages.size(), RingshiftInterface::kMostPages);
  EXPECT_EQ(ask(Call::Print, 0, ~0U), RingshiftInterface::kMostBytes);
  EXPECT_EQ(printed_.size(), RingshiftInterface::kMostBytes);
  ASSERT_EQ(ask(Call::RegisterTable, kTable), 0U);
  for (uint32_t i = 0; i < 600; ++i) put_update(i, kTable + i * 4, 0, i);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 600), RingshiftInterface::kMostEntries);
  EXPECT_EQ(get32(kTable + 511 * 4), 511U);
  EXPECT_EQ(get32(kTable + 512 * 4), 0U);
}

TEST_F(RingshiftInterfaceTest, PrintsWhatTheGuestCanRead) {
  set32(kData, 0x216968);  // "hi!"
  EXPECT_EQ(ask(Call::Print, kData, 3), 3U);
  EXPECT_EQ(printed_, "hi!");
  enable_paging();
  unmap(kData);
  EXPECT_EQ(ask(Call::Print, kData, 3), RingshiftInterface::kBadAddress);
  EXPECT_EQ(ask(Call::Print, kData - 256, 600), 256U) << "up to where there is nothing";
}

TEST_F(RingshiftInterfaceTest, LoadsCr3) {
  EXPECT_EQ(ask(Call::LoadCr3, 0xf0000), 0U);
  EXPECT_EQ(state.cr3, 0xf0000U);
  EXPECT_EQ(paging_.cr3_loads, 1);
}

TEST_F(RingshiftInterfaceTest, TheTimerIsAnEvent) {
  share();
  ASSERT_EQ(ask(Call::SetEvents, 0x40), 0U);
  ASSERT_EQ(ask(Call::SetTimer, 5000), 0U);
  clock_.advance(4000);
  EXPECT_FALSE(calls_->interrupts(false));
  clock_.advance(2000);
  EXPECT_TRUE(calls_->interrupts(false));
  EXPECT_EQ(get32(kShared + RingshiftInterface::kPending), kTimerBit);
  EXPECT_EQ(calls_->take_upcall(), 0x40);
  EXPECT_EQ(get8(kShared), 1U) << "masked by the upcall";
  EXPECT_EQ(get32(kShared + RingshiftInterface::kUpcalls), 1U);
  EXPECT_FALSE(calls_->interrupts(false));
  set8(kShared, 0);
  EXPECT_TRUE(calls_->interrupts(false)) << "the bit is the guest's to clear";
  set32(kShared + RingshiftInterface::kChannelMask, kTimerBit);
  EXPECT_FALSE(calls_->interrupts(false));
  set32(kShared + RingshiftInterface::kChannelMask, 0);
  set32(kShared + RingshiftInterface::kPending, 0);
  EXPECT_FALSE(calls_->interrupts(false));
}

TEST_F(RingshiftInterfaceTest, TimersOfBothClocksAndHostileOnes) {
  share();
  ASSERT_EQ(ask(Call::SetEvents, 0x40), 0U);
  const auto real = static_cast<uint64_t>(day_) + 100;
  ASSERT_EQ(ask(Call::SetTimer, static_cast<uint32_t>(real), static_cast<uint32_t>(real >> 32), 1),
            0U);
  clock_.advance(101);
  EXPECT_TRUE(calls_->interrupts(false));
  EXPECT_EQ(ask(Call::SetTimer, ~0U, ~0U, 0), 0U);
  EXPECT_EQ(ask(Call::SetTimer, 1, 0, 2), RingshiftInterface::kBadArgument);
  EXPECT_EQ(ask(Call::SetTimer), 0U);
  EXPECT_EQ(clock_.armed_timers(), 0U);
  for (const uint32_t vector : {1U, 31U, 256U, ~0U}) {
    EXPECT_EQ(ask(Call::SetEvents, vector), RingshiftInterface::kBadArgument);
  }
  EXPECT_EQ(ask(Call::SetEvents, 0x40, 2), RingshiftInterface::kBadArgument);
}

TEST_F(RingshiftInterfaceTest, InterruptsComeAsEventsIfAskedFor) {
  share();
  EXPECT_TRUE(calls_->interrupts(true)) << "not asked for";
  EXPECT_EQ(calls_->take_upcall(), std::nullopt);
  ASSERT_EQ(ask(Call::SetEvents, 0x40, 1), 0U);
  set8(kShared, 1);
  EXPECT_FALSE(calls_->interrupts(true));
  EXPECT_EQ(get32(kShared + RingshiftInterface::kPending), kInterruptBit);
  set8(kShared, 0);
  EXPECT_TRUE(calls_->interrupts(true));
  waiting_ = 0x21;
  EXPECT_EQ(ask(Call::Acknowledge), 0x21U);
  EXPECT_EQ(ask(Call::Acknowledge), ~0U);
}

TEST_F(RingshiftInterfaceTest, BlocksUntilAnEvent) {
  EXPECT_EQ(ask(Call::Block), RingshiftInterface::kBadArgument) << "nothing could wake it";
  share();
  ASSERT_EQ(ask(Call::SetEvents, 0x40), 0U);
  set8(kShared, 1);
  EXPECT_EQ(call(Call::Block, 9000).kind, StepKind::Halted);
  EXPECT_EQ(get8(kShared), 0U);
  clock_.advance(10'000);
  EXPECT_TRUE(calls_->interrupts(false));
  EXPECT_EQ(call(Call::Block).kind, StepKind::Done) << "there is one already";
  state.eflags &= ~kFlagIf;
  EXPECT_EQ(ask(Call::Block), RingshiftInterface::kBadArgument);
  EXPECT_EQ(ask(Call::Yield), 0U);
  EXPECT_EQ(yields_, 1);
}

TEST_F(RingshiftInterfaceTest, TellsBothClocks) {
  tsc_.now += 3 * kHertz;
  share();
  EXPECT_EQ(get32(kShared + RingshiftInterface::kClockVersion) % 2, 0U);
  EXPECT_EQ(get32(kShared + RingshiftInterface::kVirtualTime), 3'000'000'000U);
  EXPECT_EQ(get32(kShared + RingshiftInterface::kRealTime), static_cast<uint32_t>(day_));
  EXPECT_EQ(ask(Call::ReadClock, 0), 3'000'000'000U);
  EXPECT_EQ(ask(Call::ReadClock, 1), static_cast<uint32_t>(day_));
  EXPECT_EQ(edx(), static_cast<uint32_t>(day_ >> 32));
  EXPECT_EQ(ask(Call::ReadClock, 2), RingshiftInterface::kBadArgument);
  day_ += 77;
  calls_->at_safe_point();
  EXPECT_EQ(get32(kShared + RingshiftInterface::kRealTime), static_cast<uint32_t>(day_ - 77));
  tsc_.now += kHertz;
  calls_->at_safe_point();
  EXPECT_EQ(get32(kShared + RingshiftInterface::kRealTime), static_cast<uint32_t>(day_));
}

TEST_F(RingshiftInterfaceTest, GivesPagesBack) {
  set32(0x70000, 5);
  set32(kArray, 0x70);
  set32(kArray + 4, static_cast<uint32_t>(kRamBytes / kPageSize));
  EXPECT_EQ(ask(Call::GiveBack, kArray, 2), 1U);
  EXPECT_EQ(get32(0x70000), 0U);
  EXPECT_EQ(ask(Call::GiveBack, kArray + 4, 1), RingshiftInterface::kBadArgument);
  set32(kArray, ~0U);
  EXPECT_EQ(ask(Call::GiveBack, kArray, 1), RingshiftInterface::kBadArgument);
}

TEST_F(RingshiftInterfaceTest, SurvivesASave) {
  share();
  ASSERT_EQ(ask(Call::SetEvents, 0x40, 1), 0U);
  ASSERT_EQ(ask(Call::RegisterTable, kTable), 0U);
  ASSERT_EQ(ask(Call::SetTimer, 50'000), 0U);
  tsc_.now += kHertz;
  const std::vector<uint8_t> saved = save();
  calls_ = make();
  cpu().hypervisor = calls_.get();
  tsc_.now += 5 * kHertz;
  set32(kShared, 0);
  ASSERT_EQ(load(*calls_, saved), "");
  EXPECT_EQ(calls_->virtual_time(), 1'000'000'000U) << "it stood";
  put_update(0, kTable, 0, 0x1007);
  EXPECT_EQ(ask(Call::UpdateTables, kArray, 1), 1U);
  clock_.advance(60'000);
  EXPECT_TRUE(calls_->interrupts(false));
  EXPECT_EQ(calls_->take_upcall(), 0x40);
  std::vector<uint8_t> cut = saved;
  cut.pop_back();
  EXPECT_NE(load(*make(), cut), "");
}

}  // namespace
}  // namespace ringshift
