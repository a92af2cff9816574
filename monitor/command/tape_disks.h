// Tape disks: the media of a recorded run. A recording keeps each image that its guest writes as it
// was, and knows by size and time of change that the others are unchanged; a replay reads the kept
// ones below an overlay. See docs/exact-execution.md, "Disks".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "monitor/machine/media/media.h"

namespace ringshift {

// A medium as a recording describes it.
struct TapeDisk {
  std::string place;  // hda .. hdd, cdrom, fda, virtio0 .. virtio7
  std::string path;
  bool is_kept = false;  // as a file in the recording's folder, of the place's name
  uint64_t bytes = 0;    // of the image's file; 0: it is a server's
  uint64_t changed = 0;  // when it was written to last, in nanoseconds since 1970
};

// A copy of a file as it is now, which shares its bytes with it where the host can do that. False
// with one line in *error.
[[nodiscard]] bool keep_file(const std::string& path, const std::string& copy, std::string* error);

// Names a disk that cannot be kept; empty: all can.
[[nodiscard]] std::string unkept_disk(const MediaRequest& media);
// The first whose image is written, as it was typed; empty: there is none.
[[nodiscard]] std::string written_disk(const MediaRequest& media);

// Makes the copies. The media are open: nobody else writes them. False with one line in *error.
[[nodiscard]] bool keep_disks(const MediaRequest& media, const std::string& folder,
                              std::vector<TapeDisk>* disks, std::string* error);

// Before the media are opened: kept ones in place of theirs, unless the command line has others.
// False with one line in *problem: an image has changed.
[[nodiscard]] bool use_kept_disks(const std::vector<TapeDisk>& disks, const std::string& folder,
                                  MediaRequest* media, std::string* problem);

// From here on the guest's view of the media depends on the guest alone.
void make_exact(Media* media, const std::function<void()>& on_failure);

}  // namespace ringshift
