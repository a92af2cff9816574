// Branches, calls and returns, polls and links, executed.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;
using Control = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Control, ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         style_name);

TEST_P(Control, ConditionalJumpsGoBothWays) {
  machine_.run_snippet(
      "31 db "              // xor ebx, ebx
      "83 fb 01 "           // cmp ebx, 1
      "0f 82 05 00 00 00 "  // jb near .a
      "b8 01 00 00 00 "     // mov eax, 1
      "83 cb 02 "           // .a: or ebx, 2
      "83 fb 01 "           // cmp ebx, 1
      "0f 82 03 00 00 00 "  // jb near .b
      "83 cb 04 "           // or ebx, 4
      "90 "                 // .b: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 6U);
}

// Flags chosen so that the condition holds, then so that it does not.
TEST_P(Control, EveryConditionReadsItsFlags) {
  constexpr std::array<uint32_t, 8> kSetFor = {kFlagOf, kFlagCf, kFlagZf, kFlagCf,
                                               kFlagSf, kFlagPf, kFlagSf, kFlagZf};
  for (uint32_t condition = 0; condition < 16; ++condition) {
    for (const bool set : {false, true}) {
      machine_.forget_code();
      // jcc +2; inc ecx; inc ecx; hlt
      machine_.load(Machine::kCode, "70 02 41 41 f4");
      *machine_.ram(Machine::kCode) = static_cast<uint8_t>(0x70 + condition);
      machine_.reg(Gpr::Ecx) = 0;
      machine_.state().eip = Machine::kCode;
      machine_.state().eflags = kFlagReservedOne | (set ? kSetFor[condition / 2] : 0U);
      EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
      const bool taken = set != ((condition & 1) != 0);
      EXPECT_EQ(machine_.reg(Gpr::Ecx), taken ? 0U : 2U) << "condition " << condition;
    }
  }
}

TEST_P(Control, LoopCountsDown) {
  machine_.run_snippet(
      "b9 e8 03 00 00 "  // mov ecx, 1000
      "40 "              // .a: inc eax
      "e2 fd "           // loop .a
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1000U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_LT(machine_.exits[ExitReason::Unlinked], 5U);
}

TEST_P(Control, LoopWithConditionsAndJecxz) {
  machine_.run_snippet(
      "b9 0a 00 00 00 "  // mov ecx, 10
      "40 "              // .a: inc eax
      "83 f8 04 "        // cmp eax, 4
      "e0 fa "           // loopne .a
      "89 ca "           // mov edx, ecx
      "4b "              // .b: dec ebx
      "83 f8 04 "        // cmp eax, 4
      "e1 fa "           // loope .b
      "e3 05 "           // jecxz .c
      "be 01 00 00 00 "  // mov esi, 1
      "e3 05 "           // .c: jecxz .d
      "bf 01 00 00 00 "  // mov edi, 1
      "90 "              // .d: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 4U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 6U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 0U - 6U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0U);
}

TEST_P(Control, LoopTestsThirtyTwoBitsOfTheCounter) {
  machine_.reg(Gpr::Ecx) = 0;
  machine_.run_snippet(
      "e2 01 "  // loop .a
      "90 "     // nop
      "e3 01 "  // .a: jecxz .b
      "40 "     // inc eax
      "90 "     // .b: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xffffffffU);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
}

TEST_P(Control, CallsReturnToTheirCallers) {
  machine_.run_snippet(
      "e8 0c 00 00 00 "  // call near .f
      "43 "              // inc ebx
      "e8 06 00 00 00 "  // call near .f
      "43 "              // inc ebx
      "e9 02 00 00 00 "  // jmp near .end
      "40 "              // .f: inc eax
      "c3 "              // ret
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 0U);
}

TEST_P(Control, ReturnReleasesArguments) {
  machine_.run_snippet(
      "50 "              // push eax
      "50 "              // push eax
      "e8 05 00 00 00 "  // call near .f
      "e9 03 00 00 00 "  // jmp near .end
      "c2 08 00 "        // .f: ret 8
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Control, ReturnWhereTheCallDidNotExpectGoesWhereTheStackSays) {
  machine_.run_snippet(
      "e8 08 00 00 00 "        // call near .f
      "0f 0b "                 // ud2
      "43 "                    // .there: inc ebx
      "e9 08 00 00 00 "        // jmp near .end
      "c7 04 24 07 10 00 00 "  // .f: mov dword [esp], .there
      "c3 "                    // ret
      "90 "                    // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 1U);
}

TEST_P(Control, ReturnWithoutACallUnderflowsGently) {
  machine_.run_snippet(
      "68 06 10 00 00 "  // push dword .a
      "c3 "              // ret
      "68 0c 10 00 00 "  // .a: push dword .b
      "c3 "              // ret
      "68 12 10 00 00 "  // .b: push dword .c
      "c3 "              // ret
      "40 "              // .c: inc eax
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Control, CallWithoutReturnIsHarmless) {
  machine_.run_snippet(
      "b9 a0 86 01 00 "     // mov ecx, 100000
      "e8 00 00 00 00 "     // .a: call near .next
      "58 "                 // .next: pop eax
      "49 "                 // dec ecx
      "0f 85 f3 ff ff ff "  // jnz near .a
  );
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_GE(machine_.return_stack_resets, 3U);  // 100,000 returns of 8 bytes in 252 KiB
}

TEST_P(Control, DeepRecursionOutgrowsTheReturnStackAndComesBack) {
  machine_.reg(Gpr::Esp) = 0xf0000;
  machine_.reg(Gpr::Ecx) = 50000;
  machine_.run_snippet(
      "e8 05 00 00 00 "     // call near .f
      "e9 0f 00 00 00 "     // jmp near .end
      "40 "                 // .f: inc eax
      "49 "                 // dec ecx
      "0f 84 05 00 00 00 "  // jz near .up
      "e8 f3 ff ff ff "     // call near .f
      "43 "                 // .up: inc ebx
      "c3 "                 // ret
      "90 "                 // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 50000U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 50000U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), 0xf0000U);
  EXPECT_GE(machine_.return_stack_resets, 1U);
}

TEST_P(Control, IndirectRecursionOutgrowsTheReturnStackToo) {
  machine_.reg(Gpr::Esp) = 0xf0000;
  machine_.reg(Gpr::Ecx) = 50000;
  machine_.run_snippet(
      "ba 0c 10 00 00 "     // mov edx, .f
      "ff d2 "              // call edx
      "e9 0c 00 00 00 "     // jmp near .end
      "40 "                 // .f: inc eax
      "49 "                 // dec ecx
      "0f 84 02 00 00 00 "  // jz near .up
      "ff d2 "              // call edx
      "43 "                 // .up: inc ebx
      "c3 "                 // ret
      "90 "                 // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 50000U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 50000U);
  EXPECT_GE(machine_.return_stack_resets, 1U);
}

TEST_P(Control, IndirectJumpsAndCallsOfEveryForm) {
  machine_.run_snippet(
      "b8 09 10 00 00 "                 // mov eax, .a
      "ff e0 "                          // jmp eax
      "0f 0b "                          // ud2
      "c7 05 00 80 00 00 1b 10 00 00 "  // .a: mov dword [0x8000], .b
      "ff 25 00 80 00 00 "              // jmp [0x8000]
      "0f 0b "                          // ud2
      "bb 00 80 00 00 "                 // .b: mov ebx, 0x8000
      "c7 43 08 57 10 00 00 "           // mov dword [ebx+8], .f
      "ff 53 08 "                       // call [ebx+8]
      "b9 02 00 00 00 "                 // mov ecx, 2
      "ff 14 8b "                       // call [ebx+ecx*4]
      "be 57 10 00 00 "                 // mov esi, .f
      "ff d6 "                          // call esi
      "68 57 10 00 00 "                 // push dword .f
      "ff 14 24 "                       // call [esp]
      "58 "                             // pop eax
      "c7 05 04 80 00 c0 57 10 00 00 "  // mov dword [0xc0008004], .f
      "ff 15 04 80 00 c0 "              // call [0xc0008004]
      "e9 02 00 00 00 "                 // jmp near .end
      "47 "                             // .f: inc edi
      "c3 "                             // ret
      "90 "                             // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Edi), 5U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Control, CallThroughTheStackPointerUsesItsOldValue) {
  machine_.reg(Gpr::Esp) = Machine::kData + 0x100;
  machine_.load(Machine::kData + 0x100,
                "40 "  // inc eax
                "c3 "  // ret
  );
  machine_.run_snippet("ff d4 "  // call esp
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kData + 0x100);
}

TEST_P(Control, DispatchTellsApartAddressesWithTheSameLowBits) {
  machine_.load(0x13000,
                "bb 01 00 00 00 "  // mov ebx, 1
                "ff e1 "           // jmp ecx
  );
  machine_.load(0x23000,
                "ba 02 00 00 00 "  // mov edx, 2
                "ff e1 "           // jmp ecx
  );
  machine_.run_snippet(
      "b9 0c 10 00 00 "  // mov ecx, .a
      "b8 00 30 01 00 "  // mov eax, 0x13000
      "ff e0 "           // jmp eax
      "b9 18 10 00 00 "  // .a: mov ecx, .b
      "b8 00 30 02 00 "  // mov eax, 0x23000
      "ff e0 "           // jmp eax
      "b9 24 10 00 00 "  // .b: mov ecx, .c
      "b8 00 30 01 00 "  // mov eax, 0x13000
      "ff e0 "           // jmp eax
      "90 "              // .c: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 2U);
}

TEST_P(Control, DispatchFindsWhatTheJumpTableHas) {
  machine_.run_snippet(
      "ba 18 10 00 00 "     // mov edx, .f
      "b9 e8 03 00 00 "     // mov ecx, 1000
      "ff d2 "              // .a: call edx
      "49 "                 // dec ecx
      "0f 85 f7 ff ff ff "  // jnz near .a
      "e9 02 00 00 00 "     // jmp near .end
      "40 "                 // .f: inc eax
      "c3 "                 // ret
      "90 "                 // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1000U);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 1U);
}

TEST_P(Control, DispatchAndReturnsPreserveFlagsAndRegisters) {
  machine_.reg(Gpr::Ecx) = 0x12345678;
  machine_.run_snippet(
      "ba 1e 10 00 00 "  // mov edx, .f
      "f9 "              // stc
      "ff d2 "           // call edx
      "0f 92 c0 "        // setc al
      "ff d2 "           // call edx
      "0f 92 c4 "        // setc ah
      "f9 "              // stc
      "e8 08 00 00 00 "  // call near .f
      "83 d3 00 "        // adc ebx, 0
      "e9 01 00 00 00 "  // jmp near .end
      "c3 "              // .f: ret
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax) & 0xffffU, 0x0101U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x12345678U);
}

TEST_P(Control, EverythingWorksWithoutLinks) {
  machine_.link_branches = false;
  machine_.run_snippet(
      "b9 0a 00 00 00 "  // mov ecx, 10
      "e8 07 00 00 00 "  // .a: call near .f
      "e2 f9 "           // loop .a
      "e9 02 00 00 00 "  // jmp near .end
      "40 "              // .f: inc eax
      "c3 "              // ret
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 10U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Control, AFaultingCallPushesNothing) {
  machine_.reg(Gpr::Esp) = Machine::kUnmapped;
  machine_.reg(Gpr::Edx) = Machine::kData;
  for (const char* call : {"e8 00 00 00 00", "ff d2", "ff 15 00 80 00 00"}) {
    machine_.forget_code();
    const Exit exit = machine_.run_code(call);
    EXPECT_NE(exit.reason, ExitReason::Interpret);
    EXPECT_EQ(exit.eip, Eip(Machine::kCode));
    EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kUnmapped);
    EXPECT_EQ(machine_.reg(Gpr::Edx), Machine::kData);
  }
}

TEST_P(Control, AFaultingReturnStaysAtTheReturn) {
  machine_.reg(Gpr::Esp) = Machine::kUnmapped;
  const Exit exit = machine_.run_code("c2 04 00");  // ret 4
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kUnmapped);
}

TEST_P(Control, ASelfLoopNoticesAttentionWithExactState) {
  machine_.reg(Gpr::Eax) = 0x1234;
  machine_.state().eflags |= kFlagCf | kFlagZf;
  machine_.load(Machine::kCode,
                "eb fe "  // jmp short $
  );
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::Unlinked);
  machine_.translator->cache().link(0, machine_.fragment_at_eip(Machine::kCode),
                                    SafePointForTest::get());
  machine_.gate->raise_poll();
  const Exit exit = machine_.run_once();
  machine_.gate->lower_poll();
  ASSERT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address));
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x1234U);
  EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | kFlagCf | kFlagZf);
}

TEST_P(Control, EveryBackwardBranchNoticesAttention) {
  for (const char* loop : {"90 eb fd", "90 75 fd", "90 e2 fd", "90 e3 fd", "90 e8 fa ff ff ff",
                           "ff e0", "ff d0", "50 c3"}) {
    machine_.forget_code();
    machine_.load(Machine::kCode, loop);
    machine_.state().eip = Machine::kCode;
    machine_.reg(Gpr::Eax) = Machine::kCode;
    machine_.reg(Gpr::Ecx) = 0;
    machine_.reg(Gpr::Esp) = Machine::kStack;
    machine_.gate->raise_poll();
    const Exit exit = machine_.run();
    machine_.gate->lower_poll();
    EXPECT_EQ(exit.reason, ExitReason::HostFault) << loop;
    EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address)) << loop;
  }
}

TEST_P(Control, AttentionAtAnIndirectCallFindsTheCallDone) {
  machine_.reg(Gpr::Edx) = 0x3000;
  machine_.load(Machine::kCode,
                "ff d2 "  // call edx
  );
  machine_.state().eip = Machine::kCode;
  machine_.gate->raise_poll();
  const Exit exit = machine_.run();
  machine_.gate->lower_poll();
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.eip, Eip(0x3000U));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 4);
  EXPECT_EQ(machine_.read32(Machine::kStack - 4), Machine::kCode + 2);
}

TEST_P(Control, AnInstructionAcrossPagesRunsAndBelongsToBoth) {
  // jmp to the last two bytes of a page
  machine_.load(0x1ffe,
                "b8 78 56 34 12 "  // mov eax, 0x12345678
                "f4 "              // hlt
  );
  machine_.state().eip = 0x1ffe;
  const Exit exit = machine_.run();
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(0x2003U));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x12345678U);
  EXPECT_TRUE(machine_.fragment_at_eip(0x1ffe).crosses_page);
  EXPECT_TRUE(machine_.translator->cache().has_code(GuestPhysicalPage(1)));
  EXPECT_TRUE(machine_.translator->cache().has_code(GuestPhysicalPage(2)));
}

