// Boot: puts a guest image into RAM and the CPU where the image's boot protocol says it starts. The
// kinds of image are told apart here, each has a loader (boot_linux, boot_multiboot). Images are
// hostile input: any failure is one line that names the file, and leaves the guest state as it was.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "monitor/boot/boot_video.h"
#include "shadowmmu/guest_memory.h"
#include "translator/guest_state.h"

namespace ringshift {

struct BootModule {
  std::string path;
  std::string command_line;
};

struct BootRequest {
  std::string kernel_path;
  std::string initrd_path;  // Linux only; empty: none
  std::string command_line;
  std::vector<BootModule> modules;  // Multiboot only
  // Sets the mode of the screen, for a Multiboot header that asks; empty: there is no display.
  std::function<std::optional<LinearFrameBuffer>(const VideoMode&)> show;
};

struct [[nodiscard]] BootResult {
  bool ok = true;
  std::string error;
  std::string notice;  // of a deviation from the image's requests; empty: none

  [[nodiscard]] static BootResult success() { return {}; }
  [[nodiscard]] static BootResult failure(std::string error) {
    return {false, std::move(error), {}};
  }
};

BootResult boot_guest(const BootRequest& request, GuestMemory& memory, GuestState& state);

}  // namespace ringshift
