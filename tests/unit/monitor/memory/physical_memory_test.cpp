#include "monitor/memory/physical_memory.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

#include "tests/support/memory_fixture.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

using PhysicalMemoryTest = MemoryFixture;

TEST_F(PhysicalMemoryTest, BytesWrittenToRamAreReadBackAtEveryWidth) {
  for (uint32_t length : {1U, 2U, 3U, 4U, 7U, 8U, 16U, 512U}) {
    std::vector<uint8_t> written(length);
    std::iota(written.begin(), written.end(), uint8_t{1});
    std::vector<uint8_t> read(length);
    physical_->write(GuestPhysical(0x1003), written.data(), length);
    physical_->read(GuestPhysical(0x1003), read.data(), length);
    EXPECT_EQ(read, written) << length;
    EXPECT_EQ(*ram_->at(GuestPhysical(0x1003 + length - 1)), static_cast<uint8_t>(length));
    EXPECT_EQ(*ram_->at(GuestPhysical(0x1002)), 0);
  }
}

TEST_F(PhysicalMemoryTest, AnAccessMaySpanPages) {
  std::vector<uint8_t> written(3 * kPageSize, 0x77);
  std::vector<uint8_t> read(written.size());
  physical_->write(GuestPhysical(0x1800), written.data(), 3 * kPageSize);
  physical_->read(GuestPhysical(0x1800), read.data(), 3 * kPageSize);
  EXPECT_EQ(read, written);
}

TEST_F(PhysicalMemoryTest, ReadsBeyondRamAreAllOnesAndWritesVanish) {
  uint64_t value = 0;
  physical_->write(GuestPhysical(kRamBytes), &value, sizeof(value));
  physical_->read(GuestPhysical(kRamBytes), &value, sizeof(value));
  EXPECT_EQ(value, ~uint64_t{0});
  value = 0;
  physical_->read(GuestPhysical(0xffffffff8), &value, sizeof(value));
  EXPECT_EQ(value, ~uint64_t{0});
}

TEST_F(PhysicalMemoryTest, ADeviceHidesTheRamBehindIt) {
  EXPECT_FALSE(physical_->is_ram(GuestPhysicalPage::of(kDevice)));
  uint32_t value = 0x12345678;
  physical_->write(kDevice + 4, &value, sizeof(value));
  EXPECT_EQ(ram32(kDevice.value() + 4), 0U);
  EXPECT_EQ(device_.writes, (std::vector<RecordingDevice::Access>{{4, 4, 0x12345678}}));
  physical_->read(kDevice + 8, &value, sizeof(value));
  EXPECT_EQ(value, 0xd3d2d1d8U);
}

TEST_F(PhysicalMemoryTest, DeviceAccessesAreCutIntoNaturallyAlignedPieces) {
  uint64_t value = 0x8877665544332211;
  physical_->write(kDevice + 1, &value, sizeof(value));
  EXPECT_EQ(device_.writes, (std::vector<RecordingDevice::Access>{
                                {1, 1, 0x11}, {2, 2, 0x3322}, {4, 4, 0x77665544}, {8, 1, 0x88}}));
  device_.writes.clear();
  physical_->write(kDevice + 8, &value, sizeof(value));
  EXPECT_EQ(device_.writes,
            (std::vector<RecordingDevice::Access>{{8, 4, 0x44332211}, {12, 4, 0x88776655}}));
}

TEST_F(PhysicalMemoryTest, AnAccessFromRamIntoADeviceIsDividedAtThePage) {
  uint32_t value = 0x44332211;
  physical_->write(GuestPhysical(kDevice.value() - 2), &value, sizeof(value));
  EXPECT_EQ(ram32(kDevice.value() - 4), 0x22110000U);
  EXPECT_EQ(device_.writes, (std::vector<RecordingDevice::Access>{{0, 2, 0x4433}}));
}

TEST_F(PhysicalMemoryTest, RamIsWholePagesInsideItsSize) {
  EXPECT_TRUE(physical_->is_ram(GuestPhysicalPage(0)));
  EXPECT_TRUE(physical_->is_ram(GuestPhysicalPage(kRamBytes / kPageSize - 1)));
  EXPECT_FALSE(physical_->is_ram(GuestPhysicalPage(kRamBytes / kPageSize)));
  EXPECT_FALSE(physical_->is_ram(GuestPhysicalPage(0xffffff)));
}

