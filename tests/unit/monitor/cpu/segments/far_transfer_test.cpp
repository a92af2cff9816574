#include <random>

#include "monitor/cpu/event_delivery.h"
#include "monitor/cpu/segments/segmentation.h"
#include "tests/support/cpu_fixture.h"

namespace ringshift {
namespace {

class FarTransfer : public CpuFixture {
 protected:
  [[nodiscard]] uint32_t esp() const { return state.reg(Gpr::Esp); }
  [[nodiscard]] uint16_t selector(SegmentRegister name) const { return state.seg(name).selector; }
};

MaybeFault gp(uint32_t code) { return GuestFault::general_protection(code); }
constexpr OperandSize k32 = OperandSize::Bits32;
constexpr OperandSize k16 = OperandSize::Bits16;

TEST_F(FarTransfer, JumpLoadsCodeSegmentWithRplOfCpl) {
  set_gdt(kFree, 0x1000, 0xff, 0x409a);
  ASSERT_EQ(far_jump(cpu(), kFree, 0x80, k32, Eip(0)), kNoFault);
  EXPECT_EQ(state.eip, 0x80U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x1000U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).attributes, 0x409b);
  enter_ring(3);
  ASSERT_EQ(far_jump(cpu(), kConforming0, 0x80, k32, Eip(0)), kNoFault);
  EXPECT_EQ(selector(SegmentRegister::Cs), kConforming0 | 3);
  EXPECT_EQ(state.cpl, 3);
}

TEST_F(FarTransfer, JumpRefusesWhatItMust) {
  EXPECT_EQ(far_jump(cpu(), 0, 0, k32, Eip(0)), gp(0));
  EXPECT_EQ(far_jump(cpu(), kData0, 0, k32, Eip(0)), gp(kData0));
  EXPECT_EQ(far_jump(cpu(), kCode3, 0, k32, Eip(0)), gp(kCode3 & ~3U));
  set_gdt(kFree, 0, 0xff, 0x409a);
  EXPECT_EQ(far_jump(cpu(), kFree, 0x100, k32, Eip(0)), gp(0));
  set_gdt(kFree, 0, 0xff, 0x401a);
  EXPECT_EQ(far_jump(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::with_code(Vector::SegmentNotPresent, kFree)));
  EXPECT_EQ(selector(SegmentRegister::Cs), kCode0);
}

TEST_F(FarTransfer, CallAndReturnAtTheSameRingRoundTrip) {
  ASSERT_EQ(far_call(cpu(), kCode0, 0x5000, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(esp(), kStackTop - 8);
  EXPECT_EQ(get32(kStackTop - 8), 0x30007U);
  EXPECT_EQ(get32(kStackTop - 4), kCode0);
  ASSERT_EQ(far_return(cpu(), 4, k32), kNoFault);
  EXPECT_EQ(state.eip, 0x30007U);
  EXPECT_EQ(esp(), kStackTop + 4);
}

TEST_F(FarTransfer, CallGateCopiesParametersToTheInnerStack) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec, 2);
  enter_ring(3);
  set32(kStackTop, 0x11111111);
  set32(kStackTop + 4, 0x22222222);
  ASSERT_EQ(far_call(cpu(), kFree | 3, 0xdead, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(state.cpl, 0);
  EXPECT_EQ(state.eip, 0x7000U);
  EXPECT_EQ(selector(SegmentRegister::Ss), kData0);
  EXPECT_EQ(esp(), kStack0 - 24);
  EXPECT_EQ(get32(kStack0 - 24), 0x30007U);
  EXPECT_EQ(get32(kStack0 - 20), kCode3);
  EXPECT_EQ(get32(kStack0 - 16), 0x11111111U);
  EXPECT_EQ(get32(kStack0 - 12), 0x22222222U);
  EXPECT_EQ(get32(kStack0 - 8), kStackTop);
  EXPECT_EQ(get32(kStack0 - 4), kData3);

  ASSERT_EQ(far_return(cpu(), 8, k32), kNoFault);
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(state.eip, 0x30007U);
  EXPECT_EQ(esp(), kStackTop + 8);
  EXPECT_EQ(selector(SegmentRegister::Ss), kData3);
}

TEST_F(FarTransfer, SixteenBitCallGatePushesWords) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xe4, 1);
  enter_ring(3);
  set16(kStackTop, 0xabcd);
  ASSERT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0x30007)), kNoFault);
  EXPECT_EQ(esp(), kStack0 - 10);
  EXPECT_EQ(get16(kStack0 - 10), 7);
  EXPECT_EQ(get16(kStack0 - 8), kCode3);
  EXPECT_EQ(get16(kStack0 - 6), 0xabcd);
  EXPECT_EQ(get16(kStack0 - 4), 0xc000);
  EXPECT_EQ(get16(kStack0 - 2), kData3);
}

