// Sensitive instructions as inline code, executed.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;
using Privileged = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Privileged,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

TEST_P(Privileged, PushfShowsTheVirtualFlags) {
  machine_.state().eflags = kFlagReservedOne | kFlagIf | kFlagIopl | kFlagNt | kFlagCf | kFlagOf |
                            kFlagDf | kFlagId | kFlagAc;
  machine_.run_snippet(
      "9c "  // pushfd
      "58 "  // pop eax
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), kFlagReservedOne | kFlagIf | kFlagIopl | kFlagNt | kFlagCf |
                                        kFlagOf | kFlagDf | kFlagId | kFlagAc);
  EXPECT_EQ(machine_.state().eflags, machine_.reg(Gpr::Eax));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Privileged, PushfWithInterruptsOffShowsThemOff) {
  machine_.run_snippet(
      "9c "  // pushfd
      "58 "  // pop eax
      "f9 "  // stc
      "9c "  // pushfd
      "59 "  // pop ecx
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), kFlagReservedOne);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), kFlagReservedOne | kFlagCf);
}

TEST_P(Privileged, PopfLoadsArithmeticFlagsDirectionAndIf) {
  machine_.run_snippet(
      "68 d7 0e 00 00 "  // push dword 0xed7
      "9d "              // popfd
      "9c "              // pushfd
      "58 "              // pop eax
      "6a 02 "           // push dword 2
      "9d "              // popfd
      "9c "              // pushfd
      "59 "              // pop ecx
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0xed7U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Privileged, PopfThatEnablesWaitingInterruptsLeavesAfterIt) {
  machine_.slots().interrupt_waiting = kFlagIf;
  const Exit exit = machine_.run_code(
      "68 03 02 00 00 "  // push dword 0x203
      "9d "              // popfd
      "f4 "              // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::EventWindow);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 6));
  EXPECT_EQ(exit.link, 0U);
  EXPECT_EQ(machine_.state().eflags, 0x203U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Privileged, PopfThatKeepsInterruptsOffStays) {
  machine_.slots().interrupt_waiting = kFlagIf;
  machine_.run_snippet(
      "6a 03 "  // push dword 3
      "9d "     // popfd
  );
  EXPECT_EQ(machine_.state().eflags, 3U);
}

TEST_P(Privileged, PopfThatChangesRareFlagsIsInterpreted) {
  for (const uint32_t rare : {kFlagTf, kFlagNt, kFlagAc, kFlagId, kFlagIopl}) {
    machine_.reg(Gpr::Esp) = Machine::kStack;
    machine_.write32(Machine::kStack, kFlagReservedOne | rare);
    const Exit exit = machine_.run_code(
        "9d "  // popfd
        "f4 "  // hlt
    );
    EXPECT_EQ(exit.reason, ExitReason::Interpret);
    EXPECT_EQ(exit.eip, Eip(Machine::kCode));
    EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  }
}

TEST_P(Privileged, UserPopfLeavesIfAndIoplSilently) {
  machine_.privilege = Privilege::User;
  machine_.state().eflags = kFlagReservedOne | kFlagIf;
  machine_.run_snippet(
      "68 41 30 00 00 "  // push dword 0x3041
      "9d "              // popfd
      "9c "              // pushfd
      "58 "              // pop eax
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x243U);
}

TEST_P(Privileged, UserPopfWithIoplThreeIsInterpreted) {
  machine_.privilege = Privilege::User;
  machine_.state().eflags = kFlagReservedOne | kFlagIf | kFlagIopl;
  const Exit exit = machine_.run_code("9d");  // popfd
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
}

TEST_P(Privileged, CliAndStiSwitchTheVirtualIf) {
  machine_.run_snippet(
      "fb "  // sti
      "9c "  // pushfd
      "58 "  // pop eax
      "fa "  // cli
      "9c "  // pushfd
      "59 "  // pop ecx
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x202U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x2U);
  EXPECT_EQ(machine_.state().eflags, 2U);
}

TEST_P(Privileged, StiWithAnInterruptWaitingLeavesUnderItsShadow) {
  machine_.slots().interrupt_waiting = kFlagIf;
  machine_.reg(Gpr::Ecx) = 0xabcdef01;
  const Exit exit = machine_.run_code(
      "f9 "  // stc
      "fb "  // sti
      "f4 "  // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::EventWindow);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 2));
  EXPECT_EQ(exit.link, 1U);
  EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | kFlagIf | kFlagCf);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xabcdef01U);
}

TEST_P(Privileged, UserCliAndStiAreInterpreted) {
  machine_.privilege = Privilege::User;
  for (const char* instruction : {"fa", "fb"}) {
    machine_.forget_code();
    EXPECT_EQ(machine_.run_code(instruction).reason, ExitReason::Interpret);
  }
}

TEST_P(Privileged, ControlRegistersAndSelectorsAreTheGuests) {
  machine_.state().cr0 = 0x80050033;
  machine_.state().cr2 = 0x1111;
  machine_.state().cr3 = 0x2000;
  machine_.state().cr4 = 0x10;
  for (size_t i = 0; i < kSegmentCount; ++i) {
    machine_.state().segment[i].selector = static_cast<uint16_t>(0x8008 + 8 * i);
  }
  machine_.run_snippet(
      "0f 20 c0 "  // mov eax, cr0
      "0f 20 d1 "  // mov ecx, cr2
      "0f 20 da "  // mov edx, cr3
      "0f 20 e3 "  // mov ebx, cr4
      "8c cd "     // mov ebp, cs
      "8c d6 "     // mov esi, ss
      "8c ef "     // mov edi, gs
      "8c dc "     // mov esp, ds
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x80050033U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x1111U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0x2000U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 0x10U);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 0x8010U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0x8018U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x8030U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), 0x8020U);
}

