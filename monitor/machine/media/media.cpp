#include "monitor/machine/media/media.h"

#include <algorithm>

#include "devices/host/host_disk.h"
#include "devices/host/nbd_disk.h"
#include "monitor/host/children/image_server.h"
#include "monitor/host/host_signals.h"
#include "monitor/machine/media/background_disk.h"
#include "monitor/machine/media/image_format.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kDiskSector = 512, kCdromSector = 2048;

struct ImageName {
  std::string path;
  bool snapshot = false;
  bool read_only = false;
  bool is_disc = false;
  std::string format;       // empty: as the image's first bytes say
  bool is_awaited = false;  // MediaRequest::is_awaited
};

// False: it is no item, but a part of the path.
bool take_item(const std::string& item, ImageName* name) {
  constexpr const char* kFormat = "format=";
  if (item == "snapshot=on" || item == "snapshot=off") {
    name->snapshot = item == "snapshot=on";
  } else if (item == "readonly=on" || item == "readonly=off") {
    name->read_only = item == "readonly=on";
  } else if (item == "media=disk" || item == "media=cdrom") {
    name->is_disc = item == "media=cdrom";
  } else if (item.rfind(kFormat, 0) == 0 && is_image_format(item.substr(7))) {
    name->format = item.substr(7);
  } else {
    return false;
  }
  return true;
}

// Takes known items off the end; the rest is the path, which may have commas of its own.
ImageName parse(const std::string& text, const MediaRequest& request, bool is_disc) {
  ImageName name{text, request.snapshot, false, is_disc, "", request.is_awaited};
  while (true) {
    const size_t comma = name.path.rfind(',');
    if (comma == std::string::npos || !take_item(name.path.substr(comma + 1), &name)) return name;
    name.path.resize(comma);
  }
}

// An image that a process of its own reads for us. The connection ends before the process.
class ServedDisk final : public DiskBackend {
 public:
  static std::unique_ptr<DiskBackend> open(const ServedImage& image, uint32_t unit,
                                           std::string* error) {
    std::unique_ptr<ServedDisk> disk(new ServedDisk);
    disk->server_ = ImageServer::start(image, HostSignals::termination_requested, error);
    if (disk->server_ == nullptr) return nullptr;
    disk->disk_ = NbdDisk::open(disk->server_->uri(), image.read_only, unit,
                                HostSignals::termination_requested, error, image.path);
    disk->server_->forget_name();
    if (disk->disk_ != nullptr) return disk;
    const std::string words = disk->server_->last_words();
    if (!words.empty()) *error = image.path + ": " + words;
    return nullptr;
  }

  [[nodiscard]] uint64_t bytes() const override { return disk_->bytes(); }
  [[nodiscard]] bool read_only() const override { return disk_->read_only(); }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    return disk_->read(offset, to);
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    return disk_->write(offset, from);
  }
  [[nodiscard]] bool flush() override { return disk_->flush(); }
  [[nodiscard]] bool can_freeze() const override { return disk_->can_freeze(); }
  void visit_medium(StateArchive& archive, bool may_have_changed) override {
    disk_->visit_medium(archive, may_have_changed);
  }

 private:
  ServedDisk() = default;
  std::unique_ptr<ImageServer> server_;
  std::unique_ptr<NbdDisk> disk_;
};

std::unique_ptr<DiskBackend> open_server(const ImageName& name, DiskAccess access, uint32_t unit,
                                         std::string* error) {
  if (access != DiskAccess::Snapshot) {
    return NbdDisk::open(name.path, access == DiskAccess::ReadOnly, unit,
                         HostSignals::termination_requested, error);
  }
  *error = name.path + ": snapshots are of image files; let the server make one";
  return nullptr;
}

std::unique_ptr<DiskBackend> open_one(const ImageName& name, uint32_t unit, std::string* error) {
  DiskAccess access = name.snapshot ? DiskAccess::Snapshot : DiskAccess::Write;
  if (name.is_disc || name.read_only) access = DiskAccess::ReadOnly;
  if (NbdDisk::is_uri(name.path)) return open_server(name, access, unit, error);
  std::string format = name.format;
  if (format.empty() && !find_image_format(name.path, &format, error)) return nullptr;
  if (format == kRawFormat) {
    const auto lock = name.is_awaited ? HostDisk::Lock::Later : HostDisk::Lock::AtOnce;
    return HostDisk::open(name.path, access, unit, error, lock);
  }
  return ServedDisk::open({.path = name.path,
                           .format = format,
                           .read_only = access == DiskAccess::ReadOnly,
                           .snapshot = access == DiskAccess::Snapshot},
                          unit, error);
}

// Calls `what` for each medium, until it returns false.
template <typename What>
bool each_of(const Media& media, const What& what) {
  for (size_t i = 0; i < kMediaSlots; ++i) {
    if (media.slot[i] != nullptr && !what(*media.slot[i], media.name[i])) return false;
  }
  for (size_t i = 0; i < media.virtio.size(); ++i) {
    if (!what(*media.virtio[i], media.virtio_name[i])) return false;
  }
  return true;
}

}  // namespace

bool Media::any() const {
  return !virtio.empty() || std::any_of(slot.begin(), slot.end(),
                                        [](const auto& medium) { return medium != nullptr; });
}

bool Media::set_in_use(bool in_use, std::string* error) const {
  const auto set = [&](DiskBackend* medium, const std::string& file) {
    if (medium == nullptr || medium->set_in_use(in_use)) return true;
    *error = file + ": is in use by another machine";
    return false;
  };
  for (size_t i = 0; i < kMediaSlots; ++i) {
    if (!set(slot[i].get(), name[i])) return false;
  }
  for (size_t i = 0; i < virtio.size(); ++i) {
    if (!set(virtio[i].get(), virtio_name[i])) return false;
  }
  return true;
}

