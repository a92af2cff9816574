#include "monitor/boot/boot_linux.h"

#include "tests/unit/monitor/boot/boot_test_support.h"

namespace ringshift::boot_test {
namespace {

using BootLinux = BootTest;

constexpr uint64_t kZeroPage = 0x90000;
constexpr uint64_t kPreferredEnd = 0x1200000;  // pref_address + init_size of linux_image()

TEST_F(BootLinux, PayloadGoesToOneMebibyte) {
  const Bytes image = linux_image();
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(std::memcmp(memory_->at(GuestPhysical(0x100000)), image.data() + 1024, 4096), 0);
}

TEST_F(BootLinux, ZeroSetupSectorsMeanFour) {
  Bytes image = linux_image();
  image.resize(5 * 512 + 4096);
  image[0x1f1] = 0;
  image[5 * 512] = 0xa5;
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(ram8(0x100000), 0xa5);
}

TEST_F(BootLinux, EntryStateIsTheProtocols) {
  state_.eflags = 0x202;
  state_.cr3 = 0x5000;
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(state_.eip, 0x100000U);
  EXPECT_EQ(state_.reg(Gpr::Esi), kZeroPage);
  EXPECT_EQ(state_.reg(Gpr::Ebp), 0U);
  EXPECT_EQ(state_.reg(Gpr::Edi), 0U);
  EXPECT_EQ(state_.reg(Gpr::Ebx), 0U);
  EXPECT_EQ(state_.eflags, kFlagReservedOne);
  EXPECT_EQ(state_.cr0, kCr0Pe | kCr0Et);
  EXPECT_EQ(state_.cr3, 0U);
  EXPECT_EQ(state_.cpl, 0);
}

TEST_F(BootLinux, SegmentsAreFlatAndInTheGdt) {
  ASSERT_TRUE(boot(linux_image()).ok);
  const SegmentCache& code = state_.seg(SegmentRegister::Cs);
  const SegmentCache& stack = state_.seg(SegmentRegister::Ss);
  EXPECT_EQ(code.selector, 0x10);
  EXPECT_EQ(code.limit, 0xffffffffU);
  EXPECT_TRUE(code.is_code() && code.default_32() && code.present());
  EXPECT_EQ(stack.selector, 0x18);
  EXPECT_TRUE(stack.is_writable_data() && stack.default_32());
  EXPECT_EQ(state_.gdtr.limit, 31U);
  EXPECT_EQ(ram64(state_.gdtr.base + 0x10), 0x00cf9b000000ffffULL);
  EXPECT_EQ(ram64(state_.gdtr.base + 0x18), 0x00cf93000000ffffULL);
}

TEST_F(BootLinux, SetupHeaderIsInTheZeroPage) {
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x202), 0x53726448U);
  EXPECT_EQ(ram16(kZeroPage + 0x206), 0x20f);
  EXPECT_EQ(ram8(kZeroPage + 0x210), 0xff);
  EXPECT_EQ(ram32(kZeroPage + 0x260), 0x200000U);
}

TEST_F(BootLinux, ZeroPageIsZeroWhereNothingIsSaid) {
  std::memset(memory_->at(GuestPhysical(kZeroPage)), 0xff, 4096);
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x100), 0U);
  EXPECT_EQ(ram32(kZeroPage + 0x290), 0U);
}

TEST_F(BootLinux, MemoryMapHasTheHoleBelowOneMebibyte) {
  ASSERT_TRUE(boot(linux_image()).ok);
  ASSERT_EQ(ram8(kZeroPage + 0x1e8), 4);
  const uint64_t table = kZeroPage + 0x2d0;
  EXPECT_EQ(ram64(table), 0U);
  EXPECT_EQ(ram64(table + 8), 0x9fc00U);
  EXPECT_EQ(ram32(table + 16), 1U);
  EXPECT_EQ(ram32(table + 20 + 16), 2U);
  EXPECT_EQ(ram64(table + 40), 0xf0000U);
  EXPECT_EQ(ram32(table + 40 + 16), 2U);
  EXPECT_EQ(ram64(table + 60), 0x100000U);
  EXPECT_EQ(ram64(table + 68), kRam - 0x100000);
  EXPECT_EQ(ram32(kZeroPage + 0x1e0), (kRam - 0x100000) / 1024);
}

TEST_F(BootLinux, ScreenIsVgaText) {
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram8(kZeroPage + 0x06), 3);
  EXPECT_EQ(ram8(kZeroPage + 0x07), 80);
  EXPECT_EQ(ram8(kZeroPage + 0x0e), 25);
  EXPECT_EQ(ram8(kZeroPage + 0x0f), 1);
}

TEST_F(BootLinux, CommandLineIsPassed) {
  request_.command_line = "console=ttyS0 quiet";
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram_string(ram32(kZeroPage + 0x228)), "console=ttyS0 quiet");
}

TEST_F(BootLinux, CommandLineOfTheLimitIsTaken) {
  request_.command_line = std::string(2047, 'x');
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram_string(0x20000).size(), 2047U);
}