TEST_P(Privileged, Cr2IsWrittenInline) {
  machine_.state().cr2 = 0x1111;
  machine_.run_snippet(
      "b9 78 56 34 12 "  // mov ecx, 0x12345678
      "31 c0 "           // xor eax, eax (ZF)
      "0f 22 d1 "        // mov cr2, ecx
      "0f 94 c0 "        // setz al
      "bc 44 33 22 11 "  // mov esp, 0x11223344
      "0f 20 d2 "        // mov edx, cr2
      "0f 22 d4 "        // mov cr2, esp
  );
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0x12345678U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.state().cr2, 0x11223344U);
}

TEST_P(Privileged, TaskSwitchedIsWrittenInlineAndNoFlagChanges) {
  constexpr uint32_t kWithout = 0x80050033;
  constexpr uint32_t kAll = kFlagsArithmetic | kFlagReservedOne;
  for (const uint32_t flags : {kFlagReservedOne, kAll}) {
    SCOPED_TRACE(flags);
    machine_.forget_code();
    machine_.state().cr0 = kWithout;
    machine_.state().eflags = flags;
    machine_.reg(Gpr::Eax) = kWithout | kCr0Ts;
    machine_.reg(Gpr::Ecx) = kWithout;
    machine_.run_snippet(
        "0f 22 c0 "  // mov cr0, eax
        "0f 20 c2 "  // mov edx, cr0
        "0f 22 c1 "  // mov cr0, ecx
        "0f 20 c3 "  // mov ebx, cr0
        "0f 22 c1 "  // mov cr0, ecx
    );
    EXPECT_EQ(machine_.reg(Gpr::Edx), kWithout | kCr0Ts);
    EXPECT_EQ(machine_.reg(Gpr::Ebx), kWithout);
    EXPECT_EQ(machine_.state().cr0, kWithout);
    EXPECT_EQ(machine_.reg(Gpr::Eax), kWithout | kCr0Ts);
    EXPECT_EQ(machine_.state().eflags, flags);
  }
}

TEST_P(Privileged, TaskSwitchedComesAndGoesWhileTheFpuIsLoaded) {
  constexpr uint32_t kWithout = 0x80050033;
  for (const bool has_sse : {false, true}) {
    SCOPED_TRACE(has_sse);
    machine_.forget_code();
    machine_.state().cr4 = has_sse ? kCr4Osfxsr : 0;
    machine_.state().cr0 = kWithout;
    machine_.reg(Gpr::Eax) = kWithout | kCr0Ts;
    machine_.slots().fpu_loaded = machine_.slots().x87_live = 1;
    machine_.slots().sse_live = has_sse ? 1 : 0;
    machine_.run_snippet("0f 22 c0");  // mov cr0, eax
    EXPECT_EQ(machine_.state().cr0, kWithout | kCr0Ts);
    EXPECT_EQ(machine_.slots().x87_live, 0U);
    EXPECT_EQ(machine_.slots().sse_live, 0U);
    machine_.forget_code();
    machine_.run_snippet("0f 06");  // clts
    EXPECT_EQ(machine_.state().cr0, kWithout);
    EXPECT_EQ(machine_.slots().x87_live, 1U);
    EXPECT_EQ(machine_.slots().sse_live, has_sse ? 1U : 0U);
  }
}

