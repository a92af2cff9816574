// The record of written grains: every path to RAM reports them, and each grain once.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/bus.h"
#include "monitor/memory/physical_memory.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

constexpr uint32_t kGrainPages = SharedBase::kGrainPages;
constexpr uint64_t kGrain = uint64_t{kGrainPages} * kPageSize, kRam = 8 * kGrain;

class NotedMoves final : public WriteObserver {
 public:
  [[nodiscard]] bool watches(GuestPhysicalPage) const override { return false; }
  void on_write(GuestPhysical, uint32_t) override {}
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
};

class WrittenGrainsTest : public ::testing::Test {
 protected:
  WrittenGrainsTest() {
    std::string error;
    ram_ = GuestMemory::create(kRam, &error);
    CHECK(ram_ != nullptr);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    memory_->set_observer(&moves_);
  }
  std::vector<size_t> dirty() const {
    std::vector<size_t> all;
    for (size_t i = 0; i < ram_->machine_pages()->grains(); ++i) {
      if (ram_->machine_pages()->is_dirty(i)) all.push_back(i);
    }
    return all;
  }
  void write(uint64_t at, uint32_t value) { memory_->write(GuestPhysical(at), &value, 4); }
  uint32_t read(uint64_t at) {
    uint32_t value = 0;
    memory_->read(GuestPhysical(at), &value, 4);
    return value;
  }

  MemoryBus bus_;
  NotedMoves moves_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
};

TEST_F(WrittenGrainsTest, AllAreAtFirst) {
  ram_->track_writes(kGrainPages);
  EXPECT_EQ(dirty(), (std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_FALSE(ram_->is_shared(GuestPhysicalPage(0)));
  memory_->make_clean(0, 8);
  EXPECT_TRUE(dirty().empty());
  EXPECT_TRUE(ram_->is_shared(GuestPhysicalPage(0)));
  EXPECT_EQ(moves_.moved, (std::vector<NotedMoves::Move>{{0, 8 * kGrainPages, Backing::Clean}}));
}

TEST_F(WrittenGrainsTest, EachPathTells) {
  write(3 * kGrain + 8, 0x12345678);
  ram_->track_writes(kGrainPages);
  memory_->make_clean(0, 8);
  EXPECT_EQ(read(3 * kGrain + 8), 0x12345678U);
  EXPECT_TRUE(dirty().empty());
  write(3 * kGrain + 8, 1);
  EXPECT_EQ(dirty(), std::vector<size_t>{3});
  const std::array<uint8_t, 8> bytes{1, 2, 3};
  memory_->write_ram(5 * kGrain - 4, bytes);
  EXPECT_EQ(dirty(), (std::vector<size_t>{3, 4, 5}));
  memory_->set_entry_bits(GuestPhysical(6 * kGrain), 0x20);
  EXPECT_EQ(dirty(), (std::vector<size_t>{3, 4, 5, 6}));
  *memory_->writable_page(GuestPhysicalPage(0)) = 1;
  EXPECT_EQ(dirty(), (std::vector<size_t>{0, 3, 4, 5, 6}));
  EXPECT_EQ(read(3 * kGrain + 8), 1U);
  memory_->make_clean(3, 3);
  EXPECT_EQ(dirty(), (std::vector<size_t>{0, 6}));
  EXPECT_EQ(read(3 * kGrain + 8), 1U);
  EXPECT_EQ(moves_.moved.back(),
            (NotedMoves::Move{3 * kGrainPages, 3 * kGrainPages, Backing::Clean}));
}

TEST_F(WrittenGrainsTest, AtTheEndNobodyAsks) {
  ram_->track_writes(kGrainPages);
  memory_->make_clean(0, 8);
  ram_->end_tracking();
  write(0, 5);
  EXPECT_EQ(read(0), 5U);
  EXPECT_FALSE(ram_->is_shared(GuestPhysicalPage(0)));
  ram_->track_writes(kGrainPages);
  EXPECT_EQ(dirty().size(), 8U);
  memory_->make_clean(0, 1);
  EXPECT_EQ(dirty().size(), 7U);
  ASSERT_TRUE(ram_->clear());
  EXPECT_EQ(read(0), 0U);
  write(0, 6);
  EXPECT_EQ(read(0), 6U);
}

// Grains of a base are read from it until they are written; then they are dirty like others. One
// that becomes the base's again is as dirty as it was.
TEST_F(WrittenGrainsTest, ABaseIsReadAndNotWritten) {
  SharedBase base;
  write(2 * kGrain, 0x11);
  base.put_under(*ram_);
  ram_->track_writes(1);
  EXPECT_EQ(dirty().size(), 8U);
  EXPECT_EQ(ram_->descriptor_of(GuestPhysicalPage(2 * kGrainPages)),
            ram_->machine_pages()->descriptor_of(GuestPhysicalPage(2 * kGrainPages)));
  EXPECT_EQ(ram_->descriptor_of(GuestPhysicalPage(0)), ram_->descriptor());
  moves_.moved.clear();
  memory_->make_clean(2, 1);
  EXPECT_TRUE(moves_.moved.empty());
  EXPECT_EQ(dirty().size(), 7U);
  write(2 * kGrain, 0x22);
  EXPECT_EQ(dirty().size(), 8U);
  EXPECT_EQ(read(2 * kGrain), 0x22U);
  write(2 * kGrain, 0x11);
  memory_->flip_backing(GuestPhysicalPage(2 * kGrainPages));
  EXPECT_EQ(ram_->machine_pages()->backing(GuestPhysicalPage(2 * kGrainPages)), Backing::Base);
  EXPECT_EQ(dirty().size(), 8U);
  EXPECT_EQ(base.byte_at(2 * kGrain), 0x11);
}

}  // namespace
}  // namespace ringshift
