#include "monitor/boot/boot.h"

#include <sys/stat.h>

#include <random>

#include "tests/unit/monitor/boot/boot_test_support.h"

namespace ringshift::boot_test {
namespace {

using Boot = BootTest;

TEST_F(Boot, MissingFileIsNamed) {
  request_.kernel_path = folder_ + "/nothing";
  expect_failure(boot_guest(request_, *memory_, state_), request_.kernel_path,
                 "No such file or directory");
}

TEST_F(Boot, EmptyFileIsRefused) { expect_refused({}, "is empty"); }

TEST_F(Boot, DirectoryIsRefused) {
  request_.kernel_path = folder_;
  expect_failure(boot_guest(request_, *memory_, state_), folder_, "is a directory");
}

TEST_F(Boot, FifoIsRefusedWithoutWaitingForAWriter) {
  request_.kernel_path = folder_ + "/fifo";
  ASSERT_EQ(mkfifo(request_.kernel_path.c_str(), 0600), 0);
  files_.push_back(request_.kernel_path);
  expect_failure(boot_guest(request_, *memory_, state_), request_.kernel_path,
                 "is not a regular file");
}

TEST_F(Boot, FileLargerThanMemoryIsRefused) {
  request_.kernel_path = file("huge", {0});
  ASSERT_EQ(truncate(request_.kernel_path.c_str(), kRam + 1), 0);
  expect_failure(boot_guest(request_, *memory_, state_), request_.kernel_path,
                 "is larger (33 MiB) than the machine's memory (32 MiB)");
}

TEST_F(Boot, UnreadableFileIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "permissions do not hold root back";
  request_.kernel_path = file("closed", linux_image());
  ASSERT_EQ(chmod(request_.kernel_path.c_str(), 0), 0);
  expect_failure(boot_guest(request_, *memory_, state_), request_.kernel_path, "Permission denied");
}

TEST_F(Boot, TextFileIsRefused) {
  expect_refused(Bytes(1000, 'a'), "neither a Linux bzImage nor Multiboot");
}

TEST_F(Boot, OneByteFileIsRefused) {
  expect_refused({0x7f}, "neither a Linux bzImage nor Multiboot");
}

TEST_F(Boot, ElfFor64BitIsNamedAsSuch) {
  Bytes image = multiboot_elf();
  put32(image, 0x200, 0);
  image[4] = 2;
  put16(image, 18, 62);
  expect_refused(image, "is a 64-bit ELF file for x86-64");
}

TEST_F(Boot, ElfForArmIsNamedAsSuch) {
  Bytes image = multiboot_elf();
  put32(image, 0x200, 0);
  put16(image, 18, 40);
  expect_refused(image, "is a 32-bit ELF file for ARM");
}

TEST_F(Boot, BigEndianElfIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 0x200, 0);
  image[5] = 2;
  expect_refused(image, "is a big-endian ELF file");
}

TEST_F(Boot, PlainElfIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 0x200, 0);
  expect_refused(image, "is an ELF file without a Multiboot header");
}

TEST_F(Boot, Multiboot2IsNamedAsSuch) {
  Bytes image = multiboot_elf();
  put32(image, 0x200, 0xe85250d6);
  expect_refused(image, "needs Multiboot 2");
}

TEST_F(Boot, ArmZImageIsNamedAsSuch) {
  Bytes image(4096);
  put32(image, 0x24, 0x016f2818);
  expect_refused(image, "is a Linux kernel for ARM");
}

TEST_F(Boot, Arm64ImageIsNamedAsSuch) {
  Bytes image(4096);
  put32(image, 0x38, 0x644d5241);
  expect_refused(image, "is a Linux kernel for AArch64");
}

TEST_F(Boot, GzipIsNamedAsSuch) {
  expect_refused({0x1f, 0x8b, 8, 0, 0, 0, 0, 0}, "is compressed with gzip");
}

TEST_F(Boot, FailureLeavesTheStateAlone) {
  state_.eip = 0x1234;
  expect_refused(Bytes(1000, 'a'), "no kernel image");
  EXPECT_EQ(state_.eip, 0x1234U);
}

// Every mutation either boots or is refused with one line; the sanitizers watch the rest.
class BootMutation : public BootTest {
 protected:
  void mutate_many(const Bytes& original, size_t header_from, size_t header_to, uint32_t seed) {
    std::mt19937 random(seed);
    const auto below = [&random](size_t limit) { return random() % limit; };
    constexpr uint8_t kTelling[] = {0, 1, 0x7f, 0x80, 0xff};
    for (int round = 0; round < 1500; ++round) {
      Bytes image = original;
      for (size_t changes = 1 + below(4); changes > 0; --changes) {
        const size_t at = header_from + below(header_to - header_from);
        image[at] =
            below(2) == 0 ? kTelling[below(std::size(kTelling))] : static_cast<uint8_t>(random());
      }
      if (below(8) == 0) image.resize(below(image.size()) + 1);
      const BootResult result = boot(image);
      files_.pop_back();
      ASSERT_EQ(result.ok, result.error.empty()) << "seed " << seed << " round " << round;
      ASSERT_EQ(result.error.find('\n'), std::string::npos) << result.error;
      if (result.ok) {
        ASSERT_LT(state_.eip, kRam) << "seed " << seed << " round " << round;
      }
    }
    files_.push_back(request_.kernel_path);
  }
};

TEST_F(BootMutation, LinuxHeaderNeverCrashesTheLoader) {
  request_.command_line = "console=ttyS0";
  request_.initrd_path = file("initrd", Bytes(5000, 0x55));
  mutate_many(linux_image(), 0x1f1, 0x270, 1);
}

TEST_F(BootMutation, ElfHeadersNeverCrashTheLoader) {
  request_.modules = {{file("module", Bytes(5000, 0x55)), "one"}};
  mutate_many(multiboot_elf(), 4, 84, 2);
}

TEST_F(BootMutation, AddressFieldsNeverCrashTheLoader) {
  mutate_many(multiboot_flat(), 0x4c, 0x60, 3);
}

}  // namespace
}  // namespace ringshift::boot_test