TEST_F(FarTransfer, CallGatePrivilegeAndPresenceFaults) {
  enter_ring(3);
  set_gate(kGdt + kFree, kCode0, 0x7000, 0x8c);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)), gp(kFree));
  set_gate(kGdt + kFree, kCode0, 0x7000, 0x6c);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::with_code(Vector::SegmentNotPresent, kFree)));
  set_gate(kGdt + kFree, 0, 0x7000, 0xec);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)), gp(0));
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec);
  EXPECT_EQ(far_jump(cpu(), kFree, 0, k32, Eip(0)), gp(kCode0));
}

TEST_F(FarTransfer, BadInnerStackIsInvalidTssAndChangesNothing) {
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec);
  enter_ring(3);
  set16(kTss + tss32::kSs0, 0);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, 0)));
  set16(kTss + tss32::kSs0, kData3);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, kData3 & ~3U)));
  state.tr.limit = 5;
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)),
            MaybeFault(GuestFault::with_code(Vector::InvalidTss, kTssSelector)));
  EXPECT_EQ(state.cpl, 3);
  EXPECT_EQ(esp(), kStackTop);
}

MaybeFault ss(uint32_t code) { return MaybeFault(GuestFault::with_code(Vector::StackFault, code)); }

// SDM 2A CALL: room on the stack, then the limit of the code, then the pages of the stack.
TEST_F(FarTransfer, RoomForAFrameIsAskedForBeforeTheEntryPoint) {
  constexpr uint32_t kOutside = 0x100;
  set_gdt(kFree, 0, kOutside - 1, 0x409a);
  state.seg(SegmentRegister::Ss).limit = 0xfff;
  EXPECT_EQ(far_call(cpu(), kFree, kOutside, k32, Eip(0)), ss(0));
  EXPECT_EQ(far_jump(cpu(), kFree, kOutside, k32, Eip(0)), gp(0));
  enable_paging();
  unmap(kStackTop - 4);
  enter_ring(0);
  EXPECT_EQ(far_call(cpu(), kFree, kOutside, k32, Eip(0)), gp(0));
  EXPECT_EQ(far_call(cpu(), kFree, kOutside - 1, k32, Eip(0)),
            MaybeFault(GuestFault::page_fault(kStackTop - 4, kPageFaultWrite)));
}

TEST_F(FarTransfer, RoomOnTheInnerStackIsAskedForBeforeTheEntryPointOfAGate) {
  constexpr uint16_t kGate = kFree + 8, kNoRoom = kFree + 16;
  set_gdt(kFree, 0, 0xff, 0x409a);
  set_gdt(kNoRoom, 0, 0xfff, 0x4092);
  set_gate(kGdt + kGate, kFree, 0x100, 0xec, 2);
  enter_ring(3);
  set16(kTss + tss32::kSs0, kNoRoom);
  EXPECT_EQ(far_call(cpu(), kGate, 0, k32, Eip(0)), ss(kNoRoom));
  set16(kTss + tss32::kSs0, kData0);
  EXPECT_EQ(far_call(cpu(), kGate, 0, k32, Eip(0)), gp(0));
  enable_paging();
  unmap(kStackTop);  // where the parameters are
  EXPECT_EQ(far_call(cpu(), kGate, 0, k32, Eip(0)), gp(0));
  set_gate(kGdt + kGate, kFree, 0xff, 0xec, 2);
  const MaybeFault fault = far_call(cpu(), kGate, 0, k32, Eip(0));
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->vector, Vector::PageFault);
}

TEST_F(FarTransfer, RealModeCallAsksForRoomBeforeTheEntryPoint) {
  enter_real_mode();
  state.seg(SegmentRegister::Ss).limit = 0xfff;
  EXPECT_EQ(far_call(cpu(), 0x2000, 0x10000, k32, Eip(0x105)), ss(0));
}

