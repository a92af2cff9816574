// Re-encoding: prefixes that mean something else to the host, seen by running them.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

uint32_t scan_zero(bool tzcnt, std::string_view code) {
  TranslatorConfig config;
  config.features.tzcnt = tzcnt;
  TranslatorMachine machine(AccessStyle::Window, config);
  machine.reg(Gpr::Eax) = 0x1234;
  machine.reg(Gpr::Edi) = 0;
  machine.run_snippet(code);
  return machine.reg(Gpr::Eax);
}

TEST(Reencode, RepBsfIsTzcntWhereTheGuestHasIt) {
  if (!__builtin_cpu_supports("bmi")) GTEST_SKIP() << "the host has no TZCNT";
  constexpr std::string_view kTzcnt = "f3 0f bc c7 ";  // tzcnt eax, edi
  EXPECT_EQ(scan_zero(true, kTzcnt), 32U);
  EXPECT_EQ(scan_zero(true, "f3 f2 0f bc c7 "), 0x1234U);
}

TEST(Reencode, RepBsfAndRepBsrAreThemselvesElsewhere) {
  EXPECT_EQ(scan_zero(false, "f3 0f bc c7 "), 0x1234U);
  for (const bool tzcnt : {false, true}) {
    EXPECT_EQ(scan_zero(tzcnt, "f3 0f bd c7 "), 0x1234U);  // lzcnt eax, edi
  }
}

// 15 bytes for the guest; the window's base takes more for its address than the guest's did.
TEST(Reencode, RepeatedPrefixesDoNotMakeAnInstructionTooLongForTheHost) {
  for (const std::string_view prefix : {"f3", "f2", "66", "f0"}) {
    std::string code;
    for (int i = 0; i < 12; ++i) code += prefix;
    TranslatorMachine machine;
    machine.reg(Gpr::Ebp) = TranslatorMachine::kData;
    machine.reg(Gpr::Ecx) = 0x1234;
    machine.run_snippet(code + "01 4d 08");  // add [ebp+8], ecx
    EXPECT_EQ(machine.ram(TranslatorMachine::kData + 8)[0], 0x34) << prefix;
  }
}

}  // namespace
}  // namespace ringshift