TEST_P(Privileged, NothingIsAllowedWhileTheFpuIsNotLoadedOrEmulated) {
  machine_.state().cr4 = kCr4Osfxsr;
  machine_.state().cr0 = 0x80050033 | kCr0Ts;
  machine_.run_snippet("0f 06");  // clts
  EXPECT_EQ(machine_.slots().x87_live, 0U);
  machine_.forget_code();
  machine_.state().cr0 = 0x80050033 | kCr0Ts | kCr0Em;
  machine_.slots().fpu_loaded = 1;
  machine_.run_snippet("0f 06");  // clts
  EXPECT_EQ(machine_.state().cr0, 0x80050033 | kCr0Em);
  EXPECT_EQ(machine_.slots().x87_live, 0U);
  machine_.slots().unload_fpu();
}

TEST_P(Privileged, CachesAndTablesAreNoReasonToLeave) {
  const uint32_t flags = machine_.state().eflags;
  machine_.state().gdtr = {.base = 0x12345678, .limit = 0x9abc};
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.write32(Machine::kData, 0x56789abc);
  machine_.write32(Machine::kData + 4, 0x1234);
  machine_.run_snippet("0f 09 0f 08");  // wbinvd; invd
  EXPECT_EQ(machine_.state().eflags, flags);
  if (GetParam() == AccessStyle::Soft) return;
  machine_.forget_code();
  machine_.run_snippet("0f 01 1b 0f 01 13");  // lidt [ebx]; lgdt [ebx] (the same again)
  EXPECT_EQ(machine_.state().idtr.base, 0x12345678U);
  EXPECT_EQ(machine_.state().idtr.limit, 0x9abcU);
  machine_.forget_code();
  ++machine_.state().gdtr.base;
  EXPECT_EQ(machine_.run_code("0f 01 13").reason, ExitReason::Interpret);
}

TEST_P(Privileged, AnyOtherBitOfCr0IsInterpreted) {
  constexpr uint32_t kBefore = 0x80050033;
  for (uint32_t bit = 0; bit < 32; ++bit) {
    if ((1U << bit) == kCr0Ts) continue;
    SCOPED_TRACE(bit);
    machine_.forget_code();
    machine_.state().cr0 = kBefore;
    machine_.reg(Gpr::Eax) = (kBefore ^ (1U << bit)) | kCr0Ts;
    EXPECT_EQ(machine_.run_code("0f 22 c0").reason, ExitReason::Interpret);
    EXPECT_EQ(machine_.state().cr0, kBefore);
  }
}

TEST_P(Privileged, OtherWritesOfControlRegistersAndTheUsersAreInterpreted) {
  for (const char* instruction : {"0f 22 d8", "0f 22 e0"}) {
    machine_.forget_code();
    EXPECT_EQ(machine_.run_code(instruction).reason, ExitReason::Interpret);
  }
  machine_.privilege = Privilege::User;
  for (const char* instruction : {"0f 22 c0", "0f 22 d0"}) {
    machine_.forget_code();
    EXPECT_EQ(machine_.run_code(instruction).reason, ExitReason::Interpret);
  }
}

TEST_P(Privileged, UserReadsOfControlRegistersAreInterpreted) {
  machine_.privilege = Privilege::User;
  const Exit exit = machine_.run_code("0f 20 c0");  // mov eax, cr0
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
}

// Each must leave at once: run natively it would show or touch the host.
TEST_P(Privileged, PushOfASelectorWritesHalfItsSlot) {
  machine_.state().seg(SegmentRegister::Gs).selector = 0x33;
  machine_.write32(Machine::kStack - 4, 0xaaaaaaaa);
  machine_.run_snippet("0f a8");  // push gs
  EXPECT_EQ(machine_.read32(Machine::kStack - 4), 0xaaaa0033U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 4);
}

