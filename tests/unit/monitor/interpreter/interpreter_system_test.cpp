#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

using InterpreterSystem = InterpreterFixture;

class AccessList final : public DataWatcher {
 public:
  void on_data_access(GuestVirtual address, uint32_t length, AccessKind kind) override {
    text += std::to_string(address.value()) + (kind == AccessKind::Write ? " w" : " r") +
            std::to_string(length) + ";";
  }
  std::string text;
};

TEST_F(InterpreterSystem, AWatcherIsToldOfEachAccessToAnOperand) {
  AccessList accesses;
  interpreter().set_data_watcher(&accesses);
  edi() = 1000;
  esi() = 2000;
  run({0x8b, 0x07});        // mov eax, [edi]
  run({0x66, 0x89, 0x07});  // mov [edi], ax
  run({0xa4});              // movsb
  EXPECT_EQ(accesses.text, "1000 r4;1000 w2;2000 r1;1000 w1;");
  accesses.text.clear();
  run({0xff, 0x06});  // inc dword [esi]
  EXPECT_EQ(accesses.text, "2001 w4;2001 r4;");
  accesses.text.clear();
  interpreter().set_data_watcher(nullptr);
  run({0x8b, 0x07});  // mov eax, [edi]
  EXPECT_EQ(accesses.text, "");
}

TEST_F(InterpreterSystem, PopFlagsInRingThreeKeepsIfAndIopl) {
  enter_ring(3);
  esp() = kStackTop;
  set32(kStackTop, kFlagIf | kFlagIopl | kFlagCf | kFlagAc);
  run({0x9d});  // popfd
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagCf | kFlagAc);
}

TEST_F(InterpreterSystem, PopFlagsInRingZeroSetsIfAndIopl) {
  set32(kStackTop, kFlagIf | kFlagIopl);
  run({0x9d});
  EXPECT_EQ(state.eflags, kFlagReservedOne | kFlagIf | kFlagIopl);
}

TEST_F(InterpreterSystem, PushFlagsHidesResumeAndVirtualMode) {
  state.eflags |= kFlagRf | kFlagId;
  run({0x9c});
  EXPECT_EQ(get32(kStackTop - 4), kFlagReservedOne | kFlagId);
}

TEST_F(InterpreterSystem, PushFlagsInV86NeedsIoplThree) {
  enter_v86(2);
  EXPECT_EQ(fault({0x9c}), GuestFault::general_protection(0));
  enter_v86(3);
  run({0x9c});
}

TEST_F(InterpreterSystem, CliNeedsIopl) {
  enter_ring(3);
  EXPECT_EQ(fault({0xfa}), GuestFault::general_protection(0));
  state.eflags |= kFlagIopl | kFlagIf;
  run({0xfa});
  EXPECT_EQ(state.eflags & kFlagIf, 0U);
}

TEST_F(InterpreterSystem, PrivilegedInstructionsFaultInRingThree) {
  enter_ring(3);
  const GuestFault expected = GuestFault::general_protection(0);
  EXPECT_EQ(fault({0xf4}), expected);                          // hlt
  EXPECT_EQ(fault({0x0f, 0x20, 0xc0}), expected);              // mov eax, cr0
  EXPECT_EQ(fault({0x0f, 0x22, 0xd8}), expected);              // mov cr3, eax
  EXPECT_EQ(fault({0x0f, 0x06}), expected);                    // clts
  EXPECT_EQ(fault({0x0f, 0x01, 0x15, 0, 0, 5, 0}), expected);  // lgdt
  EXPECT_EQ(fault({0x0f, 0x01, 0x38}), expected);              // invlpg
  EXPECT_EQ(fault({0x0f, 0x32}), expected);                    // rdmsr
  EXPECT_EQ(fault({0x0f, 0x09}), expected);                    // wbinvd
  EXPECT_EQ(fault({0x0f, 0x00, 0xd0}), expected);              // lldt ax
}