bool Media::can_freeze(bool may, std::string* error) const {
  return each_of(*this, [&](const DiskBackend& medium, const std::string& file) {
    if (!medium.can_freeze()) {
      *error = file + ": is written to by a server; a raw image, or readonly=on, can be cloned";
      return false;
    }
    if (may || !medium.is_written_through()) return true;
    *error = file +
             ": is written to: a clone needs it frozen, and what both sides write from then on is "
             "in memory and goes with them (disks=freeze)";
    return false;
  });
}

bool Media::freeze(bool* frozen, std::string* error) const {
  *frozen = false;
  return each_of(*this, [&](DiskBackend& medium, const std::string& file) {
    if (!medium.is_written_through()) return true;
    *frozen = true;
    if (medium.freeze()) return true;
    *error = file + ": cannot be frozen";
    return false;
  });
}

bool Media::flush() const {
  bool done = true;
  for (const auto& medium : slot) done = (medium == nullptr || medium->flush()) && done;
  for (const auto& medium : virtio) done = medium->flush() && done;
  return done;
}

DiskTraffic Media::traffic() const {
  DiskTraffic all;
  const auto add = [&all](const std::shared_ptr<DiskBackend>& medium) {
    if (medium == nullptr) return;
    all.read += medium->traffic().read;
    all.written += medium->traffic().written;
  };
  for (const auto& medium : slot) add(medium);
  for (const auto& medium : virtio) add(medium);
  return all;
}

std::shared_ptr<DiskBackend> beside_guest(std::shared_ptr<DiskBackend> medium) {
  return std::make_shared<BackgroundDisk>(std::move(medium), HostSignals::termination_requested);
}

void Media::work_beside_guest() {
  for (auto& medium : slot) {
    if (medium != nullptr) medium = beside_guest(std::move(medium));
  }
  for (auto& medium : virtio) medium = beside_guest(std::move(medium));
}

void Media::set_on_news(const std::function<void()>& on_news) const {
  (void)each_of(*this, [&](DiskBackend& medium, const std::string&) {
    medium.set_on_news(on_news);
    return true;
  });
}

void Media::deliver() const {
  (void)each_of(*this, [](DiskBackend& medium, const std::string&) {
    medium.deliver();
    return true;
  });
}

void Media::visit_state(StateArchive& archive) {
  constexpr std::array<const char*, kMediaSlots> kNames = {
      "first disk", "second disk", "third disk", "fourth disk", "cdrom", "floppy"};
  const auto visit = [&](const std::string& what, DiskBackend* medium) {
    archive.same(what + " bytes", medium != nullptr ? medium->bytes() : 0);
    if (medium == nullptr) return;
    archive.section(what, 1, [&] { medium->visit_medium(archive, may_have_changed); });
  };
  for (size_t i = 0; i < kMediaSlots; ++i) visit(kNames[i], slot[i].get());
  archive.same("virtio disks", virtio.size());
  for (size_t i = 0; i < virtio.size(); ++i)
    visit("virtio disk " + std::to_string(i), virtio[i].get());
}

bool MediaRequest::any() const {
  return !virtio.empty() ||
         std::any_of(text.begin(), text.end(), [](const auto& one) { return !one.empty(); });
}

MediumName medium_name(const std::string& text, const MediaRequest& request, bool is_cdrom) {
  const ImageName name = parse(text, request, is_cdrom);
  return {.path = name.path,
          .format = name.format,
          .is_written = !name.snapshot && !name.read_only && !name.is_disc,
          .is_server = NbdDisk::is_uri(name.path)};
}

std::shared_ptr<DiskBackend> open_disc(const std::string& path, std::string* error) {
  std::string format;
  if (!find_image_format(path, &format, error)) return nullptr;
  if (format == kRawFormat) return HostDisk::open(path, DiskAccess::ReadOnly, kCdromSector, error);
  *error = path + ": is a " + format + " image; a machine that runs takes raw ones only";
  return nullptr;
}

bool open_media(const MediaRequest& request, Media* media, std::string* error) {
  media->may_have_changed = request.may_have_changed;
  const auto has = [&](MediaSlot slot) { return !request.text[static_cast<size_t>(slot)].empty(); };
  if (has(MediaSlot::Cdrom) && has(MediaSlot::ThirdDisk)) {
    *error = "--cdrom and --hdc are the same place; --hdd FILE,media=cdrom is another";
    return false;
  }
  for (size_t i = 0; i < kMediaSlots; ++i) {
    if (request.text[i].empty()) continue;
    const bool cdrom = i == static_cast<size_t>(MediaSlot::Cdrom);
    const ImageName name = parse(request.text[i], request, cdrom);
    const bool floppy = i == static_cast<size_t>(MediaSlot::Floppy);
    media->is_disc[i] = name.is_disc && !floppy;
    media->name[i] = name.path;
    media->slot[i] = open_one(name, media->is_disc[i] ? kCdromSector : kDiskSector, error);
    if (media->slot[i] == nullptr) return false;
  }
  if (request.virtio.size() > kMostVirtioMedia) {
    *error = "--virtio-disk: " + std::to_string(kMostVirtioMedia) + " are the most";
    return false;
  }
  for (const std::string& text : request.virtio) {
    const ImageName name = parse(text, request, false);
    media->virtio_name.push_back(name.path);
    media->virtio.push_back(open_one(name, kDiskSector, error));
    if (media->virtio.back() == nullptr) return false;
  }
  return true;
}

}  // namespace ringshift
