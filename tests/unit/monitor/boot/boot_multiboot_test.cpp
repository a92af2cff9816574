#include "monitor/boot/boot_multiboot.h"

#include "tests/unit/monitor/boot/boot_test_support.h"

namespace ringshift::boot_test {
namespace {

using BootMultiboot = BootTest;

// The ELF kernel with the header's video fields.
Bytes multiboot_that_wants(uint32_t type, uint32_t width, uint32_t height, uint32_t depth) {
  Bytes image = multiboot_elf();
  put_multiboot_header(image, 0x200, 0x7);
  size_t at = 0x200 + 32;
  for (const uint32_t field : {type, width, height, depth}) {
    put32(image, at, field);
    at += 4;
  }
  return image;
}

TEST_F(BootMultiboot, ElfSegmentGoesToItsPhysicalAddress) {
  const Bytes image = multiboot_elf();
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(std::memcmp(memory_->at(GuestPhysical(0x100000)), image.data() + 0x200, 0x200), 0);
}

TEST_F(BootMultiboot, BssIsZeroed) {
  std::memset(memory_->at(GuestPhysical(0x100000)), 0xff, 0x2000);
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  EXPECT_EQ(ram8(0x100200), 0);
  EXPECT_EQ(ram8(0x100fff), 0);
  EXPECT_EQ(ram8(0x101000), 0xff);
}

TEST_F(BootMultiboot, EntryIsCarriedFromLinkToPhysicalAddress) {
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  EXPECT_EQ(state_.eip, 0x100010U);
}

TEST_F(BootMultiboot, PhysicalEntryIsTakenAsItIs) {
  Bytes image = multiboot_elf();
  put32(image, 24, 0x100020);
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(state_.eip, 0x100020U);
}

TEST_F(BootMultiboot, EntryStateIsTheSpecifications) {
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  EXPECT_EQ(state_.reg(Gpr::Eax), 0x2badb002U);
  EXPECT_EQ(state_.cr0, kCr0Pe | kCr0Et);
  EXPECT_EQ(state_.eflags, kFlagReservedOne);
  EXPECT_TRUE(state_.seg(SegmentRegister::Cs).is_code());
  EXPECT_EQ(state_.seg(SegmentRegister::Cs).limit, 0xffffffffU);
  EXPECT_TRUE(state_.seg(SegmentRegister::Ds).is_writable_data());
}

TEST_F(BootMultiboot, InformationHasMemoryAndCommandLine) {
  request_.command_line = "root=device:hd0s1";
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  const uint64_t info = state_.reg(Gpr::Ebx);
  EXPECT_EQ(ram32(info) & 0x4dU, 0x4dU);
  EXPECT_EQ(ram32(info + 4), 639U);
  EXPECT_EQ(ram32(info + 8), (kRam - 0x100000) / 1024);
  EXPECT_EQ(ram_string(ram32(info + 16)), request_.kernel_path + " root=device:hd0s1");
  EXPECT_EQ(ram_string(ram32(info + 64)), "ringshift");
}

TEST_F(BootMultiboot, MemoryMapEntriesCarryTheirSize) {
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  const uint64_t info = state_.reg(Gpr::Ebx);
  const uint64_t map = ram32(info + 48);
  ASSERT_EQ(ram32(info + 44), 4U * 24U);
  EXPECT_EQ(ram32(map), 20U);
  EXPECT_EQ(ram64(map + 4), 0U);
  EXPECT_EQ(ram64(map + 12), 0x9fc00U);
  EXPECT_EQ(ram32(map + 20), 1U);
  EXPECT_EQ(ram64(map + 3 * 24 + 4), 0x100000U);
  EXPECT_EQ(ram64(map + 3 * 24 + 12), kRam - 0x100000);
}

TEST_F(BootMultiboot, CommandLineIsTheImagesNameIfThereIsNoOther) {
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  EXPECT_EQ(ram_string(ram32(state_.reg(Gpr::Ebx) + 16)), request_.kernel_path);
}

TEST_F(BootMultiboot, EmptyModulesAreThereAndHaveNoBytes) {
  request_.modules = {{file("none", {}), "a"}, {file("one", {7}), "b"}, {file("last", {}), ""}};
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  const uint64_t info = state_.reg(Gpr::Ebx);
  const uint64_t table = ram32(info + 24);
  ASSERT_EQ(ram32(info + 20), 3U);
  EXPECT_EQ(ram32(table), 0x101000U);
  EXPECT_EQ(ram32(table + 4), 0x101000U);
  EXPECT_EQ(ram_string(ram32(table + 8)), "a");
  EXPECT_EQ(ram32(table + 16), 0x101000U);
  EXPECT_EQ(ram32(table + 20), 0x101001U);
  EXPECT_EQ(ram32(table + 32), 0x102000U);
  EXPECT_EQ(ram32(table + 36), 0x102000U);
}

TEST_F(BootMultiboot, SegmentsMayLieBelowOneMebibyteWhereNothingElseIs) {
  for (const uint32_t good : {0x500U, 0x10000U, 0x7f000U, 0x90000U, 0xc0000U, 0xef000U, 0xff000U}) {
    Bytes image = multiboot_elf();
    put32(image, 52 + 12, good);
    const BootResult result = boot(image);
    EXPECT_TRUE(result.ok) << result.error;
    EXPECT_EQ(state_.eip, good + 0x10);
  }
  for (const uint32_t bad : {0x0U, 0x4ffU, 0x7f001U, 0x80000U, 0x8ffffU, 0x9f000U, 0xa0000U,
                             0xbffffU, 0xef001U, 0xf7fffU}) {
    Bytes image = multiboot_elf();
    put32(image, 52 + 12, bad);
    expect_refused(image, "are not free");
  }
}

TEST_F(BootMultiboot, GraphicsThatTheHeaderWantsAreSetAndTold) {
  VideoMode asked;
  request_.show = [&](const VideoMode& mode) {
    asked = mode;
    return std::optional(LinearFrameBuffer{0xfd000000, {800, 600, 16}, 1600});
  };
  const BootResult result = boot(multiboot_that_wants(0, 800, 600, 16));
  ASSERT_TRUE(result.ok);
  EXPECT_TRUE(result.notice.empty());
  EXPECT_EQ(asked.width, 800U);
  EXPECT_EQ(asked.height, 600U);
  EXPECT_EQ(asked.bits, 16U);
  const uint64_t info = state_.reg(Gpr::Ebx);
  EXPECT_EQ(ram32(info) & 0x1800U, 0x1800U);
  EXPECT_EQ(ram64(info + 88), 0xfd000000U);
  EXPECT_EQ(ram32(info + 96), 1600U);
  EXPECT_EQ(ram32(info + 100), 800U);
  EXPECT_EQ(ram32(info + 104), 600U);
  EXPECT_EQ(ram16(info + 108), 0x0110);       // bits; direct colour
  EXPECT_EQ(ram32(info + 110), 0x0605050bU);  // red at 11, 5 bits; green at 5, 6 bits
  EXPECT_EQ(ram16(info + 114), 0x0500);
  const uint64_t control = ram32(info + 72), mode = ram32(info + 76);
  EXPECT_EQ(ram_string(control).substr(0, 4), "VESA");
  EXPECT_EQ(ram16(control + 18), 256U);
  EXPECT_EQ(ram16(mode + 18), 800U);
  EXPECT_EQ(ram8(mode + 25), 16U);
  EXPECT_EQ(ram8(mode + 27), 6U);
  EXPECT_EQ(ram32(mode + 31), 0x05060b05U);
  EXPECT_EQ(ram32(mode + 40), 0xfd000000U);
  const uint64_t modes = ram16(control + 14) + ram16(control + 16) * 16U;
  EXPECT_EQ(ram16(modes) | 0x4000, ram16(info + 80));
  EXPECT_EQ(ram16(modes + 2), 0xffff);
}

TEST_F(BootMultiboot, GraphicsThatThereAreNotAreSaidAndTheScreenIsText) {
  for (const bool has_display : {false, true}) {
    request_.show = nullptr;
    if (has_display) {
      request_.show = [](const VideoMode&) { return std::optional<LinearFrameBuffer>(); };
    }
    const BootResult result = boot(multiboot_that_wants(0, 9000, 600, 32));
    ASSERT_TRUE(result.ok);
    EXPECT_EQ(result.notice.find(request_.kernel_path + ": asks for graphics of 9000 x 600"), 0U);
    EXPECT_EQ(result.notice.find('\n'), std::string::npos);
    const uint64_t info = state_.reg(Gpr::Ebx);
    EXPECT_EQ(ram32(info) & 0x1800U, 0x1000U);
    EXPECT_EQ(ram64(info + 88), 0xb8000U);
  }
}

TEST_F(BootMultiboot, TextThatTheHeaderWantsIsThere) {
  request_.show = [](const VideoMode&) -> std::optional<LinearFrameBuffer> {
    ADD_FAILURE() << "nobody asked";
    return std::nullopt;
  };
  const BootResult result = boot(multiboot_that_wants(1, 80, 25, 0));
  ASSERT_TRUE(result.ok);
  EXPECT_TRUE(result.notice.empty());
  EXPECT_EQ(ram64(state_.reg(Gpr::Ebx) + 88), 0xb8000U);
}

TEST_F(BootMultiboot, FramebufferIsToldToBeText) {
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  const uint64_t info = state_.reg(Gpr::Ebx);
  EXPECT_NE(ram32(info) & (1U << 12), 0U);
  EXPECT_EQ(ram64(info + 88), 0xb8000U);
  EXPECT_EQ(ram8(info + 109), 2);
}

TEST_F(BootMultiboot, ModulesFollowTheKernelOnPages) {
  request_.modules = {{file("first", Bytes(0x1001, 0x11)), "first argument"},
                      {file("second", Bytes(1, 0x22)), "second"}};
  ASSERT_TRUE(boot(multiboot_elf()).ok);
  const uint64_t info = state_.reg(Gpr::Ebx);
  const uint64_t table = ram32(info + 24);
  ASSERT_EQ(ram32(info + 20), 2U);
  EXPECT_EQ(ram32(table), 0x101000U);
  EXPECT_EQ(ram32(table + 4), 0x102001U);
  EXPECT_EQ(ram_string(ram32(table + 8)), "first argument");
  EXPECT_EQ(ram32(table + 16), 0x103000U);
  EXPECT_EQ(ram_string(ram32(table + 24)), "second");
  EXPECT_EQ(ram8(0x102000), 0x11);
  EXPECT_EQ(ram8(0x103000), 0x22);
}

TEST_F(BootMultiboot, ModuleThatDoesNotFitIsNamed) {
  request_.modules = {{file("module", {0}), ""}};
  ASSERT_EQ(truncate(request_.modules[0].path.c_str(), kRam - 0x100000), 0);
  expect_failure(boot(multiboot_elf()), request_.modules[0].path, "does not fit");
}

TEST_F(BootMultiboot, MissingModuleIsNamed) {
  request_.modules = {{folder_ + "/no-module", ""}};
  expect_failure(boot(multiboot_elf()), request_.modules[0].path, "No such file");
}

TEST_F(BootMultiboot, TooLongCommandLineIsRefused) {
  request_.command_line = std::string(0x10000, 'x');
  expect_refused(multiboot_elf(), "command line is too long");
}

TEST_F(BootMultiboot, TooLongModuleCommandLinesAreRefused) {
  request_.modules = {{file("module", {1}), std::string(0x10000, 'x')}};
  const BootResult result = boot(multiboot_elf());
  EXPECT_FALSE(result.ok);
  EXPECT_NE(result.error.find("too many or too long"), std::string::npos);
}

TEST_F(BootMultiboot, InitrdIsRefused) {
  request_.initrd_path = "anything";
  expect_refused(multiboot_elf(), "takes modules and no initrd");
}

TEST_F(BootMultiboot, UnknownDemandIsRefused) {
  Bytes image = multiboot_elf();
  put_multiboot_header(image, 0x200, 0x9);
  expect_refused(image, "demands something unknown");
}

TEST_F(BootMultiboot, WrongChecksumIsNoHeader) {
  Bytes image = multiboot_elf();
  image[0x208] ^= 1;
  expect_refused(image, "is an ELF file without a Multiboot header");
}

TEST_F(BootMultiboot, HeaderInTheLastPlaceIsFound) {
  Bytes image = multiboot_flat();
  image.resize(8192 + 0x100);
  put32(image, 0x40, 0);
  constexpr size_t kLast = 8192 - 12;
  put_multiboot_header(image, kLast, 0x10000);
  put32(image, kLast + 12, 0x200000 + kLast);
  put32(image, kLast + 16, 0x200000);
  put32(image, kLast + 28, 0x200000);
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(state_.eip, 0x200000U);
}

TEST_F(BootMultiboot, HeaderBehindTheFirst8KibIsNotFound) {
  Bytes image(8192 + 0x100);
  put_multiboot_header(image, 8192 - 8, 0x10000);
  expect_refused(image, "neither a Linux bzImage nor Multiboot");
}

TEST_F(BootMultiboot, AddressFieldsPlaceTheImage) {
  std::memset(memory_->at(GuestPhysical(0x200000)), 0xff, 0x3000);
  ASSERT_TRUE(boot(multiboot_flat()).ok);
  EXPECT_EQ(state_.eip, 0x200080U);
  EXPECT_EQ(ram32(0x200040), 0x1badb002U);
  EXPECT_EQ(ram8(0x2001ff), 0x90);
  EXPECT_EQ(ram8(0x200200), 0);
  EXPECT_EQ(ram8(0x201fff), 0);
  EXPECT_EQ(ram8(0x202000), 0xff);
}

TEST_F(BootMultiboot, LoadEndOfZeroMeansTheWholeFile) {
  Bytes image = multiboot_flat();
  put32(image, 0x40 + 20, 0);
  put32(image, 0x40 + 24, 0);
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(ram8(0x2002ff), 0x90);
}

TEST_F(BootMultiboot, ImpossibleAddressFieldsAreRefused) {
  Bytes image = multiboot_flat();
  put32(image, 0x40 + 12, 0x1fffff);
  expect_refused(image, "has a Multiboot header with load address");
  put32(image, 0x40 + 12, 0x200044);
  expect_refused(image, "has a Multiboot header with load address");
}

TEST_F(BootMultiboot, LoadEndPastTheFileIsRefused) {
  Bytes image = multiboot_flat();
  put32(image, 0x40 + 20, 0x200301);
  expect_refused(image, "is truncated");
}

TEST_F(BootMultiboot, LoadEndBeforeTheStartIsRefused) {
  Bytes image = multiboot_flat();
  put32(image, 0x40 + 20, 0x1fffff);
  expect_refused(image, "whose load end is before its start");
}

TEST_F(BootMultiboot, EntryOutsideTheFlatImageIsRefused) {
  Bytes image = multiboot_flat();
  put32(image, 0x40 + 28, 0x202000);
  expect_refused(image, "has its entry point (0x202000) outside the image");
}

TEST_F(BootMultiboot, EntryOutsideTheSegmentsIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 24, 0x101000);
  expect_refused(image, "has its entry point (0x101000) outside its segments");
}

TEST_F(BootMultiboot, SegmentOverTheInformationIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 12, 0x7ffff);
  expect_refused(image, "are not free");
}

