#include "monitor/machine/media.h"

#include <algorithm>

#include "devices/host/host_disk.h"
#include "devices/host/nbd_disk.h"
#include "monitor/host/host_signals.h"

namespace ringshift {
namespace {

constexpr uint32_t kDiskSector = 512, kCdromSector = 2048;

struct ImageName {
  std::string path;
  bool snapshot = false;
  bool read_only = false;
};

// Takes known items off the end; what is left is the path, which may have commas of its own.
ImageName parse(const std::string& text, bool snapshot) {
  ImageName name{text, snapshot, false};
  while (true) {
    const size_t comma = name.path.rfind(',');
    if (comma == std::string::npos) return name;
    const std::string item = name.path.substr(comma + 1);
    if (item == "snapshot=on" || item == "snapshot=off") {
      name.snapshot = item == "snapshot=on";
    } else if (item == "readonly=on" || item == "readonly=off") {
      name.read_only = item == "readonly=on";
    } else {
      return name;
    }
    name.path.resize(comma);
  }
}

std::unique_ptr<DiskBackend> open_one(const std::string& path, DiskAccess access, uint32_t unit,
                                      std::string* error) {
  if (!NbdDisk::is_uri(path)) return HostDisk::open(path, access, unit, error);
  if (access != DiskAccess::Snapshot) {
    return NbdDisk::open(path, access == DiskAccess::ReadOnly, unit,
                         HostSignals::termination_requested, error);
  }
  *error = path + ": snapshots are of image files; let the server make one";
  return nullptr;
}

}  // namespace

bool Media::any() const {
  return std::any_of(slot.begin(), slot.end(),
                     [](const auto& medium) { return medium != nullptr; });
}

bool MediaRequest::any() const {
  return std::any_of(text.begin(), text.end(), [](const auto& one) { return !one.empty(); });
}

bool open_media(const MediaRequest& request, Media* media, std::string* error) {
  for (size_t i = 0; i < kMediaSlots; ++i) {
    if (request.text[i].empty()) continue;
    const bool cdrom = i == static_cast<size_t>(MediaSlot::Cdrom);
    const ImageName name = parse(request.text[i], request.snapshot);
    DiskAccess access = name.snapshot ? DiskAccess::Snapshot : DiskAccess::Write;
    if (cdrom || name.read_only) access = DiskAccess::ReadOnly;
    media->slot[i] = open_one(name.path, access, cdrom ? kCdromSector : kDiskSector, error);
    if (media->slot[i] == nullptr) return false;
  }
  return true;
}

}  // namespace ringshift