TEST_P(Control, AJumpAcrossPagesJumps) {
  machine_.load(0x1ffe, "e9 00 10 00 00 f4");  // jmp 0x3003; hlt
  machine_.load(0x3003, "f4");
  machine_.state().eip = 0x1ffe;
  EXPECT_EQ(machine_.run().eip, Eip(0x3003U));
}

TEST_P(Control, AnInlinedCalleeLeavesWhatACallLeaves) {
  machine_.load(0x3000, "8b 1c 24 c3");  // mov ebx, [esp]; ret
  machine_.run_snippet(
      "f9 "              // stc
      "e8 fa 1f 00 00 "  // call 0x3000
      "19 c0");          // sbb eax, eax
  EXPECT_EQ(machine_.reg(Gpr::Ebx), Machine::kCode + 6);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.read32(Machine::kStack - 4), Machine::kCode + 6);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0xffffffffU);
  EXPECT_TRUE(machine_.fragment_at_eip(Machine::kCode).pieces.size() == 2);
}

TEST_P(Control, AnInlinedCallThatFaultsHasDoneNothing) {
  machine_.load(Machine::kCode, "e8 fb 1f 00 00 f4");
  machine_.load(0x3000, "8b 1c 24 c3");
  machine_.reg(Gpr::Esp) = Machine::kUnmapped;
  machine_.state().eip = Machine::kCode;
  const Exit exit = machine_.run();
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kUnmapped);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 0U);
}

