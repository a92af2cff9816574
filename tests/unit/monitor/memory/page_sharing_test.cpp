// Pages that have become equal to pages of a base: found, given back, and copied again when they
// are written, whatever way.
#include "monitor/memory/page_sharing.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "shadowmmu/base/counters.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

constexpr uint32_t kGrainPages = SharedBase::kGrainPages;
constexpr uint32_t kPages = 16 * kGrainPages;
constexpr int64_t kNoEnd = INT64_MAX;

class NotedMoves final : public WriteObserver {
 public:
  [[nodiscard]] bool watches(GuestPhysicalPage) const override { return false; }
  void on_write(GuestPhysical, uint32_t) override {}
  [[nodiscard]] bool is_shown_outside(GuestPhysicalPage page) override {
    return page.number() == shown_outside;
  }
  void on_moved(const PageRange& pages, Backing now) override {
    moved.push_back({pages.first.number(), pages.pages, now});
  }
  struct Move {
    uint64_t first;
    uint32_t pages;
    Backing now;
    bool operator==(const Move&) const = default;
  };
  std::vector<Move> moved;
  uint64_t shown_outside = kPages;
};

// Each page but the last grain's has its number, and one more, in its first byte.
class PageSharingTest : public ::testing::Test {
 protected:
  PageSharingTest() {
    std::string error;
    ram_ = GuestMemory::create(uint64_t{kPages} * kPageSize, &error);
    CHECK(ram_ != nullptr);
    for (uint32_t page = 0; page < kPages - kGrainPages; ++page) *ram_->at(at(page)) = number(page);
    base_.put_under(*ram_);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    memory_->set_observer(&moves_);
    sharing_ = std::make_unique<PageSharing>(*memory_);
  }
  ~PageSharingTest() override { ram_->verify_invariants(); }
  [[nodiscard]] static GuestPhysical at(uint32_t page) { return GuestPhysicalPage(page).address(); }
  [[nodiscard]] static uint8_t number(uint32_t page) { return static_cast<uint8_t>(page + 1); }
  void write(uint32_t page, uint8_t value, uint32_t offset = 0) {
    memory_->write(at(page) + offset, &value, 1);
  }
  [[nodiscard]] uint8_t read(uint32_t page, uint32_t offset = 0) {
    uint8_t value = 0;
    memory_->read(at(page) + offset, &value, 1);
    return value;
  }
  // All of RAM, twice: what has not changed from one time to the next is shared.
  void look_at_all() {
    for (uint32_t i = 0; i < 2 * kPages; ++i) sharing_->step(kPages, kNoEnd);
  }
  [[nodiscard]] Backing backing(uint32_t page) const {
    return ram_->backing(GuestPhysicalPage(page));
  }
  [[nodiscard]] bool takes_memory(uint32_t page) const {
    const uint64_t start = at(page).value();
    const ByteRange used = next_contents(ram_->descriptor(), start, start + kPageSize);
    return used.begin != used.end;
  }

  MemoryBus bus_;
  NotedMoves moves_;
  SharedBase base_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
  std::unique_ptr<PageSharing> sharing_;
};

TEST_F(PageSharingTest, WhatWasNotWrittenOfAGrainIsGivenBack) {
  write(5, 0x77);
  ASSERT_TRUE(takes_memory(4) && takes_memory(6));
  moves_.moved.clear();
  look_at_all();
  EXPECT_EQ(moves_.moved,
            (std::vector<NotedMoves::Move>{{4, 1, Backing::Base}, {6, 2, Backing::Base}}));
  EXPECT_EQ(backing(5), Backing::Own);
  EXPECT_FALSE(takes_memory(4) || takes_memory(6) || takes_memory(7));
  EXPECT_EQ(read(5), 0x77);
  for (const uint32_t page : {4U, 6U, 7U}) EXPECT_EQ(read(page), number(page));
  EXPECT_EQ(ram_->machine_pages()->inner_ends(), 2U);
}

TEST_F(PageSharingTest, APageOfAMixedGrainIsCopiedByItself) {
  write(5, 0x77);
  look_at_all();
  moves_.moved.clear();
  write(6, 0x66, 9);
  EXPECT_EQ(moves_.moved, (std::vector<NotedMoves::Move>{{6, 1, Backing::Own}}));
  EXPECT_EQ(read(6), number(6)) << "the rest of the page is as it was";
  EXPECT_EQ(read(6, 9), 0x66);
  EXPECT_EQ(base_.byte_at(at(6).value() + 9), 0);
  EXPECT_EQ(backing(7), Backing::Base);
}

TEST_F(PageSharingTest, AGrainThatIsAllBackIsOneAgain) {
  write(5, 0x77);
  write(5, number(5));
  look_at_all();
  EXPECT_EQ(ram_->machine_pages()->inner_ends(), 0U);
  EXPECT_FALSE(ram_->machine_pages()->is_mixed(GuestPhysicalPage(5)));
  moves_.moved.clear();
  write(6, 1);
  EXPECT_EQ(moves_.moved, (std::vector<NotedMoves::Move>{{4, kGrainPages, Backing::Own}}));
}

TEST_F(PageSharingTest, APageWithAnothersBytesIsThatOne) {
  write(5, number(30));
  write(kPages - 1, number(31));  // of no base
  look_at_all();
  EXPECT_EQ(backing(5), Backing::Elsewhere);
  EXPECT_EQ(backing(kPages - 1), Backing::Elsewhere);
  EXPECT_FALSE(takes_memory(5) || takes_memory(kPages - 1));
  EXPECT_EQ(read(5), number(30));
  EXPECT_EQ(*ram_->at(at(kPages - 1)), number(31));
  write(5, 0x99, 100);
  EXPECT_EQ(read(5), number(30));
  EXPECT_EQ(read(5, 100), 0x99);
  EXPECT_EQ(read(30, 100), 0);
  EXPECT_EQ(backing(5), Backing::Own);
}

