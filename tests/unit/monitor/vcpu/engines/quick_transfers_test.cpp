// QuickTransfers does the same as event delivery and interrupt_return; a transfer that it declines
// has not begun. Tables, frames and flags are damaged at random.
#include "monitor/vcpu/engines/quick_transfers.h"

#include <random>

#include "monitor/cpu/segments/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class QuickTransfersTest : public CpuFixture {
 protected:
  static constexpr uint32_t kCompared = 0xd000;  // tables and stacks
  static constexpr uint32_t kSeed = 20261121;
  static constexpr uint32_t kCases = 3000;

  struct Snapshot {
    GuestState state;
    std::vector<uint8_t> memory;
  };
  Snapshot take() {
    Snapshot taken{state, std::vector<uint8_t>(kCompared)};
    EXPECT_FALSE(cpu_read(taken.memory.data()));
    return taken;
  }
  void put_back(const Snapshot& snapshot) {
    state = snapshot.state;
    for (uint32_t at = 0; at < kCompared; at += 4) {
      uint32_t value;
      std::memcpy(&value, snapshot.memory.data() + at, sizeof(value));
      set32(at, value);
    }
  }
  void expect_same(const Snapshot& left, const Snapshot& right, uint32_t which) {
    const GuestState& a = left.state;
    const GuestState& b = right.state;
    EXPECT_EQ(a.gpr, b.gpr) << which;
    EXPECT_EQ(a.eip, b.eip) << which;
    EXPECT_EQ(a.eflags, b.eflags) << which;
    EXPECT_EQ(a.cpl, b.cpl) << which;
    EXPECT_EQ(a.cr2, b.cr2) << which;
    EXPECT_EQ(a.activity, b.activity) << which;
    EXPECT_EQ(a.interrupt_shadow, b.interrupt_shadow) << which;
    EXPECT_EQ(std::memcmp(a.segment.data(), b.segment.data(), sizeof(a.segment)), 0) << which;
    EXPECT_TRUE(left.memory == right.memory) << which;
  }

  uint32_t random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  void flip(uint32_t at, uint32_t bits) {
    const uint32_t bit = random(bits);
    set32(at + bit / 32 * 4, get32(at + bit / 32 * 4) ^ (1U << (bit % 32)));
  }
  void damage_tables() {
    for (uint32_t i = random(3); i != 0; --i) {
      constexpr std::array<uint16_t, 4> kSelectors = {kCode0, kData0, kCode3, kData3};
      switch (random(5)) {
        case 0:
        case 1:
          flip(kGdt + (kSelectors[random(4)] & 0xfff8U), 64);
          break;
        case 2:
          flip(kIdt + kVector * 8, 64);
          break;
        case 3:
          flip(kTss + tss32::kEsp0, 48);
          break;
        default:
          state.gdtr.limit = random(0x40);
          state.tr.limit = random(0x20);
          break;
      }
    }
  }
  void random_state() {
    put_back(intact_);
    enter_ring(random(8) == 0 ? 1 + random(2) : random(2) * 3);
    if (random(16) == 0) enter_v86(3);
    if (random(16) == 0) state.seg(SegmentRegister::Ss).limit = 0xffff;
    if (random(8) == 0) state.reg(Gpr::Esp) = 0xb000 + random(32);
    if (random(8) == 0) set32(kTss + tss32::kEsp0, 0x9000 + random(32));
    state.eflags |= static_cast<uint32_t>(random_()) &
                    (kFlagsArithmetic | kFlagIf | kFlagDf | kFlagIopl | kFlagAc);
    if (random(8) == 0) state.eflags |= kFlagNt;
    damage_tables();
  }
  Event random_event() {
    Event event;
    event.vector = kVector;
    event.return_eip = state.pointer();
    switch (random(4)) {
      case 0:
        event.kind = EventKind::HardwareInterrupt;
        break;
      case 1:
        event.kind = EventKind::SoftwareInterrupt;
        break;
      default:
        event.kind = EventKind::Exception;  // kVector is a page fault
        event.has_error_code = true;
        event.error_code = 4;
        event.cr2 = 0x12345;
        break;
    }
    return event;
  }
  MaybeFault cpu_read(uint8_t* bytes) {
    for (uint32_t at = 0; at < kCompared; at += kPageSize) {
      RETURN_IF_FAULT(
          cpu().memory.read(GuestVirtual(at), bytes + at, kPageSize, Privilege::Supervisor));
    }
    return kNoFault;
  }

  static constexpr uint8_t kVector = 14;
  std::mt19937_64 random_{kSeed};
  Snapshot intact_ = take();
};

TEST_F(QuickTransfersTest, DeliversAsEventDeliveryDoesOrNotAtAll) {
  set_idt(kVector, kCode0, 0xee);
  intact_ = take();
  QuickTransfers quick(cpu());
  uint32_t delivered = 0;
  for (uint32_t i = 0; i < kCases && !HasFailure(); ++i) {
    random_state();
    const Event event = random_event();
    const Snapshot before = take();
    const bool done = quick.deliver(event);
    const Snapshot after = take();
    if (!done) {
      expect_same(before, after, i);
      continue;
    }
    ++delivered;
    put_back(before);
    ASSERT_EQ(deliver(cpu(), event, event.return_eip), DeliveryResult::Delivered);
    expect_same(take(), after, i);
  }
  EXPECT_GT(delivered, kCases / 4);
  EXPECT_LT(delivered, kCases * 3 / 4);
}

TEST_F(QuickTransfersTest, ReturnsAsInterruptReturnDoesOrNotAtAll) {
  QuickTransfers quick(cpu());
  uint32_t returned = 0;
  for (uint32_t i = 0; i < kCases && !HasFailure(); ++i) {
    random_state();
    const uint32_t esp = state.reg(Gpr::Esp) & 0xffff;
    const uint32_t outer = random(2);
    set32(esp, random(8) == 0 ? static_cast<uint32_t>(random_()) : 0x1234);
    set32(esp + 4, outer != 0 ? kCode3 : kCode0);
    set32(esp + 8, static_cast<uint32_t>(random_()) & (random(8) == 0 ? ~0U : ~kFlagVm));
    set32(esp + 12, static_cast<uint32_t>(random_()));
    set32(esp + 16, kData3);
    if (random(8) == 0) flip(esp + 4, 16);
    if (random(8) == 0) flip(esp + 16, 16);
    if (outer != 0) state.seg(SegmentRegister::Es) = {0, 0xffffffffU, kData3, 0xc0f3};
    const Snapshot before = take();
    const bool done = quick.return_from_interrupt();
    const Snapshot after = take();
    if (!done) {
      expect_same(before, after, i);
      continue;
    }
    ++returned;
    put_back(before);
    ASSERT_EQ(interrupt_return(cpu(), OperandSize::Bits32, Eip(0)), kNoFault) << i;
    expect_same(take(), after, i);
  }
  EXPECT_GT(returned, kCases / 8);
  EXPECT_LT(returned, kCases / 2);
}

TEST_F(QuickTransfersTest, AFrameThatFaultsIsLeftToEventDelivery) {
  enable_paging();
  enter_ring(3);
  unmap(kStack0 - 1);
  Event event;
  event.kind = EventKind::HardwareInterrupt;
  event.vector = 0x20;
  const GuestState before = state;
  EXPECT_FALSE(QuickTransfers(cpu()).deliver(event));
  EXPECT_EQ(state.eip, before.eip);
  EXPECT_EQ(state.cpl, 3);
}

}  // namespace
}  // namespace ringshift
