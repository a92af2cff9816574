#include "monitor/command/tape_disks.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "monitor/machine/media/image_format.h"
#include "monitor/replay/disk_copy.h"
#include "monitor/replay/exact_disk.h"
#include "shadowmmu/base/open_file.h"

namespace ringshift {
namespace {

// One medium of the command line: `words` is as typed.
struct Typed {
  std::string place;
  std::string* words;
  MediumName name;
};

std::vector<Typed> typed_media(MediaRequest& media) {
  constexpr std::array<const char*, kMediaSlots> kPlaces = {"hda", "hdb",   "hdc",
                                                            "hdd", "cdrom", "fda"};
  std::vector<Typed> all;
  const auto add = [&](const std::string& place, std::string& words, bool is_cdrom) {
    if (!words.empty()) all.push_back({place, &words, medium_name(words, media, is_cdrom)});
  };
  for (size_t i = 0; i < kMediaSlots; ++i) {
    add(kPlaces.at(i), media.text.at(i), i == static_cast<size_t>(MediaSlot::Cdrom));
  }
  for (size_t i = 0; i < media.virtio.size(); ++i) {
    add("virtio" + std::to_string(i), media.virtio[i], false);
  }
  return all;
}

bool is_raw(const MediumName& name) {
  if (!name.format.empty()) return name.format == kRawFormat;
  std::string format, error;
  return find_image_format(name.path, &format, &error) && format == kRawFormat;
}

// False: there is no such file.
bool describe(const std::string& path, TapeDisk* disk) {
  constexpr uint64_t kSecond = 1'000'000'000;
  const OpenFile file(path, FileUse::Read);
  struct stat facts {};
  if (!file.is_open() || fstat(file.descriptor(), &facts) != 0) return false;
  disk->bytes = static_cast<uint64_t>(facts.st_size);
  disk->changed = static_cast<uint64_t>(facts.st_mtim.tv_sec) * kSecond +
                  static_cast<uint64_t>(facts.st_mtim.tv_nsec);
  return true;
}

bool is_as_it_was(const TapeDisk& disk) {
  TapeDisk now;
  return disk.bytes == 0 ||
         (describe(disk.path, &now) && now.bytes == disk.bytes && now.changed == disk.changed);
}

}  // namespace

bool keep_file(const std::string& path, const std::string& copy, std::string* error) {
  const OpenFile from(path, FileUse::Read);
  const OpenFile to(copy, FileUse::Replace);
  if (from.is_open() && to.is_open() && copy_image(from.descriptor(), to.descriptor())) return true;
  *error = "--record: cannot keep " + path + " as it is in " + copy + ": " + std::strerror(errno);
  return false;
}

std::string unkept_disk(const MediaRequest& media) {
  MediaRequest request = media;
  for (const Typed& medium : typed_media(request)) {
    if (!medium.name.is_written) continue;
    struct stat facts {};
    const bool is_file = stat(medium.name.path.c_str(), &facts) != 0 || S_ISREG(facts.st_mode);
    if (!medium.name.is_server && is_file && is_raw(medium.name)) continue;
    return "a written disk that is no raw image file (" + *medium.words + "; add ,snapshot=on)";
  }
  return "";
}

std::string written_disk(const MediaRequest& media) {
  MediaRequest request = media;
  for (const Typed& medium : typed_media(request)) {
    if (medium.name.is_written) return *medium.words;
  }
  return "";
}

bool keep_disks(const MediaRequest& media, const std::string& folder, std::vector<TapeDisk>* disks,
                std::string* error) {
  MediaRequest request = media;
  for (const Typed& medium : typed_media(request)) {
    TapeDisk disk{
        .place = medium.place, .path = medium.name.path, .is_kept = medium.name.is_written};
    if (disk.is_kept) {
      if (!keep_file(disk.path, folder + "/" + disk.place, error)) return false;
    } else if (!medium.name.is_server && !describe(disk.path, &disk)) {
      *error = "--record: " + disk.path + ": " + std::strerror(errno);
      return false;
    }
    disks->push_back(disk);
  }
  return true;
}

bool use_kept_disks(const std::vector<TapeDisk>& disks, const std::string& folder,
                    MediaRequest* media, std::string* problem) {
  for (const Typed& medium : typed_media(*media)) {
    const auto disk = std::ranges::find(disks, medium.place, &TapeDisk::place);
    if (disk == disks.end() || disk->path != medium.name.path) continue;  // named for the replay
    if (disk->is_kept) {
      *medium.words = folder + "/" + disk->place + ",format=raw,snapshot=on";
    } else if (!media->may_have_changed && !is_as_it_was(*disk)) {
      *problem =
          "replay: " + disk->path +
          " is not what it was when the run was recorded (--changed-disks takes it as it is)";
      return false;
    }
  }
  return true;
}

void make_exact(Media* media, const std::function<void()>& on_failure) {
  const auto make = [&](std::shared_ptr<DiskBackend>* medium) {
    if (*medium != nullptr) *medium = std::make_shared<ExactDisk>(std::move(*medium), on_failure);
  };
  for (std::shared_ptr<DiskBackend>& medium : media->slot) make(&medium);
  for (std::shared_ptr<DiskBackend>& medium : media->virtio) make(&medium);
}

}  // namespace ringshift
