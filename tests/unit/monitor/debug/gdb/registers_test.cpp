// Registers as a debugger sees them: the description and the bytes agree.
#include "monitor/debug/gdb/registers.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

namespace ringshift::debug {
namespace {

const Register& named(const std::string& name) {
  for (const Register& each : registers()) {
    if (each.name == name) return each;
  }
  ADD_FAILURE() << "no register " << name;
  return registers()[0];
}

uint64_t value_of(const GuestState& state, const std::string& name) {
  std::array<uint8_t, kLargestRegister> bytes{};
  const Register& which = named(name);
  read_register(state, which, std::span(bytes).first(which.bytes()));
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

bool set(GuestState* state, const std::string& name, uint32_t value) {
  std::array<uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &value, sizeof(value));
  return write_register(state, named(name), bytes);
}

TEST(Registers, TheDescriptionNamesEachOnceInTheirOrder) {
  size_t at = 0;
  for (const Register& each : registers()) {
    const std::string element = "<reg name=\"" + each.name + "\"";
    at = target_description().find(element, at);
    ASSERT_NE(at, std::string::npos) << each.name;
    EXPECT_EQ(target_description().find(element, at + 1), std::string::npos) << each.name;
  }
}

TEST(Registers, ThoseThatGdbCountsOnComeFirst) {
  constexpr const char* kFirst[] = {"eax", "ecx",    "edx", "ebx", "esp", "ebp", "esi", "edi",
                                    "eip", "eflags", "cs",  "ss",  "ds",  "es",  "fs",  "gs"};
  for (size_t i = 0; i < std::size(kFirst); ++i) EXPECT_EQ(registers()[i].name, kFirst[i]);
  EXPECT_EQ(registers()[16].name, "st0");
  EXPECT_EQ(registers()[32].name, "xmm0");
}

TEST(Registers, SystemRegistersAreThere) {
  GuestState state;
  state.cr0 = 0x80050033;
  state.cr3 = 0x1234000;
  state.cr4 = 0x690;
  state.gdtr = {0xff400000, 0xff};
  state.seg(SegmentRegister::Fs).base = 0x1000;
  EXPECT_EQ(value_of(state, "cr0"), 0x80050033U);
  EXPECT_EQ(value_of(state, "cr3"), 0x1234000U);
  EXPECT_EQ(value_of(state, "cr4"), 0x690U);
  EXPECT_EQ(value_of(state, "gdtr_base"), 0xff400000U);
  EXPECT_EQ(value_of(state, "gdtr_limit"), 0xffU);
  EXPECT_EQ(value_of(state, "fs_base"), 0x1000U);
  EXPECT_FALSE(set(&state, "cr3", 0));
}

TEST(Registers, TheTagWordIsThatOfFstenv) {
  GuestState state;
  state.fxsave.fill(0);
  EXPECT_EQ(value_of(state, "ftag"), 0xffffU);
  // TOP 6: ST(0) is register 6. A one in ST(0), a zero in ST(1), an infinity in register 0, ST(2).
  state.fxsave[3] = 6 << 3;
  state.fxsave[4] = 0xc1;
  const uint64_t one = uint64_t{1} << 63;
  std::memcpy(&state.fxsave[32], &one, 8);
  state.fxsave[32 + 8] = 0xff;
  state.fxsave[32 + 9] = 0x3f;
  std::memcpy(&state.fxsave[64], &one, 8);
  state.fxsave[64 + 8] = 0xff;
  state.fxsave[64 + 9] = 0x7f;
  EXPECT_EQ(value_of(state, "ftag"), 0x4ffeU);
  EXPECT_TRUE(set(&state, "ftag", 0xfff0));
  EXPECT_EQ(state.fxsave[4], 3);
}

TEST(Registers, FlagsThatAreModesStay) {
  GuestState state;
  EXPECT_TRUE(set(&state, "eflags", 0xffffffff));
  EXPECT_FALSE(state.v86_mode());
  EXPECT_EQ(state.iopl(), 3U);
  EXPECT_EQ(state.eflags & 0x8028U, 0U);
}

TEST(Registers, ReservedBitsOfMxcsrDoNotGetThrough) {
  GuestState state;
  EXPECT_TRUE(set(&state, "mxcsr", 0xffffffff));
  EXPECT_EQ(value_of(state, "mxcsr"), 0xffffU);
}

}  // namespace
}  // namespace ringshift::debug
