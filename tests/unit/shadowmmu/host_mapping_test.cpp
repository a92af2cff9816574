#include "shadowmmu/host_mapping.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace ringshift {
namespace {

constexpr size_t kGibibyte = size_t{1} << 30;

volatile uint8_t& byte_at(HostAddress address) {
  return *reinterpret_cast<volatile uint8_t*>(static_cast<uintptr_t>(address.value()));
}

// Asks the kernel to read or write one byte at `address`: it answers EFAULT where we would get
// SIGSEGV.
class Prober {
 public:
  Prober() { EXPECT_EQ(pipe(ends_.data()), 0); }
  ~Prober() {
    close(ends_[0]);
    close(ends_[1]);
  }
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;
  [[nodiscard]] bool readable(HostAddress address) const {
    uint8_t drained = 0;
    return write(ends_[1], pointer(address), 1) == 1 && read(ends_[0], &drained, 1) == 1;
  }
  // Writes the byte 1 where it can.
  [[nodiscard]] bool writable(HostAddress address) const {
    uint8_t one = 1;
    EXPECT_EQ(write(ends_[1], &one, 1), 1);
    if (read(ends_[0], pointer(address), 1) == 1) return true;
    EXPECT_EQ(read(ends_[0], &one, 1), 1);
    return false;
  }

 private:
  static void* pointer(HostAddress address) {
    return reinterpret_cast<void*>(static_cast<uintptr_t>(address.value()));
  }
  std::array<int, 2> ends_{};
};

class HostMapping : public testing::Test {
 protected:
  static constexpr size_t kFileBytes = 16 * kPageSize;
  static constexpr size_t kRegionBytes = 64 * kPageSize;

  HostMapping() {
    EXPECT_TRUE(create_memfd("test", kFileBytes, &descriptor_).ok());
    EXPECT_TRUE(map_shared(descriptor_, 0, kFileBytes, HostAccess::ReadWrite, &file_).ok());
    EXPECT_TRUE(reserve(kRegionBytes, kPageSize, &region_).ok());
  }
  ~HostMapping() override {
    EXPECT_TRUE(release(region_, kRegionBytes).ok());
    EXPECT_TRUE(release(file_, kFileBytes).ok());
    close_descriptor(descriptor_);
  }