TEST_F(BootLinux, CommandLineOverTheLimitIsRefused) {
  request_.command_line = std::string(2048, 'x');
  expect_refused(linux_image(), "takes a command line of 2047 bytes");
}

TEST_F(BootLinux, HostileCommandLineLimitIsCapped) {
  Bytes image = linux_image();
  put32(image, 0x238, 0xffffffff);
  request_.command_line = std::string(0x10000, 'x');
  expect_refused(image, "takes a command line of 65535 bytes");
}

TEST_F(BootLinux, InitrdIsHighAndPageAligned) {
  request_.initrd_path = file("initrd", Bytes(5000, 0x5a));
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x218), kRam - 0x2000);
  EXPECT_EQ(ram32(kZeroPage + 0x21c), 5000U);
  EXPECT_EQ(ram8(kRam - 0x2000), 0x5a);
  EXPECT_EQ(ram8(kRam - 0x2000 + 4999), 0x5a);
}

TEST_F(BootLinux, InitrdStaysBelowTheKernelsLimit) {
  Bytes image = linux_image();
  put32(image, 0x22c, 0x17fffff);
  request_.initrd_path = file("initrd", Bytes(5000, 0x5a));
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x218), 0x1800000U - 0x2000U);
}

TEST_F(BootLinux, WithoutInitrdTheFieldsAreZero) {
  Bytes image = linux_image();
  put32(image, 0x218, 0x12345678);
  put32(image, 0x21c, 0x1000);
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x218), 0U);
  EXPECT_EQ(ram32(kZeroPage + 0x21c), 0U);
}

TEST_F(BootLinux, InitrdThatWouldCoverTheKernelIsRefused) {
  request_.initrd_path = file("initrd", {0});
  ASSERT_EQ(truncate(request_.initrd_path.c_str(), kRam - kPreferredEnd + 1), 0);
  expect_failure(boot(linux_image()), request_.initrd_path, "does not fit above the kernel");
}

TEST_F(BootLinux, LargestInitrdIsTaken) {
  request_.initrd_path = file("initrd", {0});
  ASSERT_EQ(truncate(request_.initrd_path.c_str(), kRam - kPreferredEnd), 0);
  ASSERT_TRUE(boot(linux_image()).ok);
  EXPECT_EQ(ram32(kZeroPage + 0x218), kPreferredEnd);
}

TEST_F(BootLinux, MissingInitrdIsNamed) {
  request_.initrd_path = folder_ + "/no-initrd";
  expect_failure(boot(linux_image()), request_.initrd_path, "No such file");
}

TEST_F(BootLinux, InitrdLimitOfZeroIsRefused) {
  Bytes image = linux_image();
  put32(image, 0x22c, 0);
  request_.initrd_path = file("initrd", Bytes(5000, 0x5a));
  expect_failure(boot(image), request_.initrd_path, "does not fit above the kernel");
}

TEST_F(BootLinux, ModulesAreRefused) {
  request_.modules = {{"anything", ""}};
  expect_refused(linux_image(), "has no modules");
}

TEST_F(BootLinux, OldProtocolIsRefused) {
  Bytes image = linux_image();
  put16(image, 0x206, 0x203);
  expect_refused(image, "uses boot protocol 2.03");
}

TEST_F(BootLinux, ZImageIsRefused) {
  Bytes image = linux_image();
  image[0x211] = 0;
  expect_refused(image, "is a zImage");
}

TEST_F(BootLinux, KernelFor64BitIsRefused) {
  Bytes image = linux_image();
  put16(image, 0x236, 1);
  expect_refused(image, "is a 64-bit Linux kernel");
}

TEST_F(BootLinux, TruncatedPayloadIsRefused) {
  Bytes image = linux_image();
  image.resize(image.size() - 16);
  expect_refused(image, "is truncated (5104 bytes of 5120)");
}

TEST_F(BootLinux, FileThatEndsInTheSetupCodeIsRefused) {
  Bytes image = linux_image();
  image.resize(1024);
  expect_refused(image, "is truncated (ends in the setup code)");
}

TEST_F(BootLinux, FileThatEndsInTheHeaderIsRefused) {
  Bytes image = linux_image();
  image.resize(0x230);
  expect_refused(image, "is truncated");
}

TEST_F(BootLinux, KernelThatNeedsMoreMemoryIsRefused) {
  Bytes image = linux_image();
  put32(image, 0x260, 0x1000001);
  expect_refused(image, "needs 17 MiB at 0x1000000 to unpack itself, the machine has 32 MiB");
}

TEST_F(BootLinux, PreferredAddressThatWouldWrapIsRefused) {
  Bytes image = linux_image();
  put32(image, 0x258, 0xffffffff);
  put32(image, 0x25c, 0xffffffff);
  expect_refused(image, "to unpack itself");
}

TEST_F(BootLinux, EntryOutsideTheImageIsRefused) {
  Bytes image = linux_image();
  put32(image, 0x214, 0x101000);
  expect_refused(image, "has its entry point (0x101000) outside the image");
  put32(image, 0x214, 0xfffff);
  expect_refused(image, "has its entry point (0xfffff) outside the image");
}

}  // namespace
}  // namespace ringshift::boot_test