TEST_P(Privileged, SelectorsAreReadIntoSixteenBits) {
  machine_.state().seg(SegmentRegister::Ds).selector = 0x7b;
  machine_.reg(Gpr::Ecx) = 0x12345678;
  machine_.run_snippet("66 8c d9");  // mov cx, ds
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x1234007bU);
}

TEST_P(Privileged, SelectorsAreStoredInSixteenBits) {
  machine_.state().seg(SegmentRegister::Ds).selector = 0x7b;
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.write32(Machine::kData, 0xaaaaaaaa);
  machine_.run_snippet("8c 1b");  // mov [ebx], ds
  EXPECT_EQ(machine_.read32(Machine::kData), 0xaaaa007bU);
}

// A GDT entry at kData that has been loaded once; what comes of loading its selector again.
class SegmentLoads : public Privileged {
 protected:
  static constexpr uint16_t kSelector = 0x33;
  static constexpr uint64_t kBytes = 0x00cff3000000ffffULL;
  void SetUp() override {
    LoadedDescriptor& entry = machine_.gate->frame().descriptors[kSelector];
    entry.address = machine_.window() + Machine::kData;
    entry.negated_bytes = 0 - kBytes;
    entry.negated_selector[0] = 0U - kSelector;
    entry.cache = {0x1000, 0xffffffffU, kSelector, 0xc0f3};
    entry.probe = 77;
    machine_.write32(Machine::kData, static_cast<uint32_t>(kBytes));
    machine_.write32(Machine::kData + 4, static_cast<uint32_t>(kBytes >> 32));
    machine_.reg(Gpr::Eax) = 0xffff0000U | kSelector;
  }
};
INSTANTIATE_TEST_SUITE_P(Styles, SegmentLoads,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

TEST_P(SegmentLoads, TheSameSelectorAndBytesLoadTheSame) {
  machine_.run_snippet("8e e8");  // mov gs, eax
  const SegmentCache& gs = machine_.state().seg(SegmentRegister::Gs);
  EXPECT_EQ(gs.base, 0x1000U);
  EXPECT_EQ(gs.limit, 0xffffffffU);
  EXPECT_EQ(gs.selector, kSelector);
  EXPECT_EQ(gs.attributes, 0xc0f3);
  EXPECT_EQ(machine_.slots().gs_probe, 77U);
}

TEST_P(SegmentLoads, PopMovesTheStackPointer) {
  machine_.run_snippet("50 0f a9");  // push eax; pop gs
  EXPECT_EQ(machine_.state().seg(SegmentRegister::Gs).base, 0x1000U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(SegmentLoads, OtherBytesAreForTheMonitor) {
  machine_.write32(Machine::kData + 4, static_cast<uint32_t>(kBytes >> 32) & ~0x8000U);
  const Exit exit = machine_.run_code("50 0f a9");
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 1));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 4);
  EXPECT_EQ(machine_.slots().callout_kind, callout_kind_of_load(SegmentRegister::Gs));
}

TEST_P(SegmentLoads, AnotherSelectorWithTheSameLowByteIsForTheMonitor) {
  machine_.reg(Gpr::Eax) = 0x100U | kSelector;
  EXPECT_EQ(machine_.run_code("8e e8").reason, ExitReason::Interpret);
}

TEST_P(SegmentLoads, DsAndEsTakeFlatSegmentsOnly) {
  machine_.load(Machine::kCode, "8e d8 f4");  // mov ds, eax; hlt
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  machine_.gate->frame().descriptors[kSelector].negated_tag[0] = 0U - kSelector;
  machine_.run_snippet("8e d8");
  EXPECT_EQ(machine_.state().seg(SegmentRegister::Ds).selector, kSelector);
}

TEST_P(SegmentLoads, RingsHaveTagsOfTheirOwn) {
  machine_.privilege = Privilege::User;
  machine_.load(Machine::kCode, "8e e8 f4");  // mov gs, eax; hlt
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run().eip, Eip(Machine::kCode));
  LoadedDescriptor& entry = machine_.gate->frame().descriptors[kSelector];
  entry.negated_selector = {1, 0U - kSelector};
  machine_.run_snippet("8e e8");
  EXPECT_EQ(machine_.state().seg(SegmentRegister::Gs).selector, kSelector);
  machine_.slots().untold_descriptors = kNoTag;
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run().eip, Eip(Machine::kCode));
}

