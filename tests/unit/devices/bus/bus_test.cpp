#include "devices/bus/bus.h"

#include <gtest/gtest.h>

#include <vector>

#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

struct Access {
  uint64_t offset;
  AccessWidth width;
  uint32_t value;
  bool operator==(const Access&) const = default;
};

class RecordingPorts final : public PortDevice {
 public:
  uint32_t read(uint16_t offset, AccessWidth) override { return 0x44332211U >> (8 * offset); }
  void write(uint16_t offset, AccessWidth width, uint32_t value) override {
    writes.push_back({offset, width, value});
  }
  std::vector<Access> writes;
};

class RecordingMemory final : public MemoryDevice {
 public:
  uint32_t read(uint64_t offset, AccessWidth) override {
    return static_cast<uint32_t>(0x88776655U >> (8 * (offset & 3)));
  }
  void write(uint64_t offset, AccessWidth width, uint32_t value) override {
    writes.push_back({offset, width, value});
  }
  std::vector<Access> writes;
};

TEST(PortBus, OverlapInAnyFormIsRefused) {
  PortBus bus;
  RecordingPorts device;
  ASSERT_TRUE(bus.claim(0x100, 8, device, "owner"));
  EXPECT_FALSE(bus.claim(0x100, 8, device, "same"));
  EXPECT_FALSE(bus.claim(0x0ff, 2, device, "over the start"));
  EXPECT_FALSE(bus.claim(0x107, 4, device, "over the end"));
  EXPECT_FALSE(bus.claim(0x102, 1, device, "inside"));
  EXPECT_FALSE(bus.claim(0x0f0, 0x40, device, "around"));
  EXPECT_TRUE(bus.claim(0x0f8, 8, device, "just before"));
  EXPECT_TRUE(bus.claim(0x108, 8, device, "just after"));
}

TEST(PortBus, EmptyAndOverlongClaimsAreRefused) {
  PortBus bus;
  RecordingPorts device;
  EXPECT_FALSE(bus.claim(0x100, 0, device, "empty"));
  EXPECT_FALSE(bus.claim(0xffff, 2, device, "past the end"));
  EXPECT_TRUE(bus.claim(0xffff, 1, device, "last port"));
}

TEST(PortBus, UnclaimedReadIsAllOnesAndCounted) {
  PortBus bus;
  const uint64_t before = counters().io_unclaimed;
  EXPECT_EQ(bus.read(0x1234, AccessWidth::Byte), 0xffU);
  EXPECT_EQ(bus.read(0x1234, AccessWidth::Word), 0xffffU);
  EXPECT_EQ(bus.read(0x1234, AccessWidth::Dword), 0xffffffffU);
  EXPECT_EQ(counters().io_unclaimed, before + 3);
}

TEST(PortBus, ReadsAndWritesAreCounted) {
  PortBus bus;
  const Counters before = counters();
  static_cast<void>(bus.read(1, AccessWidth::Byte));
  bus.write(1, AccessWidth::Byte, 0);
  EXPECT_EQ(counters().io_port_reads, before.io_port_reads + 1);
  EXPECT_EQ(counters().io_port_writes, before.io_port_writes + 1);
}

TEST(PortBus, AccessWithinTheRangeKeepsItsWidth) {
  PortBus bus;
  RecordingPorts device;
  ASSERT_TRUE(bus.claim(0x100, 4, device, "owner"));
  EXPECT_EQ(bus.read(0x100, AccessWidth::Dword), 0x44332211U);
  bus.write(0x102, AccessWidth::Word, 0xaabbccdd);
  EXPECT_EQ(device.writes, (std::vector<Access>{{2, AccessWidth::Word, 0xccdd}}));
}

TEST(PortBus, AccessAcrossTheEndIsSplitIntoBytes) {
  PortBus bus;
  RecordingPorts device;
  ASSERT_TRUE(bus.claim(0x100, 3, device, "owner"));
  EXPECT_EQ(bus.read(0x101, AccessWidth::Dword), 0xffff3322U);
  bus.write(0x102, AccessWidth::Word, 0xbbaa);
  EXPECT_EQ(device.writes, (std::vector<Access>{{2, AccessWidth::Byte, 0xaa}}));
}

TEST(PortBus, AccessAcrossTwoOwnersReachesBoth) {
  PortBus bus;
  RecordingPorts low, high;
  ASSERT_TRUE(bus.claim(0x100, 1, low, "low"));
  ASSERT_TRUE(bus.claim(0x101, 1, high, "high"));
  bus.write(0x100, AccessWidth::Word, 0xbbaa);
  EXPECT_EQ(low.writes, (std::vector<Access>{{0, AccessWidth::Byte, 0xaa}}));
  EXPECT_EQ(high.writes, (std::vector<Access>{{0, AccessWidth::Byte, 0xbb}}));
}

TEST(PortBus, AccessPastTheLastPortDoesNotWrap) {
  PortBus bus;
  RecordingPorts zero;
  ASSERT_TRUE(bus.claim(0, 4, zero, "port 0"));
  EXPECT_EQ(bus.read(0xffff, AccessWidth::Dword), 0xffffffffU);
  bus.write(0xfffe, AccessWidth::Dword, 0);
  EXPECT_TRUE(zero.writes.empty());
}

TEST(MemoryBus, OverlapIsRefusedAndNeighboursAreNot) {
  MemoryBus bus;
  RecordingMemory device;
  ASSERT_TRUE(bus.claim(GuestPhysical(0xa0000), 0x20000, device, "owner"));
  EXPECT_FALSE(bus.claim(GuestPhysical(0x9f000), 0x2000, device, "over the start"));
  EXPECT_FALSE(bus.claim(GuestPhysical(0xbffff), 1, device, "last byte"));
  EXPECT_TRUE(bus.claim(GuestPhysical(0xc0000), 0x1000, device, "just after"));
  EXPECT_FALSE(bus.claim(GuestPhysical(~uint64_t{0}), 2, device, "wraps"));
}

TEST(MemoryBus, ClaimsTellsExactlyTheOwnedBytes) {
  MemoryBus bus;
  RecordingMemory device;
  ASSERT_TRUE(bus.claim(GuestPhysical(0x1000), 0x10, device, "owner"));
  EXPECT_FALSE(bus.claims(GuestPhysical(0xfff)));
  EXPECT_TRUE(bus.claims(GuestPhysical(0x1000)));
  EXPECT_TRUE(bus.claims(GuestPhysical(0x100f)));
  EXPECT_FALSE(bus.claims(GuestPhysical(0x1010)));
}

TEST(MemoryBus, AccessesReachTheDeviceAndAreCounted) {
  MemoryBus bus;
  RecordingMemory device;
  ASSERT_TRUE(bus.claim(GuestPhysical(0x1000), 4, device, "owner"));
  const uint64_t before = counters().io_memory_accesses;
  EXPECT_EQ(bus.read(GuestPhysical(0x1000), AccessWidth::Dword), 0x88776655U);
  EXPECT_EQ(bus.read(GuestPhysical(0x1002), AccessWidth::Dword), 0xffff8877U);
  bus.write(GuestPhysical(0x1003), AccessWidth::Word, 0xbbaa);
  EXPECT_EQ(device.writes, (std::vector<Access>{{3, AccessWidth::Byte, 0xaa}}));
  EXPECT_EQ(bus.read(GuestPhysical(0x2000), AccessWidth::Word), 0xffffU);
  EXPECT_EQ(counters().io_memory_accesses, before + 4);
}

}  // namespace
}  // namespace ringshift
