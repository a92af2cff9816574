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

}  // namespace
}  // namespace ringshift
