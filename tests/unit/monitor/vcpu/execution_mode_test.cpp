// The mode that code is translated in, by the contents of FS.
#include "monitor/vcpu/execution_mode.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

constexpr SegmentCache kFlatData{0, 0xffffffffU, 0x10, 0xc093};

GuestState usual_state() {
  GuestState state;
  state.cr0 |= kCr0Pe;
  state.segment.fill(kFlatData);
  state.seg(SegmentRegister::Cs) = {0, 0xffffffffU, 0x8, 0xc09b};
  return state;
}

TEST(ExecutionMode, FsThatIsNullOrUnlimitedIsTheUsualMode) {
  GuestState state = usual_state();
  state.seg(SegmentRegister::Fs) = SegmentCache{};
  EXPECT_EQ(translated_mode(state), CodeMode{});
  state.seg(SegmentRegister::Fs) = {0x1000, 0xffffffffU, 0x33, 0xc0f3};
  EXPECT_EQ(translated_mode(state), CodeMode{});
}

TEST(ExecutionMode, FsThatMustBeAskedIsAModeOfItsOwn) {
  struct Case {
    uint32_t limit;
    uint16_t attributes;
    SegmentKind kind;
  };
  constexpr Case kCases[] = {{0xfff, 0x40f3, SegmentKind::Checked},
                             {0xffffffffU, 0xc0f1, SegmentKind::Readable},  // read-only data
                             {0xffffffffU, 0xc0fb, SegmentKind::Readable},  // code
                             {0xfff, 0xc0f7, SegmentKind::Down}};           // expand-down
  for (const Case& wanted : kCases) {
    SCOPED_TRACE(wanted.attributes);
    GuestState state = usual_state();
    state.seg(SegmentRegister::Fs) = {0x1000, wanted.limit, 0x33, wanted.attributes};
    const auto mode = translated_mode(state);
    ASSERT_TRUE(mode.has_value());
    EXPECT_FALSE(mode->is_flat());
    EXPECT_EQ(mode->kind(SegmentRegister::Fs), wanted.kind);
  }
}

}  // namespace
}  // namespace ringshift
