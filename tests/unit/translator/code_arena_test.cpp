// The arena: two ends of one piece of memory, each given back by itself.
#include "translator/code_arena.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <system_error>

namespace ringshift {
namespace {

class Arena : public ::testing::Test {
 protected:
  Arena() : arena_(CodeArena::create(kBytes, &error_)) {}
  static constexpr uint64_t kBytes = 65536;
  static constexpr std::array<uint8_t, 100> kCode{};
  std::string error_;
  std::unique_ptr<CodeArena> arena_;
};

TEST_F(Arena, GrowsFromBothEndsAndKnowsWhoseCodeIsWhere) {
  const CodeExecuteView low = arena_->publish(kCode, 7);
  const CodeExecuteView high = arena_->reserve_at_top(kCode.size(), 9);
  EXPECT_EQ(low.address, arena_->base());
  EXPECT_EQ(high.address, arena_->base() + kBytes - 2 * CodeArena::kGranule);
  EXPECT_EQ(arena_->owner_of(low.address + 99), 7U);
  EXPECT_EQ(arena_->owner_of(high.address), 9U);
  EXPECT_EQ(arena_->owner_of(high.address + 99), 9U);
  EXPECT_TRUE(arena_->contains(high.address));
  EXPECT_FALSE(arena_->contains(low.address + 2 * CodeArena::kGranule));
  EXPECT_FALSE(arena_->contains(high.address - 1));
  EXPECT_FALSE(arena_->contains(arena_->base() + kBytes));
  EXPECT_EQ(arena_->used_at_top(), 2 * CodeArena::kGranule);
}

// No descriptor of the process reaches the memory that code runs from.
TEST_F(Arena, NoDescriptorReachesTheCode) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    EXPECT_EQ(target.string().find("ringshift-code"), std::string::npos) << entry.path();
  }
}

TEST_F(Arena, TheTwoEndsDoNotMeet) {
  uint64_t lowest_top = arena_->base() + kBytes;
  uint64_t highest_bottom = arena_->base();
  while (arena_->has_room(kCode.size())) {
    highest_bottom = arena_->publish(kCode, 1).address + kCode.size();
    if (!arena_->has_room(kCode.size())) break;
    lowest_top = arena_->reserve_at_top(kCode.size(), 2).address;
  }
  EXPECT_LE(highest_bottom, lowest_top);
  EXPECT_LT(lowest_top - highest_bottom, 4 * CodeArena::kGranule);
  EXPECT_EQ(arena_->publish(kCode, 1).address, 0U);
}

TEST_F(Arena, TheTopIsGivenBackByItself) {
  const CodeExecuteView low = arena_->publish(kCode, 7);
  while (arena_->has_room(kCode.size())) (void)arena_->reserve_at_top(kCode.size(), 9);
  arena_->reset_top();
  EXPECT_TRUE(arena_->has_room(kBytes / 2));
  EXPECT_EQ(arena_->owner_of(low.address), 7U);
  arena_->reset();
  EXPECT_FALSE(arena_->contains(low.address));
}

}  // namespace
}  // namespace ringshift
