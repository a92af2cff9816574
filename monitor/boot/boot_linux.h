// Linux boot: loads a bzImage by the Linux/x86 boot protocol, entering at its 32-bit entry point.
// Protocol facts: Linux documentation, "The Linux/x86 Boot Protocol". See docs/architecture.md.
#pragma once

#include "monitor/boot/boot.h"
#include "monitor/boot/boot_image.h"

namespace ringshift {

[[nodiscard]] bool is_linux_image(const BootImage& image);

// Pre: is_linux_image(kernel).
BootResult boot_linux(const BootImage& kernel, const BootRequest& request, GuestMemory& memory,
                      GuestState& state);

}  // namespace ringshift