TEST_F(FarTransfer, FramesOfRingThreeAreCheckedForAlignment) {
  const MaybeFault misaligned = GuestFault::with_code(Vector::AlignmentCheck, 0);
  state.cr0 |= kCr0Am;
  state.eflags |= kFlagAc;
  state.reg(Gpr::Esp) = kStackTop - 2;
  EXPECT_EQ(far_call(cpu(), kCode0, 0x5000, k32, Eip(0)), kNoFault);
  enter_ring(3);
  state.reg(Gpr::Esp) = kStackTop - 2;
  EXPECT_EQ(far_call(cpu(), kCode3, 0x5000, k32, Eip(0)), misaligned);
  EXPECT_EQ(far_return(cpu(), 0, k32), misaligned);
  EXPECT_EQ(interrupt_return(cpu(), k32, Eip(0)), misaligned);
  EXPECT_EQ(far_call(cpu(), kCode3, 0x5000, k16, Eip(0)), kNoFault);
  state.reg(Gpr::Esp) = kStackTop - 2;
  set_gate(kGdt + kFree, kCode0, 0x7000, 0xec);  // an inner stack is the supervisor's
  set32(kTss + tss32::kEsp0, kStack0 - 2);
  EXPECT_EQ(far_call(cpu(), kFree, 0, k32, Eip(0)), kNoFault);
  EXPECT_EQ(esp(), kStack0 - 18);
}

TEST_F(FarTransfer, FaultOnOnePushLeavesStackAndStateUntouched) {
  enable_paging();
  unmap(0xb000);
  state.reg(Gpr::Esp) = 0xc004;
  set32(0xc000, 0x55555555);
  const MaybeFault fault = far_call(cpu(), kCode0, 0x5000, k32, Eip(0x30007));
  EXPECT_EQ(fault, MaybeFault(GuestFault::page_fault(0xbffc, kPageFaultWrite)));
  EXPECT_EQ(get32(0xc000), 0x55555555U);
  EXPECT_EQ(esp(), 0xc004U);
  EXPECT_EQ(state.eip, 0x30000U);
}

TEST_F(FarTransfer, SixteenBitStackUsesSpOnly) {
  state.seg(SegmentRegister::Ss) = {0, 0xffff, kSmallStack0, 0x93};
  state.reg(Gpr::Esp) = 0x7ead8002;
  ASSERT_EQ(far_call(cpu(), kCode0, 0x5000, k16, Eip(0x1234)), kNoFault);
  EXPECT_EQ(esp(), 0x7ead7ffeU);
  EXPECT_EQ(get16(0x7ffe), 0x1234);
  EXPECT_EQ(get16(0x8000), kCode0);
}

TEST_F(FarTransfer, RealModeCallAndReturnUseSegmentTimesSixteen) {
  enter_real_mode();
  ASSERT_EQ(far_call(cpu(), 0x2000, 0x10, k16, Eip(0x105)), kNoFault);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x20000U);
  EXPECT_EQ(get16(0x17ffc), 0x105);
  EXPECT_EQ(get16(0x17ffe), 0x1000);
  ASSERT_EQ(far_return(cpu(), 0, k16), kNoFault);
  EXPECT_EQ(selector(SegmentRegister::Cs), 0x1000);
  EXPECT_EQ(state.eip, 0x105U);
  EXPECT_EQ(far_jump(cpu(), 0x2000, 0x10000, k32, Eip(0)), gp(0));
}

TEST_F(FarTransfer, ReturnToInnerRingIsRefused) {
  enter_ring(3);
  set32(kStackTop, 0x1000);
  set32(kStackTop + 4, kCode0);
  EXPECT_EQ(far_return(cpu(), 0, k32), gp(kCode0));
}

// Tables, frames and selectors at random: whatever a guest prepares, a transfer that faults has
// changed nothing (unless a task switch had committed), and one that succeeds leaves CPL
// consistent.
class RandomTransfer : public FarTransfer {
 protected:
  uint32_t word() { return static_cast<uint32_t>(generator_()); }
  uint32_t pick(uint32_t count) { return word() % count; }
  uint32_t random_selector() { return pick(40) * 8 + (pick(8) == 0 ? 4 : 0) + pick(4); }