TEST_F(InterpreterSystem, HaltReportsAndMovesOn) {
  EXPECT_EQ(step({0xf4}).kind, StepKind::Halted);
  EXPECT_EQ(state.eip, kCode + 1);
}

TEST_F(InterpreterSystem, GlobalDescriptorTableStoreIsAllowedEverywhere) {
  enter_ring(3);
  run({0x0f, 0x01, 0x05, 0, 0, 5, 0});  // sgdt [kData]
  EXPECT_EQ(get16(kData), 0xff);
  EXPECT_EQ(get32(kData + 2), kGdt);
}

TEST_F(InterpreterSystem, SixteenBitTableLoadTakesTwentyFourBits) {
  set16(kData, 0x123);
  set32(kData + 2, 0xaabbccdd);
  run({0x66, 0x0f, 0x01, 0x1d, 0, 0, 5, 0});  // lidt
  EXPECT_EQ(state.idtr.base, 0xbbccddU);
  EXPECT_EQ(state.idtr.limit, 0x123U);
}

TEST_F(InterpreterSystem, MachineStatusCannotLeaveProtectedMode) {
  eax() = kCr0Ts;
  run({0x0f, 0x01, 0xf0});  // lmsw ax
  EXPECT_NE(state.cr0 & kCr0Pe, 0U);
  EXPECT_NE(state.cr0 & kCr0Ts, 0U);
}

TEST_F(InterpreterSystem, MoveFromControlRegisterIgnoresMod) {
  state.cr2 = 0x1234;
  run({0x0f, 0x20, 0x10});  // mov eax, cr2 with mod 0
  EXPECT_EQ(eax(), 0x1234U);
}

TEST_F(InterpreterSystem, TimeStampCanBeRestricted) {
  enter_ring(3);
  run({0x0f, 0x31});
  EXPECT_EQ(eax(), 1000U);
  state.cr4 |= kCr4Tsd;
  EXPECT_EQ(fault({0x0f, 0x31}), GuestFault::general_protection(0));
}

TEST_F(InterpreterSystem, SelectorQueriesAreUndefinedInV86) {
  enter_v86(3);
  EXPECT_EQ(fault({0x0f, 0x02, 0xc0}), GuestFault::invalid_opcode());  // lar
  EXPECT_EQ(fault({0x63, 0xc0}), GuestFault::invalid_opcode());        // arpl
}

TEST_F(InterpreterSystem, AdjustRplRaisesToTheCallersLevel) {
  eax() = 0x10;
  ecx() = 0x1b;
  run({0x63, 0xc8});  // arpl ax, cx
  EXPECT_EQ(eax(), 0x13U);
  EXPECT_NE(flags() & kFlagZf, 0U);
}

TEST_F(InterpreterSystem, PortAccessWithoutPermissionFaults) {
  enter_ring(3);
  edx() = 0x3f8;
  run({0xec});                         // in al, dx
  set8(kTss + 104 + 0x3f8 / 8, 0x01);  // the I/O map's bit of that port
  EXPECT_EQ(fault({0xec}), GuestFault::general_protection(0));
}

TEST_F(InterpreterSystem, PushOfASegmentRegisterWritesTwoBytes) {
  set32(kStackTop - 4, 0xaaaaaaaa);
  run({0x1e});  // push ds
  EXPECT_EQ(get32(kStackTop - 4), 0xaaaa0000U | kData0);
  EXPECT_EQ(esp(), kStackTop - 4);
}

TEST_F(InterpreterSystem, ByteImmediateIsPushedSignExtended) {
  run({0x6a, 0xfe});
  EXPECT_EQ(get32(kStackTop - 4), 0xfffffffeU);
}

TEST_F(InterpreterSystem, LockedControlRegisterMoveIsUndefined) {
  EXPECT_EQ(fault({0xf0, 0x0f, 0x20, 0xc0}), GuestFault::invalid_opcode());
}

