// Random bytes as guest code, in every mode: a step ends in a value (V1) whatever they are, and no
// encoding that the model claims lacks a native floating-point unit.
#include <random>

#include "tests/support/interpreter_fixture.h"

namespace ringshift {
namespace {

class InterpreterRandomBytes : public InterpreterFixture {
 protected:
  void enter_random_mode() {
    state.cr0 |= kCr0Pe;
    state.eflags = kFlagReservedOne;
    switch (random_() % 4) {
      case 0:
        enter_real_mode();
        break;
      case 1:
        enter_v86(3);
        break;
      case 2:
        enter_ring(3);
        break;
      default:
        enter_ring(0);
        break;
    }
    state.cr4 |= kCr4Osfxsr | kCr4Osxmmexcpt;
    for (uint32_t& value : state.gpr) value = static_cast<uint32_t>(random_()) & 0xfffffU;
    state.activity = ActivityState::Running;
  }

  void place_random_code() {
    constexpr uint8_t kPrefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x0f, 0x0f, 0x0f};
    uint32_t at = state.seg(SegmentRegister::Cs).base + state.eip;
    if (random_() % 2 == 0) set8(at++, kPrefixes[random_() % std::size(kPrefixes)]);
    if (random_() % 4 == 0) set8(at++, kPrefixes[random_() % std::size(kPrefixes)]);
    for (int i = 0; i < 15; ++i) set8(at++, static_cast<uint8_t>(random_()));
  }

 private:
  std::mt19937 random_{7};
};

TEST_F(InterpreterRandomBytes, EveryStepEndsInAValue) {
  constexpr int kSteps = 120000;
  for (int i = 0; i < kSteps; ++i) {
    enter_random_mode();
    place_random_code();
    const StepResult result = step();
    ASSERT_NE(result.kind, StepKind::Unimplemented) << result.message << " at step " << i;
  }
}

}  // namespace
}  // namespace ringshift