TEST_F(PhysicalMemoryTest, TheObserverHearsOfWritesToWatchedPagesOnlyAndPageByPage) {
  RecordingObserver observer{GuestPhysicalPage(2)};
  physical_->set_observer(&observer);
  uint64_t value = 1;
  physical_->write(GuestPhysical(0x1000), &value, sizeof(value));
  EXPECT_TRUE(observer.addresses.empty());
  physical_->write(GuestPhysical(0x2010), &value, 2);
  physical_->write(GuestPhysical(0x1ffd), &value, sizeof(value));
  EXPECT_EQ(observer.addresses,
            (std::vector<GuestPhysical>{GuestPhysical(0x2010), GuestPhysical(0x2000)}));
  EXPECT_EQ(observer.lengths, (std::vector<uint32_t>{2, 5}));
}

TEST_F(PhysicalMemoryTest, ReadsAreNotReportedAndEntryBitsWithoutALength) {
  RecordingObserver observer{GuestPhysicalPage(2)};
  physical_->set_observer(&observer);
  uint32_t value = 0;
  physical_->read(GuestPhysical(0x2000), &value, sizeof(value));
  EXPECT_TRUE(observer.addresses.empty());
  physical_->set_entry_bits(GuestPhysical(0x2010), 0x20);
  physical_->set_entry_bits(GuestPhysical(0x1010), 0x20);
  EXPECT_EQ(observer.addresses, std::vector<GuestPhysical>{GuestPhysical(0x2010)});
  EXPECT_EQ(observer.lengths, std::vector<uint32_t>{0});
  EXPECT_EQ(ram32(0x2010), 0x20U);
}

TEST_F(PhysicalMemoryTest, MaskedA20FoldsTheSecondMebibyteOntoTheFirst) {
  uint32_t value = 0xabcd;
  physical_->set_a20(false);
  EXPECT_FALSE(physical_->a20());
  physical_->write(GuestPhysical(0x100010), &value, sizeof(value));
  EXPECT_EQ(ram32(0x10), 0xabcdU);
  EXPECT_EQ(ram32(0x100010), 0U);
  EXPECT_EQ(physical_->read_entry32(GuestPhysical(0x100010)), 0xabcdU);
  physical_->set_a20(true);
  EXPECT_EQ(physical_->read_entry32(GuestPhysical(0x100010)), 0U);
}

TEST_F(PhysicalMemoryTest, MaskedA20AppliesToTheObserversAddressToo) {
  RecordingObserver observer{GuestPhysicalPage(0)};
  physical_->set_observer(&observer);
  physical_->set_a20(false);
  uint8_t value = 1;
  physical_->write(GuestPhysical(0x100020), &value, 1);
  EXPECT_EQ(observer.addresses, (std::vector<GuestPhysical>{GuestPhysical(0x20)}));
}

TEST_F(PhysicalMemoryTest, PageTableEntriesOutsideRamAreAllOnes) {
  EXPECT_EQ(physical_->read_entry32(GuestPhysical(kRamBytes)), ~uint32_t{0});
  EXPECT_EQ(physical_->read_entry64(GuestPhysical(0xffffffff8)), ~uint64_t{0});
  EXPECT_EQ(physical_->read_entry64(kDevice), ~uint64_t{0});
  physical_->set_entry_bits(GuestPhysical(kRamBytes), 0x20);
  physical_->set_entry_bits(kDevice, 0x20);
  EXPECT_TRUE(device_.reads.empty() && device_.writes.empty());
}

TEST_F(PhysicalMemoryTest, EntryBitsAreAddedToThoseThatAreThere) {
  set_ram32(0x3000, 0x80000007);
  set_ram32(0x3004, 0x80000000);
  physical_->set_entry_bits(GuestPhysical(0x3000), 0x60);
  EXPECT_EQ(physical_->read_entry64(GuestPhysical(0x3000)), 0x8000000080000067U);
}

// Remembers what has moved.
class MovesObserver final : public WriteObserver {
 public:
  [[nodiscard]] bool watches(GuestPhysicalPage) const override { return false; }
  void on_write(GuestPhysical, uint32_t) override {}
  void on_moved(const PageRange& pages, Backing now) override {
    moved.push_back({pages.first.number(), now});
  }
  struct Move {
    uint64_t first;
    Backing now;
    bool operator==(const Move&) const = default;
  };
  std::vector<Move> moved;
};