TEST_F(PageSharingTest, ZerosAreHoles) {
  write(5, 0);
  write(kPages - 2, 5);
  write(kPages - 2, 0);
  look_at_all();
  EXPECT_FALSE(takes_memory(5) || takes_memory(kPages - 2));
  EXPECT_EQ(backing(5), Backing::Own);
  EXPECT_EQ(read(5), 0);
  write(5, 3);
  EXPECT_EQ(read(5), 3);
}

TEST_F(PageSharingTest, WhatChangesAllTheTimeIsLeftAlone) {
  for (uint32_t i = 0; i < 20; ++i) {
    write(5, static_cast<uint8_t>(100 + i));
    sharing_->step(kPages, kNoEnd);
  }
  EXPECT_EQ(backing(5), Backing::Own);
  EXPECT_EQ(read(5), 119);
}

TEST_F(PageSharingTest, AStepIsBounded) {
  for (uint32_t page = 1; page < kPages - kGrainPages; page += kGrainPages) write(page, 0x77);
  const uint64_t before = counters().memory_pages_looked_at;
  for (uint32_t i = 0; i < 10; ++i) sharing_->step(1, kNoEnd);
  EXPECT_LE(counters().memory_pages_looked_at - before, 10 * kGrainPages);
  const uint64_t now = counters().memory_pages_looked_at;
  sharing_->step(kPages, 0);
  EXPECT_EQ(counters().memory_pages_looked_at, now) << "its time is over";
}

TEST_F(PageSharingTest, APageOfASandboxedProcessStays) {
  write(5, 0x77);
  moves_.shown_outside = 6;
  look_at_all();
  EXPECT_EQ(backing(6), Backing::Own);
  EXPECT_EQ(backing(7), Backing::Base);
}

TEST_F(PageSharingTest, NothingIsSharedWhileItIsAskedWhatIsWritten) {
  write(5, 0x77);
  ram_->track_writes(1);
  look_at_all();
  EXPECT_EQ(backing(6), Backing::Own);
  memory_->make_clean(0, ram_->machine_pages()->grains());
  ram_->end_tracking();
  look_at_all();
  EXPECT_EQ(backing(6), Backing::Base) << "what was not written since is looked at, too";
  EXPECT_EQ(read(5), 0x77);
}

TEST_F(PageSharingTest, AMixedGrainIsMadeWhole) {
  write(5, 0x77);
  write(6, number(30));
  look_at_all();
  moves_.moved.clear();
  memory_->make_whole(1);
  EXPECT_EQ(moves_.moved, (std::vector<NotedMoves::Move>{{4, kGrainPages, Backing::Own}}));
  EXPECT_EQ(read(4), number(4));
  EXPECT_EQ(read(5), 0x77);
  EXPECT_EQ(read(6), number(30));
  memory_->make_whole(0);
  EXPECT_EQ(moves_.moved.size(), 1U) << "the base's as a whole";
}

TEST_F(PageSharingTest, AMachineWithoutABaseIsLeftAlone) {
  ASSERT_TRUE(ram_->clear());
  write(5, 0x77);
  look_at_all();
  EXPECT_EQ(ram_->machine_pages(), nullptr);
  EXPECT_EQ(read(5), 0x77);
}

// Writes of all kinds against a model, with steps, flips and whole grains at any moment.
TEST_F(PageSharingTest, NoWriteIsLost) {
  std::mt19937 engine(7);
  const auto dice = [&engine] { return static_cast<uint32_t>(engine()); };
  std::vector<std::array<uint8_t, 4>> model(kPages);
  for (uint32_t page = 0; page < kPages - kGrainPages; ++page) model[page][0] = number(page);
  for (uint32_t i = 0; i < 20000; ++i) {
    const uint32_t page = dice() % kPages;
    switch (dice() % 8) {
      case 0:
        sharing_->step(dice() % 20, kNoEnd);
        break;
      case 1:
        memory_->flip_some_backing(dice());
        break;
      case 2:
        if (dice() % 16 == 0) memory_->make_whole(page / kGrainPages);
        break;
      case 3:  // another page's bytes, or its own
        model[page] = {dice() % 2 == 0 ? number(dice() % 40) : number(page), 0, 0, 0};
        memory_->write_ram(at(page).value(), model[page]);
        break;
      case 4: {
        uint32_t bits = dice() % 2 == 0 ? 0U : 0x20U;
        model[page][0] = static_cast<uint8_t>(model[page][0] | bits);
        memory_->set_entry_bits(at(page), bits);
        break;
      }
      case 5:
        *memory_->writable_page(GuestPhysicalPage(page)) = model[page][0] = 0;
        break;
      default: {
        const uint32_t offset = dice() % 4;
        model[page][offset] = static_cast<uint8_t>(dice() % 3);
        write(page, model[page][offset], offset);
      }
    }
    const uint32_t other = dice() % kPages;
    for (uint32_t offset = 0; offset < 4; ++offset) {
      ASSERT_EQ(*(ram_->at(at(other)) + offset), model[other][offset]) << i << " page " << other;
    }
    if (i % 500 == 0) ram_->verify_invariants();
  }
  EXPECT_GT(counters().memory_pages_joined_elsewhere, 0U);
}

}  // namespace
}  // namespace ringshift
