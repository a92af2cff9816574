// KeptStates and RamImage: the states kept of a replay stay within their bounds, are denser near
// the present position, and are unchanged.
#include "monitor/replay/kept_states.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace ringshift {
namespace {

KeptStates::Kept state_at(uint64_t events, Nanoseconds work, size_t bytes = 0) {
  auto moment = std::make_shared<MachineMoment>();
  moment->state.resize(bytes);
  GuestPlace place;
  place.at.events = events;
  return {.place = place, .work = work, .moment = std::move(moment)};
}

std::vector<uint64_t> events_of(const KeptStates& kept) {
  std::vector<uint64_t> all = {kept.first().place.at.events};
  while (const KeptStates::Kept* next = kept.after(all.back())) {
    all.push_back(next->place.at.events);
  }
  return all;
}

TEST(KeptStates, TheLastOneBeforeIsFoundAndTheFirstOneWhereThereIsNone) {
  KeptStates kept({});
  for (const uint64_t events : {0U, 20U, 10U}) kept.add(state_at(events, 0));
  EXPECT_EQ(kept.before(21).place.at.events, 20U);
  EXPECT_EQ(kept.before(20).place.at.events, 10U);
  EXPECT_EQ(kept.before(0).place.at.events, 0U);
  EXPECT_EQ(kept.after(10)->place.at.events, 20U);
  EXPECT_EQ(kept.after(20), nullptr);
}

TEST(KeptStates, OneAtAPlaceIsEnough) {
  KeptStates kept({});
  kept.add(state_at(0, 0));
  kept.add(state_at(5, 1));
  kept.add(state_at(5, 2));
  EXPECT_EQ(kept.size(), 2U);
}

TEST(KeptStates, TheirNumberIsBoundedAndTheyAreDenserNearTheLast) {
  KeptStates kept({.states = 16});
  constexpr uint64_t kAll = 10'000;
  for (uint64_t i = 0; i <= kAll; ++i) {
    kept.add(state_at(i * 1000, static_cast<Nanoseconds>(i)));
    ASSERT_LE(kept.size(), 16U);
  }
  const std::vector<uint64_t> all = events_of(kept);
  EXPECT_EQ(all.size(), 16U);
  EXPECT_EQ(all.front(), 0U);
  EXPECT_EQ(all.back(), kAll * 1000);
  EXPECT_EQ(all[all.size() - 2], (kAll - 1) * 1000);
  // No way is long as seen from the last one: none is more than some times as long as it is away.
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    EXPECT_LE(all[i + 1] - all[i], 4 * (all.back() - all[i + 1]) + 3000) << i;
  }
}

TEST(KeptStates, OnesAreLeftNearAPlaceThatSomebodyHasGoneBackTo) {
  KeptStates kept({.states = 16});
  for (uint64_t i = 0; i < 1000; ++i) kept.add(state_at(i * 10, static_cast<Nanoseconds>(i * 10)));
  for (uint64_t i = 3001; i < 3030; ++i) kept.add(state_at(i, static_cast<Nanoseconds>(i)));
  const std::vector<uint64_t> all = events_of(kept);
  const auto near = std::ranges::count_if(all, [](uint64_t e) { return e > 2900 && e < 3100; });
  EXPECT_GE(near, 4);
  EXPECT_EQ(all.front(), 0U);
}

TEST(KeptStates, TheirMemoryIsBounded) {
  KeptStates kept({.states = 100, .bytes = 10'000});
  for (uint64_t i = 0; i < 50; ++i) kept.add(state_at(i, static_cast<Nanoseconds>(i), 1000));
  EXPECT_LE(kept.bytes(), 10'000U);
  EXPECT_GE(kept.size(), 9U);
  // The first one and the last one stay, however large.
  kept.add(state_at(60, 60, 50'000));
  EXPECT_EQ(events_of(kept), (std::vector<uint64_t>{0, 60}));
}

class RamImageTest : public testing::Test {
 protected:
  RamImageTest() {
    std::string error;
    memory = GuestMemory::create(uint64_t{1} << 20, &error);
    EXPECT_NE(memory, nullptr) << error;
  }
  void set(size_t page, uint8_t value) {
    std::memset(memory->at(GuestPhysical(page * kPageSize)), value, kPageSize);
  }
  [[nodiscard]] uint8_t value(size_t page) const {
    return *memory->at(GuestPhysical(page * kPageSize));
  }
  // How many pages have been written.
  size_t restore(const RamImage& image) {
    size_t written = 0;
    image.restore(*memory, [&](GuestPhysical page, std::span<const uint8_t> bytes) {
      std::ranges::copy(bytes, memory->at(page));
      ++written;
    });
    return written;
  }

  std::unique_ptr<GuestMemory> memory;
  PageCount pages = std::make_shared<size_t>(0);
};

TEST_F(RamImageTest, WhatHasChangedIsBroughtBackAndNothingElse) {
  set(3, 1);
  set(200, 2);
  const RamImage image(*memory, nullptr, pages);
  EXPECT_EQ(*pages, 2U);
  EXPECT_EQ(restore(image), 0U);
  set(3, 7);
  set(4, 8);
  EXPECT_EQ(restore(image), 2U);
  EXPECT_EQ(value(3), 1);
  EXPECT_EQ(value(4), 0);
  EXPECT_EQ(value(200), 2);
}

TEST_F(RamImageTest, ImagesHaveInCommonWhatIsTheSame) {
  set(3, 1);
  set(200, 2);
  auto first = std::make_unique<RamImage>(*memory, nullptr, pages);
  set(3, 9);
  const RamImage second(*memory, first.get(), pages);
  EXPECT_EQ(*pages, 3U);
  first.reset();
  EXPECT_EQ(*pages, 2U);
  set(3, 0);
  EXPECT_EQ(restore(second), 1U);
  EXPECT_EQ(value(3), 9);
}

}  // namespace
}  // namespace ringshift