TEST_F(InterpreterSystem, PopEspTakesTheValueRead) {
  set32(kStackTop, 0x8888);
  run({0x5c});
  EXPECT_EQ(esp(), 0x8888U);
}

TEST_F(InterpreterSystem, PopToMemoryComputesItsAddressWithTheNewEsp) {
  set32(kStackTop, 0x4242);
  run({0x8f, 0x44, 0x24, 0x08});  // pop dword [esp+8]
  EXPECT_EQ(get32(kStackTop + 4 + 8), 0x4242U);
}

TEST_F(InterpreterSystem, PushAllStoresTheOldStackPointer) {
  run({0x60});
  EXPECT_EQ(get32(kStackTop - 20), kStackTop);
  EXPECT_EQ(esp(), kStackTop - 32);
  run({0x61});
  EXPECT_EQ(esp(), kStackTop);
}

TEST_F(InterpreterSystem, EnterCopiesTheDisplay) {
  ebp() = kData + 0x100;
  set32(kData + 0xfc, 0x1111);
  run({0xc8, 0x10, 0x00, 0x02});  // enter 16, 2
  EXPECT_EQ(get32(kStackTop - 4), kData + 0x100);
  EXPECT_EQ(get32(kStackTop - 8), 0x1111U);
  EXPECT_EQ(get32(kStackTop - 12), kStackTop - 4);
  EXPECT_EQ(ebp(), kStackTop - 4);
  EXPECT_EQ(esp(), kStackTop - 12 - 16);
}

TEST_F(InterpreterSystem, RealModeUsesSixteenBitOperandsAndSegments) {
  enter_real_mode();
  state.reg(Gpr::Ebx) = 0x0010;
  set16(0x10000 + 0x12, 0xbeef);
  run({0x8b, 0x47, 0x02});  // mov ax, [bx+2]
  EXPECT_EQ(eax(), 0xbeefU);
  EXPECT_EQ(state.eip, 0x103U);
}

TEST_F(InterpreterSystem, RealModeAbsoluteOffsetIsUnsigned) {
  enter_real_mode();
  set8(0x1fffe, 0x5a);
  run({0xa0, 0xfe, 0xff});  // mov al, [0fffeh]
  EXPECT_EQ(eax(), 0x5aU);
}

TEST_F(InterpreterSystem, RealModeBasePointerAddressesTheStackSegment) {
  enter_real_mode();
  state.seg(SegmentRegister::Ss).base = 0x40000;
  ebp() = 0x10;
  set16(0x40000 + 0x0e, 0x1234);
  run({0x8b, 0x46, 0xfe});  // mov ax, [bp-2]
  EXPECT_EQ(eax(), 0x1234U);
}

TEST_F(InterpreterSystem, RealModeFarJumpLoadsTheSegment) {
  enter_real_mode();
  run({0xea, 0x34, 0x12, 0x00, 0x20});  // jmp 2000:1234
  EXPECT_EQ(state.eip, 0x1234U);
  EXPECT_EQ(state.seg(SegmentRegister::Cs).base, 0x20000U);
}

TEST_F(InterpreterSystem, AlignmentIsCheckedInRingThreeOnly) {
  state.cr0 |= kCr0Am;
  state.eflags |= kFlagAc;
  run({0xa1, 1, 0, 5, 0});  // mov eax, [kData+1]
  enter_ring(3);
  EXPECT_EQ(fault({0xa1, 1, 0, 5, 0}), GuestFault::with_code(Vector::AlignmentCheck, 0));
}

TEST_F(InterpreterSystem, CpuidHidesWhatMiscEnableSwitchesOff) {
  constexpr uint32_t kNx = 1U << 20;
  constexpr uint64_t kLimitCpuid = 1ULL << 22, kNoExecuteOff = 1ULL << 34;
  eax() = 0x80000001U;
  run({0x0f, 0xa2});
  EXPECT_EQ(edx() & kNx, kNx);
  state.misc_enable = kLimitCpuid | kNoExecuteOff;
  eax() = 0x80000001U;
  run({0x0f, 0xa2});
  EXPECT_EQ(edx() & kNx, 0U);
  eax() = 0;
  run({0x0f, 0xa2});
  EXPECT_EQ(eax(), 2U);
}