  int descriptor_ = -1;
  HostAddress file_;
  HostAddress region_;
  Prober prober_;
};

TEST_F(HostMapping, AReservationFaultsOnEveryAccess) {
  EXPECT_FALSE(prober_.readable(region_));
  EXPECT_FALSE(prober_.writable(region_ + (kRegionBytes - 1)));
}

TEST_F(HostMapping, AFixedMappingShowsThePagesAskedForAndLeavesItsNeighboursReserved) {
  byte_at(file_ + 3 * kPageSize) = 0x33;
  byte_at(file_ + 4 * kPageSize) = 0x44;
  HostAddress at = region_ + 8 * kPageSize;
  ASSERT_TRUE(map_fixed(at, descriptor_, 3 * kPageSize, 2 * kPageSize, HostAccess::ReadWrite).ok());
  EXPECT_EQ(byte_at(at), 0x33);
  EXPECT_EQ(byte_at(at + kPageSize), 0x44);
  byte_at(at) = 0x55;
  EXPECT_EQ(byte_at(file_ + 3 * kPageSize), 0x55);
  EXPECT_FALSE(prober_.readable(at - 1));
  EXPECT_FALSE(prober_.readable(at + 2 * kPageSize));
}

TEST_F(HostMapping, AReadOnlyMappingFollowsTheFileAndRefusesWrites) {
  ASSERT_TRUE(map_fixed(region_, descriptor_, 0, kPageSize, HostAccess::Read).ok());
  byte_at(file_) = 0x66;
  EXPECT_EQ(byte_at(region_), 0x66);
  EXPECT_FALSE(prober_.writable(region_));
}

TEST_F(HostMapping, PopulatedMappingsShowTheSameBytes) {
  byte_at(file_ + kPageSize) = 0x77;
  ASSERT_TRUE(
      map_fixed(region_, descriptor_, 0, kFileBytes, HostAccess::Read, Population::Now).ok());
  EXPECT_EQ(byte_at(region_ + kPageSize), 0x77);
}

TEST_F(HostMapping, ProtectTakesAwayAndGivesBackWriting) {
  ASSERT_TRUE(map_fixed(region_, descriptor_, 0, kPageSize, HostAccess::ReadWrite).ok());
  ASSERT_TRUE(protect(region_, kPageSize, HostAccess::Read).ok());
  EXPECT_FALSE(prober_.writable(region_));
  EXPECT_TRUE(prober_.readable(region_));
  ASSERT_TRUE(protect(region_, kPageSize, HostAccess::ReadWrite).ok());
  EXPECT_TRUE(prober_.writable(region_));
  ASSERT_TRUE(protect(region_, kPageSize, HostAccess::None).ok());
  EXPECT_FALSE(prober_.readable(region_));
}

TEST_F(HostMapping, UnmappingPutsTheReservationBackAndKeepsTheFile) {
  ASSERT_TRUE(map_fixed(region_, descriptor_, 0, kPageSize, HostAccess::ReadWrite).ok());
  byte_at(region_) = 0x12;
  ASSERT_TRUE(unmap_to_reserved(region_, kPageSize).ok());
  EXPECT_FALSE(prober_.readable(region_));
  EXPECT_EQ(byte_at(file_), 0x12);
  EXPECT_EQ(reserve_at(region_, kPageSize).error(), EEXIST);
}

TEST_F(HostMapping, AMappingReplacesTheOneBeforeIt) {
  byte_at(file_) = 1;
  byte_at(file_ + kPageSize) = 2;
  ASSERT_TRUE(map_fixed(region_, descriptor_, 0, kPageSize, HostAccess::Read).ok());
  ASSERT_TRUE(map_fixed(region_, descriptor_, kPageSize, kPageSize, HostAccess::Read).ok());
  EXPECT_EQ(byte_at(region_), 2);
}

TEST_F(HostMapping, ContentsAreWhereTheHostKeepsMemory) {
  EXPECT_FALSE(has_contents(descriptor_, 0, kFileBytes));
  byte_at(file_ + 3 * kPageSize) = 1;
  EXPECT_FALSE(has_contents(descriptor_, 0, 3 * kPageSize));
  EXPECT_TRUE(has_contents(descriptor_, 0, 4 * kPageSize));
  EXPECT_TRUE(has_contents(descriptor_, 3 * kPageSize, kFileBytes));
  EXPECT_FALSE(has_contents(descriptor_, 4 * kPageSize, kFileBytes));
  const ByteRange used = next_contents(descriptor_, 0, kFileBytes);
  EXPECT_EQ(used.begin, 3 * kPageSize);
  EXPECT_EQ(used.end, 4 * kPageSize);
  EXPECT_TRUE(has_contents(-1, 0, 1));  // who cannot be asked may have some
}

TEST_F(HostMapping, TheFilesSizeIsSealed) {
  EXPECT_EQ(ftruncate(descriptor_, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(descriptor_, 2 * kFileBytes), -1);
}

TEST(HostMappingReserve, ReservationsHaveTheAlignmentAskedForAndTheirFullLength) {
  HostAddress region;
  ASSERT_TRUE(reserve(64 * kGibibyte, 4 * kGibibyte, &region).ok());
  EXPECT_EQ(region.value() % (4 * kGibibyte), 0U);
  // The whole range is ours: its last page can be mapped over, and is not free for reserve_at.
  EXPECT_EQ(reserve_at(region + (64 * kGibibyte - kPageSize), kPageSize).error(), EEXIST);
  EXPECT_TRUE(release(region, 64 * kGibibyte).ok());
}

TEST(HostMappingReserve, HeadAndTailOfAnAlignedReservationAreGivenBack) {
  HostAddress region;
  ASSERT_TRUE(reserve(kGibibyte, 4 * kGibibyte, &region).ok());
  EXPECT_TRUE(reserve_at(region + kGibibyte, kPageSize).ok());
  EXPECT_TRUE(release(region, kGibibyte + kPageSize).ok());
}

TEST(HostMappingReserve, ReleasedSpaceCanBeReservedAgainAtTheSamePlace) {
  HostAddress region;
  ASSERT_TRUE(reserve(kGibibyte, kPageSize, &region).ok());
  ASSERT_TRUE(release(region, kGibibyte).ok());
  EXPECT_TRUE(reserve_at(region, kGibibyte).ok());
  EXPECT_TRUE(release(region, kGibibyte).ok());
}

TEST(HostMappingReserve, MoreThanTheHostHasIsRefusedWithItsReason) {
  HostAddress region;
  HostResult result = reserve(size_t{1} << 60, kPageSize, &region);
  EXPECT_EQ(result.error(), ENOMEM);
  EXPECT_FALSE(result.text().empty());
}

TEST(HostMappingMemfd, ABadDescriptorIsRefusedWithTheHostsReason) {
  HostAddress mapped;
  EXPECT_EQ(map_shared(-1, 0, kPageSize, HostAccess::Read, &mapped).error(), EBADF);
}

}  // namespace
}  // namespace ringshift
