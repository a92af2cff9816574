#include "shadowmmu/guest_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shadowmmu/host_mapping.h"
#include "tests/support/shared_base.h"

namespace ringshift {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

TEST(GuestMemory, NewRamIsAllZero) {
  std::string error;
  auto memory = GuestMemory::create(kMebibyte, &error);
  ASSERT_NE(memory, nullptr) << error;
  for (uint8_t byte : memory->span(GuestPhysical(0), kMebibyte)) ASSERT_EQ(byte, 0);
}

TEST(GuestMemory, ClearedRamIsAllZeroInEveryMappingAndTakesNothingFromTheHost) {
  std::string error;
  auto memory = GuestMemory::create(kMebibyte, &error);
  ASSERT_NE(memory, nullptr) << error;
  HostAddress second;
  ASSERT_TRUE(map_shared(memory->descriptor(), 0, kMebibyte, HostAccess::Read, &second).ok());
  for (uint8_t& byte : memory->span(GuestPhysical(0), kMebibyte)) byte = 0x5a;
  ASSERT_TRUE(memory->clear());
  struct stat status {};
  ASSERT_EQ(fstat(memory->descriptor(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(second.value())[kMebibyte - 1], 0);
  for (uint8_t byte : memory->span(GuestPhysical(0), kMebibyte)) ASSERT_EQ(byte, 0);
  EXPECT_TRUE(release(second, kMebibyte).ok());
}

// Memory given by the host stays given, whatever empties it.
TEST(GuestMemory, ReservedRamKeepsItsMemory) {
  constexpr uint64_t kReserved = 5 * kPageSize, kBlock = 512;
  std::string error;
  auto memory = GuestMemory::create(kMebibyte, &error);
  ASSERT_NE(memory, nullptr) << error;
  ASSERT_TRUE(memory->reserve(kReserved).ok());
  const auto taken = [&] {
    struct stat status {};
    EXPECT_EQ(fstat(memory->descriptor(), &status), 0);
    return static_cast<uint64_t>(status.st_blocks) * kBlock;
  };
  EXPECT_EQ(taken(), kReserved);
  for (uint8_t& byte : memory->span(GuestPhysical(0), kMebibyte)) byte = 0x5a;
  ASSERT_TRUE(memory->empty(3 * kPageSize, 4 * kPageSize).ok());
  EXPECT_EQ(taken(), kMebibyte - 2 * kPageSize);
  EXPECT_EQ(*memory->at(GuestPhysical(3 * kPageSize - 1)), 0x5a);
  EXPECT_EQ(*memory->at(GuestPhysical(3 * kPageSize)), 0);
  EXPECT_EQ(*memory->at(GuestPhysical(7 * kPageSize - 1)), 0);
  EXPECT_EQ(*memory->at(GuestPhysical(7 * kPageSize)), 0x5a);
  ASSERT_TRUE(memory->clear());
  EXPECT_EQ(taken(), kReserved);
  for (uint8_t byte : memory->span(GuestPhysical(0), kMebibyte)) ASSERT_EQ(byte, 0);
}

TEST(GuestMemory, ASecondMappingOfItsDescriptorShowsTheSameBytes) {
  std::string error;
  auto memory = GuestMemory::create(kMebibyte, &error);
  ASSERT_NE(memory, nullptr) << error;
  HostAddress second;
  ASSERT_TRUE(map_shared(memory->descriptor(), 0x2000, kPageSize, HostAccess::Read, &second).ok());
  *memory->at(GuestPhysical(0x2005)) = 0x5a;
  EXPECT_EQ(reinterpret_cast<const uint8_t*>(second.value())[5], 0x5a);
  EXPECT_TRUE(release(second, kPageSize).ok());
}

TEST(GuestMemory, ContainsAcceptsTheLastByteAndRefusesTheNext) {
  std::string error;
  auto memory = GuestMemory::create(kMebibyte, &error);
  ASSERT_NE(memory, nullptr) << error;
  EXPECT_TRUE(memory->contains(GuestPhysical(kMebibyte - 1), 1));
  EXPECT_TRUE(memory->contains(GuestPhysical(kMebibyte), 0));
  EXPECT_FALSE(memory->contains(GuestPhysical(kMebibyte - 1), 2));
  EXPECT_FALSE(memory->contains(GuestPhysical(kMebibyte), 1));
  EXPECT_FALSE(memory->contains(GuestPhysical(~uint64_t{0}), 2));
}

TEST(GuestMemory, SizeThatIsNoWholeNumberOfPagesIsRefusedInOneLine) {
  std::string error;
  EXPECT_EQ(GuestMemory::create(kMebibyte + 1, &error), nullptr);
  EXPECT_NE(error.find("multiple of 4096"), std::string::npos);
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_EQ(GuestMemory::create(0, &error), nullptr);
}

TEST(GuestMemory, SizeBeyondTheHostsAddressSpaceIsRefusedWithTheHostsReason) {
  std::string error;
  EXPECT_EQ(GuestMemory::create(uint64_t{1} << 62, &error), nullptr);
  EXPECT_FALSE(error.empty());
}

class GuestMemoryBase : public ::testing::Test {
 protected:
  GuestMemoryBase() : ram_(GuestMemory::create(kMebibyte, &error_)) {
    for (const uint64_t at : {0x5000U, 0x8000U}) *ram_->at(GuestPhysical(at)) = 0x5a;
    base_.put_under(*ram_);
  }
  [[nodiscard]] uint64_t blocks() const {
    struct stat status {};
    EXPECT_EQ(fstat(ram_->descriptor(), &status), 0);
    return static_cast<uint64_t>(status.st_blocks);
  }
  std::string error_;
  std::unique_ptr<GuestMemory> ram_;
  SharedBase base_;
};

TEST_F(GuestMemoryBase, ShowsTheFileAndTakesNothing) {
  EXPECT_EQ(*ram_->at(GuestPhysical(0x5000)), 0x5a);
  EXPECT_EQ(*ram_->at(GuestPhysical(0x5001)), 0);
  EXPECT_TRUE(ram_->is_shared(GuestPhysicalPage(7)));
  EXPECT_FALSE(ram_->is_shared(GuestPhysicalPage(3))) << "zeros are no base's";
  EXPECT_EQ(blocks(), 0U);
  *ram_->at(GuestPhysical(0x3000)) = 1;  // zeros are written without a copy
}

TEST_F(GuestMemoryBase, ACopyIsWrittenAndTheFileIsNot) {
  PageRange moved;
  ASSERT_TRUE(ram_->make_own(GuestPhysicalPage(5), &moved).ok());
  EXPECT_EQ(moved.first, GuestPhysicalPage(4));
  EXPECT_EQ(moved.pages, SharedBase::kGrainPages);
  EXPECT_FALSE(ram_->is_shared(GuestPhysicalPage(4)));
  EXPECT_TRUE(ram_->is_shared(GuestPhysicalPage(8)));
  EXPECT_EQ(blocks(), kPageSize / 512) << "pages of zeros are not copied";
  uint8_t* byte = ram_->at(GuestPhysical(0x5000));
  EXPECT_EQ(*byte, 0x5a);
  *byte = 0x77;
  EXPECT_EQ(base_.byte_at(0x5000), 0x5a);
}

TEST_F(GuestMemoryBase, WhatIsStillAsTheBaseMayBeSharedAgain) {
  PageRange moved;
  ASSERT_TRUE(ram_->make_own(GuestPhysicalPage(5), &moved).ok());
  EXPECT_TRUE(ram_->is_as_base(GuestPhysicalPage(5)));
  *ram_->at(GuestPhysical(0x6000)) = 1;
  EXPECT_FALSE(ram_->is_as_base(GuestPhysicalPage(5)));
  *ram_->at(GuestPhysical(0x6000)) = 0;
  ASSERT_TRUE(ram_->make_shared(GuestPhysicalPage(5), &moved).ok());
  EXPECT_TRUE(ram_->is_shared(GuestPhysicalPage(5)));
  EXPECT_EQ(*ram_->at(GuestPhysical(0x5000)), 0x5a);
  EXPECT_EQ(blocks(), 0U);
  EXPECT_FALSE(ram_->is_as_base(GuestPhysicalPage(3))) << "the base has no such page";
}

TEST_F(GuestMemoryBase, WhatIsInUseIsKnownWithoutTouchingIt) {
  *ram_->at(GuestPhysical(0xf0000)) = 1;
  const std::vector<bool> used = ram_->parts_in_use(0x10000);
  ASSERT_EQ(used.size(), 16U);
  for (size_t part = 0; part < used.size(); ++part) EXPECT_EQ(used[part], part == 0 || part == 15);
  EXPECT_EQ(blocks(), kPageSize / 512);
}

TEST_F(GuestMemoryBase, ClearedItHasNoBase) {
  PageRange moved;
  ASSERT_TRUE(ram_->make_own(GuestPhysicalPage(5), &moved).ok());
  ASSERT_TRUE(ram_->clear());
  EXPECT_EQ(ram_->machine_pages(), nullptr);
  for (uint8_t& byte : ram_->span(GuestPhysical(0), kMebibyte)) {
    ASSERT_EQ(byte, 0);
    byte = 1;
  }
}

TEST_F(GuestMemoryBase, AFileThatHasEndedIsAnAnswer) {
  ASSERT_EQ(ftruncate(base_.descriptor(), kPageSize), 0);
  PageRange moved;
  EXPECT_FALSE(ram_->make_own(GuestPhysicalPage(5), &moved).ok());
}

}  // namespace
}  // namespace ringshift