TEST_F(InterpreterSystem, ControlRegistersThatDoNotExistAreUndefinedInEveryRing) {
  for (const unsigned ring : {0U, 3U}) {
    enter_ring(ring);
    EXPECT_EQ(fault({0x0f, 0x20, 0xc8}), GuestFault::invalid_opcode());  // mov eax, cr1
    EXPECT_EQ(fault({0x0f, 0x22, 0xe8}), GuestFault::invalid_opcode());  // mov cr5, eax
  }
  EXPECT_EQ(fault({0x0f, 0x20, 0xc0}), GuestFault::general_protection(0));
}

TEST_F(InterpreterSystem, AdjustRplAsksToWriteOnlyWhatItChanges) {
  state.seg(SegmentRegister::Ds).attributes = 0xc091;  // read-only
  edi() = kData;
  set16(kData, 0x13);
  edx() = 2;
  run({0x63, 0x17});  // arpl [edi], dx
  EXPECT_EQ(state.eflags & kFlagZf, 0U);
  set16(kData, 0x11);
  EXPECT_EQ(fault({0x63, 0x17}), GuestFault::general_protection(0));
}

TEST_F(InterpreterSystem, StringPortAccessNeedsPermissionEvenForNothing) {
  enter_ring(3);
  set8(kTss + 104 + 0x80 / 8, 0xff);
  ecx() = 0;
  edx() = 0x80;
  esi() = edi() = kData;
  EXPECT_EQ(fault({0xf3, 0x6e}), GuestFault::general_protection(0));  // rep outsb
  EXPECT_EQ(fault({0xf3, 0x6c}), GuestFault::general_protection(0));  // rep insb
  ecx() = 0x10000;
  EXPECT_EQ(fault({0x67, 0xf3, 0x6d}), GuestFault::general_protection(0));  // with CX
  ecx() = 0;
  state.eflags |= kFlagIopl;
  run({0xf3, 0x6e});
}

TEST_F(InterpreterSystem, EnterOnASixteenBitStackKeepsTheUpperHalf) {
  state.seg(SegmentRegister::Ss) = {kData, 0xffff, kData0, 0x93};
  esp() = 0x50000;
  ebp() = 0x74444;
  run({0xc8, 8, 0, 1});  // enter 8, 1
  EXPECT_EQ(ebp(), 0x5fffcU);
  EXPECT_EQ(esp(), 0x5fff0U);
  EXPECT_EQ(get32(kData + 0xfff8), 0x5fffcU);
  esp() = 0x50000;
  ebp() = 0x74444;
  run({0x66, 0xc8, 8, 0, 1});  // words
  EXPECT_EQ(ebp(), 0x7fffeU);
  EXPECT_EQ(esp(), 0x5fff4U);
}

// Instructions go on at 0, as data does.
TEST_F(InterpreterSystem, AnInstructionAcrossFourGigabytesGoesOnAtZero) {
  enable_paging();
  constexpr uint32_t kTable = 0xf2000, kTop = 0x60000;
  set32(0xf0000 + 1023 * 4, kTable | 7);
  set32(kTable + 1023 * 4, kTop | 7);
  set32(kTop + 0xffc, 0x11b89090);  // nop; nop; mov eax, 0x44332211
  set32(0, 0x90443322);
  state.eip = 0xfffffffe;
  EXPECT_EQ(step().kind, StepKind::Done);
  EXPECT_EQ(eax(), 0x44332211U);
  EXPECT_EQ(state.eip, 3U);
  unmap(0);
  state.eip = 0xfffffffe;
  const StepResult result = step();
  EXPECT_EQ(result.fault.vector, Vector::PageFault);
  EXPECT_EQ(result.fault.cr2, 0U);
}

}  // namespace
}  // namespace ringshift
