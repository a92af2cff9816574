// Media: the disk images of a machine, from the words of the command line to what drives read.
// Owns: nothing. They are opened once: a machine that resets gets the same ones again, so that a
// snapshot outlives the reset. Called by: command_line, options. See docs/usage.md.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "devices/storage/disk_backend.h"

namespace ringshift {

enum class MediaSlot : uint8_t { FirstDisk, SecondDisk, Cdrom, Floppy };
inline constexpr size_t kMediaSlots = 4;

struct Media {
  std::array<std::shared_ptr<DiskBackend>, kMediaSlots> slot;  // null: nothing there
  [[nodiscard]] DiskBackend* at(MediaSlot which) const {
    return slot[static_cast<size_t>(which)].get();
  }
  [[nodiscard]] bool any() const;
};

struct MediaRequest {
  // FILE[,snapshot=on|off][,readonly=on|off], as typed; empty: nothing there.
  std::array<std::string, kMediaSlots> text;
  bool snapshot = false;  // of all of them, unless one says otherwise
  [[nodiscard]] bool any() const;
};

// False with one line in *error.
[[nodiscard]] bool open_media(const MediaRequest& request, Media* media, std::string* error);

}  // namespace ringshift
