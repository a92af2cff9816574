#include "monitor/cpu/processor_state.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "monitor/cpu/control_registers.h"
#include "shadowmmu/base/state_archive.h"
#include "tests/support/state_items.h"

namespace ringshift {
namespace {

constexpr uint64_t kStamp = 1'000'000;
// After cr4 and held_debug, and before fxsave.
constexpr size_t kPaddingBytes = 36;

class SavedProcessor : public ::testing::Test {
 protected:
  SavedProcessor() { reset(state_); }
  std::vector<uint8_t> save(uint64_t stamp = kStamp) {
    ProcessorState processor{state_, types_, model_, stamp};
    std::vector<uint8_t> saved;
    std::string error;
    EXPECT_TRUE(StateArchive::save([&](StateArchive& a) { a.part("processor", processor); }, &saved,
                                   &error))
        << error;
    return saved;
  }
  // The error; empty: none.
  static std::string load(std::span<const uint8_t> saved, GuestState& state, MemoryTypes& types,
                          const CpuModel& model, uint64_t stamp = kStamp) {
    ProcessorState processor{state, types, model, stamp};
    std::string error;
    (void)StateArchive::load(
        saved, [&](StateArchive& a) { a.part("processor", processor); }, &error);
    return error;
  }
  // The error of what is saved now, with a field's bytes replaced.
  std::string error_with(const std::string& path, const std::vector<uint8_t>& payload) {
    StateItems items = parse_state(save());
    bool found = false;
    for_each_item(items, [&](const std::string& name, StateItems& all, size_t i) {
      if (name != "processor/" + path) return;
      all[i].payload = payload;
      found = true;
    });
    EXPECT_TRUE(found) << path;
    GuestState state;
    MemoryTypes types;
    return load(assemble_state(items), state, types, model_);
  }
  // Every byte of the state something else than at the start, where that is possible.
  void disturb(std::mt19937& random) {
    const auto any = [&random](auto& values) {
      for (auto& value : values)
        value = static_cast<std::remove_reference_t<decltype(value)>>(random());
    };
    any(state_.gpr);
    any(state_.fxsave);
    state_.fxsave[24] = state_.fxsave[25] = 0x12;
    state_.fxsave[26] = state_.fxsave[27] = 0;
    state_.eip = static_cast<uint32_t>(random());
    state_.eflags = kFlagReservedOne | kFlagIf | kFlagCf | kFlagNt;
    state_.cpl = 3;
    state_.interrupt_shadow = 2;
    state_.activity = ActivityState::Halted;
    state_.nmi_blocked = 1;
    state_.held_debug = 5;
    for (SegmentCache* segment :
         {&state_.segment[0], &state_.segment[1], &state_.segment[2], &state_.segment[3],
          &state_.segment[4], &state_.segment[5], &state_.ldtr, &state_.tr}) {
      *segment = {static_cast<uint32_t>(random()), static_cast<uint32_t>(random()),
                  static_cast<uint16_t>(random()), static_cast<uint16_t>(random())};
    }
    state_.gdtr = {static_cast<uint32_t>(random()), 0x7f};
    state_.idtr = {static_cast<uint32_t>(random()), 0x3ff};
    state_.cr0 = kCr0Et | kCr0Pe | kCr0Ts;
    state_.cr2 = static_cast<uint32_t>(random());
    state_.cr3 = static_cast<uint32_t>(random());
    state_.cr4 = kCr4Osfxsr;
    state_.pdpte = {0x1001, 0x2001, 0, 0x3001};
    state_.dr = {1, 2, 3, 4, 0, 0, 0xffff0ff1U, 0x401U};
    state_.efer = 1U << 11;
    state_.tsc_offset = random();
    state_.sysenter_cs = 8;
    state_.sysenter_esp = static_cast<uint32_t>(random());
    state_.sysenter_eip = static_cast<uint32_t>(random());
    state_.pat = 0x0606060606060606;
    state_.misc_enable = 1 | 1U << 22;
    types_.set_up();
  }
  GuestState state_;
  MemoryTypes types_;
  CpuModel model_;
};

TEST_F(SavedProcessor, EveryRegisterComesBack) {
  std::mt19937 random(7);
  disturb(random);
  const std::vector<uint8_t> saved = save();
  GuestState loaded;
  MemoryTypes types;
  ASSERT_EQ(load(saved, loaded, types, model_), "");
  state_ = loaded;
  types_ = types;
  EXPECT_EQ(save(), saved);
}

// But for the padding between its fields.
TEST_F(SavedProcessor, EveryByteOfTheStateIsSaved) {
  std::array<std::vector<uint8_t>, 2> images;
  for (const bool is_disturbed : {false, true}) {
    std::memset(static_cast<void*>(&state_), is_disturbed ? 0xa5 : 0, sizeof state_);
    std::mt19937 random(9);
    disturb(random);
    const std::vector<uint8_t> saved = save();
    GuestState loaded;
    std::memset(static_cast<void*>(&loaded), is_disturbed ? 0x5a : 0xff, sizeof loaded);
    MemoryTypes types;
    ASSERT_EQ(load(saved, loaded, types, model_), "");
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&loaded);
    images[is_disturbed ? 1 : 0].assign(bytes, bytes + sizeof loaded);
  }
  size_t unwritten = 0;
  for (size_t i = 0; i < sizeof(GuestState); ++i) unwritten += images[0][i] != images[1][i] ? 1 : 0;
  EXPECT_EQ(unwritten, kPaddingBytes);
}

TEST_F(SavedProcessor, TheGuestsOwnTimeStampGoesOn) {
  state_.tsc_offset = 500;
  const std::vector<uint8_t> saved = save(10'000);
  GuestState loaded;
  MemoryTypes types;
  ASSERT_EQ(load(saved, loaded, types, model_, 77), "");
  EXPECT_EQ(77 + loaded.tsc_offset, 10'500U);
}

TEST_F(SavedProcessor, ValuesThatNoGuestCouldHaveReachedAreRefused) {
  const struct {
    const char* path;
    std::vector<uint8_t> payload;
  } cases[] = {
      {"cpl", {4}},
      {"cpl", {3}},  // in real mode
      {"eflags", {0, 0, 0, 0}},
      {"eflags", {0x0a, 0, 0, 0}},
      {"eflags", {2, 0, 2, 0}},  // virtual-8086 mode in real mode
      {"interrupt shadow", {3}},
      {"activity", {3}},
      {"nmi blocked", {2}},
      {"held debug", {0x10, 0, 0, 0}},
      {"gdtr/limit", {0, 0, 1, 0}},
      {"cr0", {0x10, 0, 0, 0x80}},  // paging without protection
      {"cr0", {0, 0, 0, 0}},
      {"cr0", {0x10, 0, 0, 0x20}},  // not write-through, cached
      {"cr4", {1, 0, 0, 0}},        // VME
      {"cr4", {0, 0, 0, 0xff}},
      {"efer", {1, 0, 0, 0, 0, 0, 0, 0}},
      {"pat", {2, 0, 0, 0, 0, 0, 0, 0}},
      {"misc enable", {2, 0, 0, 0, 0, 0, 0, 0}},
      {"memory types/default", {9, 0, 0, 0, 0, 0, 0, 0}},
      {"features", {0, 0, 0, 0, 0, 0, 0, 0}},
  };
  for (const auto& row : cases) {
    const std::string error = error_with(row.path, row.payload);
    EXPECT_EQ(error.find(std::string("saved state: processor/") + row.path + ": "), 0U)
        << row.path << " gave '" << error << "'";
  }
}

TEST_F(SavedProcessor, TablesAndImagesWithReservedBitsAreRefused) {
  StateItems items = parse_state(save());
  std::map<std::string, std::vector<uint8_t>> fields;
  for_each_item(items, [&](const std::string& path, StateItems& all, size_t i) {
    fields[path] = all[i].payload;
  });
  std::vector<uint8_t> fxsave = fields.at("processor/fxsave");
  fxsave[1 + 27] = 1;  // behind the width of the numbers
  EXPECT_EQ(error_with("fxsave", fxsave),
            "saved state: processor/fxsave: its MXCSR has bits that are not there");
  std::vector<uint8_t> pdpte = fields.at("processor/pdpte");
  pdpte[1] = 3;
  EXPECT_NE(error_with("pdpte", pdpte), "");
  std::vector<uint8_t> dr = fields.at("processor/dr");
  dr[1 + 4 * 6] = 0;
  EXPECT_NE(error_with("dr", dr), "");
  std::vector<uint8_t> fixed = fields.at("processor/memory types/fixed");
  fixed[1] = 2;
  EXPECT_NE(error_with("memory types/fixed", fixed), "");
  std::vector<uint8_t> variable = fields.at("processor/memory types/variable");
  variable[1] = 3;
  EXPECT_NE(error_with("memory types/variable", variable), "");
}

TEST_F(SavedProcessor, AnotherModelIsRefused) {
  const std::vector<uint8_t> saved = save();
  CpuModel other = model_;
  other.nx = false;
  GuestState state;
  MemoryTypes types;
  EXPECT_EQ(load(saved, state, types, other).find("saved state: processor/features: it was "), 0U);
  other = model_;
  other.tsc_hz = 12345;  // a host's, of which no two are quite alike
  EXPECT_EQ(load(saved, state, types, other), "");
}

}  // namespace
}  // namespace ringshift
