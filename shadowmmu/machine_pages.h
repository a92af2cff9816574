// MachinePages: the host's place of each guest page's bytes: the machine's own memory, or a base, a
// file that is shared with others and that nobody writes to. Keeps a record, too, of the pages that
// have been written since somebody asked. There may be several bases: a machine that is cloned gets
// one more each time. It changes by grains, some pages that lie together; a page that has become
// equal to one of a base may change by itself. Owns: the bases' descriptors. Does not own: any
// mapping. See docs/decisions/0017-machine-memory.md, 0020-live-migration.md, 0023-clones.md,
// 0031-equal-pages.md and 0035-post-copy.md.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shadowmmu/base/address.h"

namespace ringshift {

enum class Backing : uint8_t {
  Own,
  Base,
  Clean,      // the machine's own, and its next write is to be seen: it is Own from then on
  Elsewhere,  // a base's, but another page of it: the bytes are the same
  Absent,     // on its way here: nobody may look at it before it has come, and it is Own then
};

// The place of a page in a base.
struct BasePlace {
  uint8_t base = 0;   // MachinePages::base_of()
  uint64_t page = 0;  // in pages behind RamBase::offset
  bool operator==(const BasePlace&) const = default;
};

// Part of a file that RAM begins as.
struct RamBase {
  int descriptor = -1;       // open for reading
  uint64_t offset = 0;       // in the file, of guest-physical 0; a multiple of the page size
  uint32_t grain_pages = 1;  // a power of two
  // For each grain: its bytes are in the file. Others are zeros, whatever the file has there.
  std::vector<bool> present;
  // Not 0: the file is a memfd that nobody can write to or shorten, and begins with this number.
  uint64_t seal = 0;
};

struct PageRange {
  GuestPhysicalPage first;
  uint32_t pages = 0;
};

class MachinePages {
 public:
  // Takes the descriptor. Pre: one `present` for each grain of `ram_bytes`, the last one perhaps
  // cut short.
  MachinePages(RamBase base, uint64_t ram_bytes);
  ~MachinePages();
  MachinePages(const MachinePages&) = delete;
  MachinePages& operator=(const MachinePages&) = delete;

  // Pre, here and below: the page is in RAM.
  [[nodiscard]] Backing backing(GuestPhysicalPage page) const {
    return backing_[static_cast<size_t>(page.number())];
  }
  // Whether a base has the page's grain, be it used or not.
  [[nodiscard]] bool is_in_base(GuestPhysicalPage page) const {
    return base_of_[grain_of(page)] != kNoBase;
  }
  // The page's grain, all of it. Pre: Backing::Base only for a page that is_in_base(), and then as
  // the base has it; Elsewhere never.
  void set(GuestPhysicalPage page, Backing backing);
  // The page alone. Pre: the same; neither Clean nor Absent.
  void set_alone(GuestPhysicalPage page, Backing backing);
  void set_elsewhere(GuestPhysicalPage page, const BasePlace& place);
  // True: the page's grain has pages of more than one backing, or of another page's.
  [[nodiscard]] bool is_mixed(GuestPhysicalPage page) const;
  [[nodiscard]] bool has_absent() const { return absent_pages_ != 0; }
  // How many mappings pages that were set alone have added: ends of runs within grains.
  [[nodiscard]] uint32_t inner_ends() const { return inner_ends_; }
  void verify_invariants() const;
  // The pages that change their backing together with this one.
  [[nodiscard]] PageRange grain_around(GuestPhysicalPage page) const;
  // How many pages from `first` on, `most` at the most, are backed as it is.
  [[nodiscard]] uint32_t run(GuestPhysicalPage first, uint32_t most) const;

  // ---- written grains ----

  // From now on grains that become Own are dirty; all are at first.
  void track() { dirty_.assign(grains(), true); }
  void end_tracking() { dirty_.clear(); }
  [[nodiscard]] bool is_tracking() const { return !dirty_.empty(); }
  // Pre, of both: is_tracking(), and a number less than grains().
  [[nodiscard]] bool is_dirty(size_t grain) const { return dirty_[grain]; }
  void set_clean(size_t grain) { dirty_[grain] = false; }
  [[nodiscard]] size_t grains() const { return base_of_.size(); }
  [[nodiscard]] uint32_t grain_pages() const { return grain_pages_; }

  // ---- bases ----

  static constexpr size_t kMostBases = 16;
  // Adds a base with the same grains, and takes its descriptor. From here on is_in_base() is true
  // of every page that this base holds and no earlier base backs. Pre: has_room_for_base().
  void add_base(RamBase base);
  [[nodiscard]] bool has_room_for_base() const;
  // Sealed ones that back nothing are closed.
  void drop_unused_bases();
  // The page's own place in the base that has it. Pre: is_in_base(page).
  [[nodiscard]] BasePlace own_place_of(GuestPhysicalPage page) const {
    return {base_of_[grain_of(page)], page.number()};
  }
  // The place at which a base has the page's bytes. Pre: is_in_base(page), or Backing::Elsewhere.
  [[nodiscard]] BasePlace place_of(GuestPhysicalPage page) const;
  [[nodiscard]] int descriptor_of(GuestPhysicalPage page) const {
    return descriptor_at(place_of(page));
  }
  [[nodiscard]] uint64_t offset_of(GuestPhysicalPage page) const {
    return offset_at(place_of(page));
  }
  [[nodiscard]] int descriptor_at(const BasePlace& place) const {
    return bases_[place.base].descriptor;
  }
  [[nodiscard]] uint64_t offset_at(const BasePlace& place) const {
    return bases_[place.base].offset + place.page * kPageSize;
  }
  [[nodiscard]] uint64_t seal_of(GuestPhysicalPage page) const {
    return bases_[place_of(page).base].seal;
  }
  // Another number each time that bases come or go.
  [[nodiscard]] uint32_t bases_version() const { return bases_version_; }
  // There is one whose bytes can be read.
  [[nodiscard]] bool has_base() const;
  // For callers that map them all.
  [[nodiscard]] uint32_t pages() const { return pages_; }

 private:
  [[nodiscard]] size_t grain_of(GuestPhysicalPage page) const {
    return static_cast<size_t>(page.number() / grain_pages_);
  }
  struct Base {
    int descriptor = -1;
    uint64_t offset = 0;
    uint64_t seal = 0;
    bool is_there = false;
  };
  // Whether one mapping shows the page and the one before it.
  [[nodiscard]] bool joins(uint64_t page) const;
  [[nodiscard]] uint32_t inner_ends_around(uint64_t page) const;
  void change(uint64_t page, Backing backing);

  static constexpr uint8_t kNoBase = 0xff;
  uint32_t grain_pages_;
  uint32_t pages_;
  std::vector<Base> bases_;
  std::vector<uint8_t> base_of_;                       // by grain
  std::vector<Backing> backing_;                       // by page
  std::unordered_map<uint64_t, BasePlace> elsewhere_;  // of the pages that are
  uint32_t inner_ends_ = 0;
  uint32_t absent_pages_ = 0;
  uint32_t bases_version_ = 0;
  std::vector<bool> dirty_;  // by grain; empty: nobody asks
};

}  // namespace ringshift
