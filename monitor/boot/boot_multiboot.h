// Multiboot boot: loads a Multiboot 1 kernel (ELF32, or placed by its header's address fields) with
// modules. Facts: the Multiboot Specification, version 0.6.96. See docs/architecture.md.
#pragma once

#include <cstdint>
#include <optional>

#include "monitor/boot/boot.h"
#include "monitor/boot/boot_image.h"

namespace ringshift {

// The offset of a valid Multiboot 1 header in the image's first 8 KiB; nothing: there is none.
[[nodiscard]] std::optional<uint64_t> find_multiboot_header(const BootImage& image);

// Pre: header_offset is find_multiboot_header's answer for this image.
BootResult boot_multiboot(const BootImage& kernel, uint64_t header_offset,
                          const BootRequest& request, GuestMemory& memory, GuestState& state);

}  // namespace ringshift