TEST_F(BootMultiboot, SegmentOverTheVgaMemoryIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 12, 0xb8000);
  expect_refused(image, "are not free");
}

TEST_F(BootMultiboot, SegmentInConventionalMemoryIsLoaded) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 12, 0x10000);
  ASSERT_TRUE(boot(image).ok);
  EXPECT_EQ(ram32(0x10000), 0x1badb002U);
}

TEST_F(BootMultiboot, SegmentPastTheEndOfMemoryIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 20, static_cast<uint32_t>(kRam));
  expect_refused(image, "are not free in 32 MiB");
}

TEST_F(BootMultiboot, SegmentAtTheEndOfTheAddressSpaceIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 12, 0xfffff000);
  put32(image, 52 + 20, 0xffffffff);
  expect_refused(image, "are not free");
}

TEST_F(BootMultiboot, SegmentLargerInTheFileIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 20, 0x1ff);
  expect_refused(image, "larger in the file than in memory");
}

TEST_F(BootMultiboot, SegmentPastTheFileIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52 + 16, 0x201);
  expect_refused(image, "is truncated (ELF segment 0 ends past the file)");
}

TEST_F(BootMultiboot, ProgramHeadersPastTheFileAreRefused) {
  Bytes image = multiboot_elf();
  put32(image, 28, 0xfffffff0);
  expect_refused(image, "program headers outside");
}

// Two thousand segments over one another would otherwise fill memory two thousand times.
TEST_F(BootMultiboot, SegmentsThatAddUpToMoreThanMemoryAreRefused) {
  Bytes image = multiboot_elf();
  constexpr size_t kSegments = 40;
  image.resize(0x400 + kSegments * 32);
  for (size_t i = 0; i < kSegments; ++i) {
    std::copy_n(image.begin() + 52, 32, image.begin() + 0x400 + static_cast<long>(i * 32));
    put32(image, 0x400 + i * 32 + 20, 0x100000);
  }
  put32(image, 28, 0x400);
  put16(image, 44, kSegments);
  expect_refused(image, "are not free");
}

TEST_F(BootMultiboot, ElfWithNothingToLoadIsRefused) {
  Bytes image = multiboot_elf();
  put32(image, 52, 6);
  expect_refused(image, "with nothing to load");
}

}  // namespace
}  // namespace ringshift::boot_test