  // Mostly plausible descriptors: any type, low random limits as often as flat ones.
  void fill_tables() {
    set_up_tables();
    for (uint32_t at = kGdt; at < kGdt + 0x100; at += 8) {
      if (pick(4) == 0) {
        set32(at, word());
        set32(at + 4, (word() & 0x00ffffffU) | (pick(4) == 0 ? 0 : 0x8000U));
      }
    }
    for (uint32_t at = kIdt; at < kIdt + 0x200; at += 8) {
      if (pick(2) == 0) {
        continue;
      }
      set_gate(at, static_cast<uint16_t>(random_selector()), word() & 0x3ffffU,
               (pick(8) == 0 ? 0 : 0x80U) | (pick(4) << 5) | pick(16));
    }
    for (const uint32_t tss : {kTss, kOtherTss}) {
      for (uint32_t field = 0; field < 104; field += 4) {
        if (pick(2) == 0) {
          set32(tss + field, pick(3) == 0 ? word() & 0xfffffU : random_selector());
        }
      }
    }
    for (uint32_t at = kStackTop; at < kStackTop + 64; at += 4) {
      set32(at, pick(2) == 0 ? random_selector() : word() & 0x3ffffU);
    }
  }
  void choose_state() {
    enter_ring(std::array<unsigned, 3>{0, 1, 3}[pick(3)]);
    state.tr = {kTss, pick(8) == 0 ? 0x20U : 0x2fffU, kTssSelector, 0x8b};
    state.eflags = kFlagReservedOne | (word() & (kFlagNt | kFlagIopl | kFlagIf));
    state.cr0 = kCr0Pe | kCr0Et;
    if (pick(4) == 0) {
      enable_paging();
      unmap((1 + pick(12)) << 12);
    }
    state.sysenter_cs = random_selector();
    if (pick(5) == 0) {
      enter_v86(pick(4));
    }
  }
  MaybeFault run_one() {
    const auto target = static_cast<uint16_t>(random_selector());
    const OperandSize size = pick(2) == 0 ? k16 : k32;
    switch (pick(6)) {
      case 0:
        return far_jump(cpu(), target, word() & 0x3ffffU, size, Eip(0x30007));
      case 1:
        return far_call(cpu(), target, word() & 0x3ffffU, size, Eip(0x30007));
      case 2:
        return far_return(cpu(), static_cast<uint16_t>(pick(32)), size);
      case 3:
        return interrupt_return(cpu(), size, Eip(0x30007));
      case 4:
        return pick(2) == 0 ? sysenter(cpu()) : sysexit(cpu());
      default:
        return load_segment(cpu(), static_cast<SegmentRegister>(pick(6)), target);
    }
  }
  void expect_consistent() {
    ASSERT_EQ(state.eflags & kFlagReservedOne, kFlagReservedOne);
    if (state.v86_mode()) {
      ASSERT_EQ(state.cpl, 3);
      return;
    }
    ASSERT_EQ(selector_ring(SegmentRegister::Cs), state.cpl);
    ASSERT_EQ(selector_ring(SegmentRegister::Ss), state.cpl);
    ASSERT_EQ(state.seg(SegmentRegister::Ss).dpl(), state.cpl);
  }
  [[nodiscard]] unsigned selector_ring(SegmentRegister name) const { return selector(name) & 3U; }

  std::mt19937 generator_{12345};
};

TEST_F(RandomTransfer, FaultsChangeNothingAndSuccessIsConsistent) {
  int succeeded = 0;
  for (int round = 0; round < 40000; ++round) {
    if (round % 16 == 0) {
      fill_tables();
    }
    choose_state();
    const GuestState before = state;
    if (!run_one()) {
      ++succeeded;
      expect_consistent();
    } else if ((state.cr0 & kCr0Ts) == 0) {
      ASSERT_EQ(std::memcmp(&before, &state, sizeof(state)), 0) << "round " << round;
    }
    if (HasFatalFailure()) {
      FAIL() << "round " << round;
    }
  }
  EXPECT_GT(succeeded, 4000);
}

TEST_F(RandomTransfer, DeliveryAlwaysEnds) {
  int delivered = 0;
  for (int round = 0; round < 40000; ++round) {
    if (round % 16 == 0) {
      fill_tables();
    }
    choose_state();
    Event event;
    event.kind = static_cast<EventKind>(pick(5));
    event.vector = static_cast<uint8_t>(pick(0x44));
    event.has_error_code = event.kind == EventKind::Exception && pick(2) == 0;
    event.return_eip = Eip(0x30002);
    const GuestState before = state;
    if (deliver(cpu(), event, Eip(0x30000)) == DeliveryResult::Delivered) {
      ++delivered;
      expect_consistent();
    } else if ((state.cr0 & kCr0Ts) == 0) {
      ASSERT_EQ(state.eip, before.eip);
      ASSERT_EQ(state.activity, ActivityState::Shutdown);
    }
    state.activity = ActivityState::Running;
    if (HasFatalFailure()) {
      FAIL() << "round " << round;
    }
  }
  EXPECT_GT(delivered, 4000);
}

}  // namespace
}  // namespace ringshift
