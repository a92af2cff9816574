// PUSH, POP and LEAVE, executed in both styles.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;
using Stack = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Stack, ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         style_name);

TEST_P(Stack, PushesOfEveryFormArrive) {
  machine_.write32(Machine::kData, 0x77777777);
  machine_.reg(Gpr::Eax) = 0x11111111;
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.run_snippet(
      "50 "                 // push eax
      "6a fe "              // push byte -2
      "68 78 56 34 12 "     // push dword 0x12345678
      "54 "                 // push esp
      "ff 33 "              // push dword [ebx]
      "ff 74 24 04 "        // push dword [esp+4]
      "ff 35 00 80 00 c0 "  // push dword [0xc0008000]
  );
  const uint32_t top = Machine::kStack;
  EXPECT_EQ(machine_.reg(Gpr::Esp), top - 28);
  EXPECT_EQ(machine_.read32(top - 4), 0x11111111U);
  EXPECT_EQ(machine_.read32(top - 8), 0xfffffffeU);
  EXPECT_EQ(machine_.read32(top - 12), 0x12345678U);
  EXPECT_EQ(machine_.read32(top - 16), top - 12);
  EXPECT_EQ(machine_.read32(top - 20), 0x77777777U);
  EXPECT_EQ(machine_.read32(top - 24), top - 12);
  EXPECT_EQ(machine_.read32(top - 28), 0x77777777U);
}

TEST_P(Stack, PopsIntoEveryRegister) {
  for (uint32_t i = 0; i < 8; ++i) machine_.write32(Machine::kStack + 4 * i, 0x100 + i);
  machine_.run_snippet(
      "58 "  // pop eax
      "59 "  // pop ecx
      "5a "  // pop edx
      "5b "  // pop ebx
      "5d "  // pop ebp
      "5e "  // pop esi
      "5f "  // pop edi
      "5c "  // pop esp
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x100U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x106U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), 0x107U);
}

TEST_P(Stack, PopToMemoryMovesTheWordAndThenTheStackPointer) {
  machine_.reg(Gpr::Ebp) = Machine::kData + 0x100;
  machine_.reg(Gpr::Ebx) = Machine::kData + 0x200;
  machine_.reg(Gpr::Esi) = 4;
  machine_.reg(Gpr::Eax) = 0x11223344;
  machine_.run_snippet(
      "50 "              // push eax
      "68 88 77 66 55 "  // push dword 0x55667788
      "8f 45 f8 "        // pop dword [ebp-8]
      "8f 04 b3 "        // pop dword [ebx+esi*4]
  );
  EXPECT_EQ(machine_.read32(Machine::kData + 0xf8), 0x55667788U);
  EXPECT_EQ(machine_.read32(Machine::kData + 0x210), 0x11223344U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Stack, AFaultingPopToMemoryLeavesTheStackPointer) {
  machine_.reg(Gpr::Ebx) = Machine::kUnmapped;
  const Exit exit = machine_.run_code("8f 03");  // pop dword [ebx]
  EXPECT_NE(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Stack, PopToAnAddressMadeOfTheStackPointerIsInterpreted) {
  for (const char* code : {"8f 04 24", "8f 44 24 08", "8f 04 8c", "66 8f 03", "2e 8f 03"}) {
    SCOPED_TRACE(code);
    machine_.forget_code();
    machine_.reg(Gpr::Ebx) = Machine::kData;
    EXPECT_EQ(machine_.run_code(code).reason, ExitReason::Interpret);
    EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  }
}

TEST_P(Stack, LeaveUndoesAFrame) {
  machine_.reg(Gpr::Ebp) = 0x1234;
  machine_.run_snippet(
      "55 "        // push ebp
      "89 e5 "     // mov ebp, esp
      "83 ec 40 "  // sub esp, 0x40
      "c9 "        // leave
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 0x1234U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_P(Stack, AFaultingPushLeavesTheStackPointer) {
  machine_.reg(Gpr::Esp) = Machine::kUnmapped + 0x1000;
  machine_.reg(Gpr::Eax) = 1;
  const Exit exit = machine_.run_code(
      "40 "  // inc eax
      "50 "  // push eax
  );
  EXPECT_NE(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 1));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kUnmapped + 0x1000);
}

TEST_P(Stack, AFaultingPushOfMemoryLeavesTheStackPointer) {
  machine_.reg(Gpr::Esp) = Machine::kUnmapped;
  machine_.reg(Gpr::Ebx) = Machine::kData;
  const Exit exit = machine_.run_code("ff 33");  // push dword [ebx]
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kUnmapped);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), Machine::kData);
}

TEST_P(Stack, AFaultingLeaveChangesNothing) {
  machine_.reg(Gpr::Ebp) = Machine::kUnmapped;
  const Exit exit = machine_.run_code("c9");  // leave
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Ebp), Machine::kUnmapped);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

}  // namespace
}  // namespace ringshift