class SharedPhysicalMemoryTest : public MemoryFixture {
 protected:
  SharedPhysicalMemoryTest() {
    for (uint32_t page = 0; page < 32; ++page) set_ram32(page * kPageSize, 0x100 + page);
    base_.put_under(*ram_);
    physical_->set_observer(&observer_);
  }
  // `write` makes one copy, of the grain that the page is in, and reaches it.
  void expect_copy(uint32_t page, const std::function<void(GuestPhysical)>& write) {
    observer_.moved.clear();
    ASSERT_TRUE(ram_->is_shared(GuestPhysicalPage(page)));
    const GuestPhysical address = GuestPhysicalPage(page).address();
    write(address);
    const uint64_t first = page / SharedBase::kGrainPages * SharedBase::kGrainPages;
    EXPECT_EQ(observer_.moved, (std::vector<MovesObserver::Move>{{first, Backing::Own}}));
    EXPECT_NE(ram32(static_cast<uint32_t>(address.value())), 0x100 + page);
    EXPECT_EQ(base_.byte_at(address.value()), static_cast<uint8_t>(page));
    EXPECT_EQ(ram32((page ^ 1U) * kPageSize), 0x100 + (page ^ 1U)) << "the rest is as it was";
  }
  MovesObserver observer_;
  SharedBase base_;
};

TEST_F(SharedPhysicalMemoryTest, EveryWayToWriteMakesACopyFirst) {
  const uint32_t value = 0x99999999;
  expect_copy(1, [&](GuestPhysical at) { physical_->write(at, &value, sizeof(value)); });
  expect_copy(5, [&](GuestPhysical at) {
    physical_->write_ram(at.value(), {reinterpret_cast<const uint8_t*>(&value), sizeof(value)});
  });
  expect_copy(9, [&](GuestPhysical at) { physical_->set_entry_bits(at, 0x60); });
  expect_copy(
      13, [&](GuestPhysical at) { *physical_->writable_page(GuestPhysicalPage::of(at)) = 0x99; });
  expect_copy(17, [&](GuestPhysical at) {
    EXPECT_FALSE(physical_->may_write_unseen(GuestPhysicalPage::of(at)));
    EXPECT_TRUE(physical_->will_write(GuestPhysicalPage::of(at)));
    EXPECT_FALSE(physical_->will_write(GuestPhysicalPage::of(at)));
    EXPECT_TRUE(physical_->may_write_unseen(GuestPhysicalPage::of(at)));
    *ram_->at(at) = 0x99;
  });
}

TEST_F(SharedPhysicalMemoryTest, ReadsCopyNothing) {
  uint32_t value = 0;
  physical_->read(GuestPhysical(0x3000), &value, sizeof(value));
  EXPECT_EQ(value, 0x103U);
  EXPECT_EQ(physical_->read_entry32(GuestPhysical(0x4000)), 0x104U);
  EXPECT_EQ(*physical_->readable_page(GuestPhysicalPage(5)), 5);
  EXPECT_TRUE(observer_.moved.empty());
}

TEST_F(SharedPhysicalMemoryTest, AWriteOverTwoGrainsCopiesBoth) {
  const std::vector<uint8_t> bytes(2 * kPageSize, 0x99);
  physical_->write_ram(0x3800, bytes);
  EXPECT_EQ(observer_.moved,
            (std::vector<MovesObserver::Move>{{0, Backing::Own}, {4, Backing::Own}}));
}

TEST_F(SharedPhysicalMemoryTest, WhatIsFlippedTwiceIsSharedAgainUnlessItWasWritten) {
  physical_->flip_backing(GuestPhysicalPage(2));
  physical_->flip_backing(GuestPhysicalPage(1));
  EXPECT_EQ(observer_.moved,
            (std::vector<MovesObserver::Move>{{0, Backing::Own}, {0, Backing::Base}}));
  const uint8_t value = 1;
  physical_->write(GuestPhysical(0), &value, 1);
  observer_.moved.clear();
  physical_->flip_backing(GuestPhysicalPage(2));
  EXPECT_TRUE(observer_.moved.empty());
}

}  // namespace
}  // namespace ringshift
