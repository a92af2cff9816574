// Whole boards, saved in the middle of random traffic and loaded into a second one: both give the
// same answers from then on, and end with the same RAM, media and state. See docs/saved-state.md.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "shadowmmu/base/state_archive.h"
#include "tests/fuzz/targets/fuzz_board.h"
#include "tests/fuzz/targets/fuzz_target.h"

namespace ringshift::fuzz {
namespace {

using Action = void (FuzzBoard::*)(FuzzBytes&);

std::vector<uint8_t> save(FuzzBoard& board) {
  std::vector<uint8_t> saved;
  std::string error;
  EXPECT_TRUE(StateArchive::save([&](StateArchive& a) { board.visit_state(a); }, &saved, &error))
      << error;
  return saved;
}

std::vector<uint8_t> random_bytes(std::mt19937& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

// Actions until the bytes are used up; the digests after each.
std::vector<uint64_t> run(FuzzBoard& board, Action action, const std::vector<uint8_t>& input) {
  std::vector<uint64_t> seen;
  FuzzBytes bytes(input);
  while (!bytes.empty()) {
    (board.*action)(bytes);
    seen.push_back(board.digest());
    seen.push_back(static_cast<uint64_t>(board.next_deadline().value_or(-1)));
  }
  return seen;
}

void expect_that_twins_agree(FuzzBoard::Kind kind, Action action, uint32_t seed) {
  std::mt19937 random(seed);
  const auto shape = static_cast<uint8_t>(random());
  auto first = std::make_unique<FuzzBoard>(kind, shape);
  (void)run(*first, action, random_bytes(random, 20 + random() % 3000));
  auto second = std::make_unique<FuzzBoard>(kind, shape);
  // Into one that is used, too.
  if (seed % 4 == 3) (void)run(*second, action, random_bytes(random, 500));
  second->take_surroundings_of(*first);
  const std::vector<uint8_t> saved = save(*first);
  std::string error;
  ASSERT_TRUE(StateArchive::load(
      saved, [&](StateArchive& a) { second->visit_state(a); }, &error))
      << error;
  ASSERT_TRUE(second->has_surroundings_of(*first)) << "loading has done something";
  ASSERT_EQ(save(*second), saved);
  second->take_surroundings_of(*first);
  const std::vector<uint8_t> rest = random_bytes(random, 3000);
  ASSERT_EQ(run(*first, action, rest), run(*second, action, rest));
  ASSERT_TRUE(second->has_surroundings_of(*first));
  ASSERT_EQ(save(*second), save(*first));
}

void expect_that_twins_agree(FuzzBoard::Kind kind, Action action) {
  const char* const only = std::getenv("RINGSHIFT_FUZZ_SEED");
  const uint32_t begin = only != nullptr ? static_cast<uint32_t>(std::atoi(only)) : 1;
  const uint32_t end = begin + (only != nullptr ? 1 : kind == FuzzBoard::Kind::Whole ? 24 : 60);
  for (uint32_t seed = begin; seed < end && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("RINGSHIFT_FUZZ_SEED=" + std::to_string(seed));
    expect_that_twins_agree(kind, action, seed);
  }
}

TEST(SavedBoard, AWholeBoardGoesOn) {
  expect_that_twins_agree(FuzzBoard::Kind::Whole, &FuzzBoard::act);
}

TEST(SavedBoard, DrivesGoOn) {
  expect_that_twins_agree(FuzzBoard::Kind::Drives, &FuzzBoard::act_on_storage);
}

// The fuzz target without coverage to guide it: states with bytes changed are refused, or go on.
TEST(SavedBoard, NearlyGoodStatesDoNoHarm) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::vector<uint8_t> input = random_bytes(random, 900);
    input[0] = static_cast<uint8_t>(2 + seed % 6 + (seed % 40 == 0 ? 0x80 : 0));
    fuzz_state(input);
  }
}

TEST(SavedBoard, ABoardWithOtherDevicesIsRefused) {
  FuzzBoard with_apic(FuzzBoard::Kind::Whole, 0x81), without(FuzzBoard::Kind::Whole, 0x80);
  std::string error;
  const std::vector<uint8_t> saved = save(with_apic);
  EXPECT_FALSE(StateArchive::load(
      saved, [&](StateArchive& a) { without.visit_state(a); }, &error));
  EXPECT_EQ(error, "saved state: apic: this program knows no such field or section");
  const std::vector<uint8_t> other = save(without);
  EXPECT_FALSE(StateArchive::load(
      other, [&](StateArchive& a) { with_apic.visit_state(a); }, &error));
  EXPECT_EQ(error, "saved state: apic: it is missing");
}

}  // namespace
}  // namespace ringshift::fuzz
