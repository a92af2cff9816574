// x87, MMX and SSE run as themselves on the guest's state, loaded when first needed.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;
using Fpu = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Fpu, ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         style_name);

TEST_P(Fpu, TheFirstX87InstructionAsksForTheState) {
  machine_.load(Machine::kCode,
                "b9 34 12 00 00 "     // mov ecx, 0x1234
                "f9 "                 // stc
                "d9 e8 "              // fld1
                "dc c0 "              // fadd st0, st0
                "db 1d 00 80 00 00 "  // fistp dword [0x8000]
                "0f 92 c0 "           // setc al
                "f4 "                 // hlt
  );
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::EnsureFpu);
  EXPECT_EQ(machine_.state().eip, Machine::kCode + 6);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x1234U);
  machine_.slots().fpu_loaded = machine_.slots().x87_live = machine_.slots().sse_live = 1;
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.read32(Machine::kData), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
}

TEST_P(Fpu, StateSurvivesBetweenRuns) {
  machine_.run_snippet(
      "d9 eb "           // fldpi
      "d9 e8 "           // fld1
      "b8 07 00 00 00 "  // mov eax, 7
      "66 0f 6e d8 "     // movd xmm3, eax
  );
  machine_.forget_code();
  machine_.run_snippet(
      "d9 1d 00 80 00 00 "        // fstp dword [0x8000]
      "dd 1d 08 80 00 00 "        // fstp qword [0x8008]
      "66 0f 7e 1d 10 80 00 00 "  // movd [0x8010], xmm3
      "d9 3d 14 80 00 00 "        // fnstcw [0x8014]
      "0f ae 1d 18 80 00 00 "     // stmxcsr [0x8018]
  );
  EXPECT_EQ(machine_.read32(Machine::kData), 0x3f800000U);
  EXPECT_EQ(machine_.read32(Machine::kData + 12), 0x400921fbU);
  EXPECT_EQ(machine_.read32(Machine::kData + 16), 7U);
  EXPECT_EQ(machine_.read32(Machine::kData + 20), 0x37fU);
  EXPECT_EQ(machine_.read32(Machine::kData + 24), 0x1f80U);
}

TEST_P(Fpu, TheMonitorsOwnControlWordsAreUntouched) {
  uint32_t before = 0;
  uint32_t after = 0;
  asm volatile("stmxcsr %0" : "=m"(before));
  machine_.state().fxsave[25] = 0x7f;  // MXCSR 0x7f80: round toward zero
  machine_.write32(Machine::kData + 4, 0xe7f);
  machine_.run_snippet(
      "0f 28 c0 "           // movaps xmm0, xmm0
      "d9 2d 04 80 00 00 "  // fldcw [0x8004]
      "d9 eb "              // fldpi
  );
  asm volatile("stmxcsr %0" : "=m"(after));
  uint16_t control = 0;
  asm volatile("fnstcw %0" : "=m"(control));
  EXPECT_EQ(after, before);
  EXPECT_EQ(control, 0x37f);
  EXPECT_EQ(machine_.state().fxsave[25], 0x7f);
  EXPECT_EQ(machine_.state().fxsave[1], 0x0e);
}

TEST_P(Fpu, SseLoadsStoresAndGeneralRegisters) {
  machine_.reg(Gpr::Ebx) = Machine::kData;
  for (uint32_t i = 0; i < 4; ++i) machine_.write32(Machine::kData + 4 * i, i + 1);
  machine_.run_snippet(
      "0f 28 03 "        // movaps xmm0, [ebx]
      "66 0f fe c0 "     // paddd xmm0, xmm0
      "0f 11 43 10 "     // movups [ebx+0x10], xmm0
      "66 0f 7e c4 "     // movd esp, xmm0
      "66 0f d6 43 20 "  // movq [ebx+0x20], xmm0
      "f2 0f 2a cc "     // cvtsi2sd xmm1, esp
      "f2 0f 2c f9 "     // cvttsd2si edi, xmm1
      "66 0f c5 f0 02 "  // pextrw esi, xmm0, 2
      "0f 50 e8 "        // movmskps ebp, xmm0
      "0f 77 "           // emms
      "0f 6e c4 "        // movd mm0, esp
      "0f 7e c0 "        // movd eax, mm0
      "0f 77 "           // emms
  );
  EXPECT_EQ(machine_.read32(Machine::kData + 0x1c), 8U);
  EXPECT_EQ(machine_.read32(Machine::kData + 0x24), 4U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 4U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 2U);
}

TEST_P(Fpu, ConversionsFromMemoryRoundByTheGuestsMxcsr) {
  machine_.state().fxsave[25] = 0x7f;                // MXCSR 0x7f80: round toward zero
  machine_.write32(Machine::kData + 4, 0x3fe00000);  // 1.75
  machine_.run_snippet("f3 0f 2d 05 04 80 00 00 "    // cvtss2si eax, [0x8004]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.exits[ExitReason::EnsureFpu], 1U);
}

TEST_P(Fpu, IntegerMembersOfSseSetsNeedNoState) {
  machine_.reg(Gpr::Ecx) = 0xf0;
  machine_.run_snippet(
      "0f ae f0 "              // mfence
      "0f 18 05 00 00 00 40 "  // prefetchnta [0x40000000]
      "0f c3 0d 00 80 00 00 "  // movnti [0x8000], ecx
      "f3 0f b8 c1 "           // popcnt eax, ecx
  );
  EXPECT_EQ(machine_.read32(Machine::kData), 0xf0U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 4U);
  EXPECT_EQ(machine_.exits[ExitReason::EnsureFpu], 0U);
}

TEST_P(Fpu, AMisalignedVectorFaultsAtItsInstruction) {
  const Exit exit = machine_.run_code(
      "90 "                    // nop
      "0f 28 05 04 80 00 00 "  // movaps xmm0, [0x8004]
      "f4 "                    // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.fault.trap_number, 13U);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 1));
}

TEST_P(Fpu, AnUnmaskedExceptionFaultsAtTheWaitingInstruction) {
  machine_.write32(Machine::kData, 0x37b);  // divide by zero unmasked
  const Exit exit = machine_.run_code(
      "d9 2d 00 80 00 00 "  // fldcw [0x8000]
      "d9 e8 "              // fld1
      "d9 ee "              // fldz
      "de f9 "              // fdivp
      "9b "                 // fwait
      "f4 "                 // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.fault.trap_number, 16U);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 12));
}

TEST_P(Fpu, LongDoublesAreInterpretedInSoftStyle) {
  const Exit exit = machine_.run_code(
      "db 2d 00 80 00 00 "  // fld tword [0x8000]
      "f4 "                 // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(GetParam() == AccessStyle::Soft ? Machine::kCode : Machine::kCode + 6));
}

TEST(Fpu, WithoutSseTheInterpreterDecides) {
  TranslatorConfig config;
  config.features.sse2_and_later = false;
  TranslatorMachine machine(AccessStyle::Window, config);
  const Exit exit = machine.run_code("66 0f fe c0");  // paddd xmm0, xmm0
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
}

}  // namespace
}  // namespace ringshift