TEST_P(Privileged, DebugRegistersAreReadAndWrittenUnlessTheyAreGuarded) {
  machine_.state().dr = {0x11, 0x22, 0x33, 0x44, 0, 0, 0xffff0ff0U, 0x400U};
  machine_.reg(Gpr::Edx) = 0x55;
  machine_.run_snippet(
      "0f 21 d8 "    // mov eax, dr3
      "0f 23 ca "    // mov dr1, edx
      "0f 21 f9 "    // mov ecx, dr7
      "0f 23 f9 ");  // mov dr7, ecx
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x44U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x400U);
  EXPECT_EQ(machine_.state().dr[1], 0x55U);
  machine_.forget_code();
  machine_.reg(Gpr::Ecx) = 0x401;
  EXPECT_EQ(machine_.run_code("0f 23 f9").reason, ExitReason::Interpret);
  constexpr uint32_t kGuarded = 0x2400;
  machine_.state().dr[7] = machine_.reg(Gpr::Ecx) = kGuarded;
  for (const char* code : {"0f 21 d8", "0f 23 ca", "0f 23 f9", "0f 21 f8"}) {
    machine_.forget_code();
    EXPECT_EQ(machine_.run_code(code).eip, Eip(Machine::kCode)) << code;
    EXPECT_EQ(machine_.reg(Gpr::Eax), 0x44U);
    EXPECT_EQ(machine_.state().dr[1], 0x55U);
  }
}

TEST_P(Privileged, EverySensitiveInstructionLeavesForTheInterpreter) {
  for (const char* instruction : {"0f 01 03",
                                  "0f 01 0b",
                                  "0f 00 c0",
                                  "0f 00 c8",
                                  "0f 01 e0",
                                  "0f 02 c0",
                                  "0f 03 c0",
                                  "0f 00 e0",
                                  "0f 00 e8",
                                  "cd 80",
                                  "cc",
                                  "f1",
                                  "ce",
                                  "cf",
                                  "0f 34",
                                  "0f 35",
                                  "0f a2",
                                  "0f 31",
                                  "0f 33",
                                  "c5 03",
                                  "c4 03",
                                  "0f b4 03",
                                  "0f b5 03",
                                  "0f b2 03",
                                  "f4",
                                  "e4 60",
                                  "ec",
                                  "e6 60",
                                  "ee",
                                  "6c",
                                  "6e",
                                  "f3 6d",
                                  "0f 00 d0",
                                  "0f 00 d8",
                                  "0f 01 f0",
                                  "0f 01 3b",
                                  "0f 32",
                                  "0f 30",
                                  "0f 22 c0",
                                  "0f 20 c9",
                                  "0f 21 e0",
                                  "0f 23 f0",
                                  "8e d8",
                                  "8e 1b",
                                  "1f",
                                  "0f a1",
                                  "17",
                                  "66 9c",
                                  "66 9d",
                                  "60",
                                  "61",
                                  "c8 00 00 00",
                                  "9a 00 00 00 00 08 00",
                                  "ea 00 00 00 00 08 00",
                                  "cb",
                                  "ca 04 00",
                                  "ff 2b",
                                  "ff 1b",
                                  "d7",
                                  "27",
                                  "37",
                                  "d4 0a",
                                  "d6",
                                  "62 03",
                                  "63 c0",
                                  "0f 05",
                                  "0f 07",
                                  "0f 0b",
                                  "0f aa",
                                  "0f 01 d0",
                                  "0f 01 f8",
                                  "0f 01 f9",
                                  "0f 01 c8",
                                  "0f 01 c1",
                                  "0f c7 f0",
                                  "0f ae 03",
                                  "0f ae 0b",
                                  "d9 33",
                                  "dd 33",
                                  "82 c0 01",
                                  "c5 f8 77",
                                  "0f 0b",
                                  "66 c3",
                                  "66 50",
                                  "67 e2 fe",
                                  "67 8b 00",
                                  "66 e8 00 00"}) {
    machine_.forget_code();
    const Exit exit = machine_.run_code(instruction);
    EXPECT_EQ(exit.reason, ExitReason::Interpret) << instruction;
    EXPECT_EQ(exit.eip, Eip(Machine::kCode)) << instruction;
  }
}

}  // namespace
}  // namespace ringshift
