#include "monitor/boot/boot.h"

#include <optional>

#include "monitor/boot/boot_elf.h"
#include "monitor/boot/boot_image.h"
#include "monitor/boot/boot_layout.h"
#include "monitor/boot/boot_linux.h"
#include "monitor/boot/boot_multiboot.h"

namespace ringshift {

namespace {

bool has_multiboot2_header(ByteView head) {
  constexpr uint32_t kMagic = 0xe85250d6;
  constexpr uint64_t kSearchBytes = 32768;
  for (uint64_t at = 0; at < kSearchBytes && head.has(at, 16); at += 8) {
    if (head.u32(at) == kMagic) return true;
  }
  return false;
}

// Describes an image that no loader takes, as far as its first bytes tell.
std::string describe_unknown(ByteView head) {
  constexpr uint32_t kArmZImage = 0x016f2818;
  constexpr uint32_t kArm64Image = 0x644d5241;
  if (is_elf(head)) {
    if (auto problem = wrong_elf_machine(head); !problem.empty()) return problem;
    if (has_multiboot2_header(head)) return "needs Multiboot 2; only Multiboot 1 is supported";
    return "is an ELF file without a Multiboot header";
  }
  if (has_multiboot2_header(head)) return "needs Multiboot 2; only Multiboot 1 is supported";
  if (head.u32(0x24) == kArmZImage) return "is a Linux kernel for ARM, this machine is an i386";
  if (head.u32(0x38) == kArm64Image)
    return "is a Linux kernel for AArch64, this machine is an i386";
  if (head.u16(0) == 0x8b1f) return "is compressed with gzip; unpack it first";
  if (head.u16(0) == 0x5a4d) return "is an EFI or DOS program, not a kernel image";
  return "is no kernel image that can be booted (neither a Linux bzImage nor Multiboot)";
}

}  // namespace

BootResult boot_guest(const BootRequest& request, GuestMemory& memory, GuestState& state) {
  if (memory.size() < kSmallestRam) {
    return BootResult::failure("the machine's memory is too small to boot anything (2 MiB needed)");
  }
  std::string error;
  const auto image = BootImage::open(request.kernel_path, memory.size(), &error);
  if (image == nullptr) return BootResult::failure(std::move(error));
  if (is_linux_image(*image)) return boot_linux(*image, request, memory, state);
  if (const auto header = find_multiboot_header(*image)) {
    return boot_multiboot(*image, *header, request, memory, state);
  }
  return BootResult::failure(request.kernel_path + ": " + describe_unknown(image->head()));
}

}  // namespace ringshift
