#include "shadowmmu/guest_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "shadowmmu/host_mapping.h"

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

}  // namespace
}  // namespace ringshift
