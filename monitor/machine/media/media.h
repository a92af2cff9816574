// Media: the disk images of a machine, from the words of the command line to the drives' media.
// They are opened once: a machine that resets gets the same ones again, so that a snapshot outlives
// the reset. See docs/usage.md.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/storage/disk_backend.h"

namespace ringshift {

class StateArchive;

// The first four are IDE's places: two on each cable. Cdrom is the third of them under another
// name.
enum class MediaSlot : uint8_t { FirstDisk, SecondDisk, ThirdDisk, FourthDisk, Cdrom, Floppy };
inline constexpr size_t kMediaSlots = 6;
inline constexpr size_t kMostVirtioMedia = 8;

struct Media {
  std::array<std::shared_ptr<DiskBackend>, kMediaSlots> slot;  // null: nothing there
  std::array<bool, kMediaSlots> is_disc{};                     // in a drive for CD-ROMs
  std::vector<std::shared_ptr<DiskBackend>> virtio;            // of virtio disks, none null
  std::array<std::string, kMediaSlots> name;                   // of their files, or URIs
  std::vector<std::string> virtio_name;
  bool was_changed = false;  // a drive's medium is not the one of the command line any more
  [[nodiscard]] DiskBackend* at(MediaSlot which) const {
    return slot[static_cast<size_t>(which)].get();
  }
  bool may_have_changed = false;  // since the machine was saved that goes on with them
  [[nodiscard]] bool any() const;
  // Images that may be written to are locked against other machines, or are not. False with one
  // line in *error: another one has one of them.
  [[nodiscard]] bool set_in_use(bool in_use, std::string* error) const;
  // Freezes the images that may be written to: they stay as they are from now on
  // (DiskBackend::freeze). *frozen says whether there are any. can_freeze() is false with one line
  // in *error if one of them cannot be frozen, or if `may` is false and one is written to.
  [[nodiscard]] bool can_freeze(bool may, std::string* error) const;
  [[nodiscard]] bool freeze(bool* frozen, std::string* error) const;
  // Everything that has been written is on the media for good. False: the host failed.
  [[nodiscard]] bool flush() const;
  // The sum over all media.
  [[nodiscard]] DiskTraffic traffic() const;
  // The guest runs on while the host is at work on them. Once, before the machine is made.
  void work_beside_guest();
  // Sets the listener that is told, on any thread, that deliver() has something to do; empty: none.
  void set_on_news(const std::function<void()>& on_news) const;
  void deliver() const;
  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);
  // Not state: slot, is_disc, virtio, name, virtio_name, may_have_changed, was_changed: which media
  // there are the command line says, and where one was changed nothing is saved.
};

struct MediaRequest {
  // FILE[,snapshot=on|off][,readonly=on|off][,media=disk|cdrom][,format=NAME], as typed; empty:
  // nothing there.
  std::array<std::string, kMediaSlots> text;
  std::vector<std::string> virtio;  // at most kMostVirtioMedia
  bool snapshot = false;            // of all of them, unless one says otherwise
  bool may_have_changed = false;    // Media::may_have_changed
  bool is_awaited = false;          // another machine writes to them until this one takes over
  [[nodiscard]] bool any() const;
};

// A medium as typed, or nothing.
struct MediumName {
  std::string path;         // or a URI
  std::string format;       // empty: as the image's first bytes say
  bool is_written = false;  // by its guest, for good
  bool is_server = false;   // a URI
};
[[nodiscard]] MediumName medium_name(const std::string& text, const MediaRequest& request,
                                     bool is_cdrom);

// One more for Media::work_beside_guest().
[[nodiscard]] std::shared_ptr<DiskBackend> beside_guest(std::shared_ptr<DiskBackend> medium);
// Another CD-ROM for a machine that runs: a raw image. Null with one line in *error.
[[nodiscard]] std::shared_ptr<DiskBackend> open_disc(const std::string& path, std::string* error);

// False with one line in *error.
[[nodiscard]] bool open_media(const MediaRequest& request, Media* media, std::string* error);

}  // namespace ringshift
