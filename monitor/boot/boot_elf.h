// Boot ELF: the loadable parts of an ELF32 file for the i386, checked against the file. Facts:
// System V ABI (gABI), chapters 4 and 5, i386 supplement. See docs/architecture.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/boot/boot_image.h"

namespace ringshift {

// Bytes [file_offset, + file_bytes) of the image go to `address`; zeros follow up to memory_bytes.
struct LoadSegment {
  uint64_t file_offset = 0;
  uint64_t file_bytes = 0;
  uint64_t address = 0;
  uint64_t memory_bytes = 0;
};

struct LoadPlan {
  std::vector<LoadSegment> segments;
  uint64_t entry = 0;  // guest-physical
};

[[nodiscard]] bool is_elf(ByteView head);

// Why this ELF file is for another machine; empty if it is an i386 one.
[[nodiscard]] std::string wrong_elf_machine(ByteView head);

// Empty on success, otherwise the mistake in the file. Pre: is_elf(image.head()).
[[nodiscard]] std::string read_elf_plan(const BootImage& image, LoadPlan* plan);

}  // namespace ringshift