TEST_P(Control, AUnitEndsBeforeAnInstructionAcrossPages) {
  machine_.load(0x1ff0,
                "41 41 41 41 41 41 41 41 41 41 41 41 41 41 "  // times 14 inc ecx
                "b8 78 56 34 12 "                             // mov eax, 0x12345678
                "f4 "                                         // hlt
  );
  machine_.state().eip = 0x1ff0;
  EXPECT_EQ(machine_.run().eip, Eip(0x2003U));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 14U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x12345678U);
}

TEST_P(Control, CodeThatCannotBeFetchedIsInterpreted) {
  machine_.state().eip = Machine::kUnmapped;
  const Exit exit = machine_.run();
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kUnmapped));
}

TEST_P(Control, UndefinedBytesAreInterpretedWhereTheyAre) {
  const Exit exit = machine_.run_code("41 0f ff ff ff");
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 1));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 1U);
}

TEST_P(Control, BranchesWrapAtTheTopOfTheAddressSpace) {
  machine_.load(Machine::kCode,
                "e9 fb 1f 00 c0 "  // jmp near 0xc0003000
  );
  machine_.load(0x3000,
                "e8 01 00 00 00 "  // call near .f
                "f4 "              // hlt
                "40 "              // .f: inc eax
                "c3 "              // ret
  );
  machine_.state().eip = Machine::kCode;
  const Exit exit = machine_.run();
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(0xc0003005U));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
}

}  // namespace
}  // namespace ringshift
