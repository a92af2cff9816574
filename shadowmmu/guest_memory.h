// GuestMemory: guest-physical RAM as bytes, kept in a memfd so that it can be mapped many times, or
// in part in a base that is shared (MachinePages). Owns: the memfd, the base, one mapping of all of
// it. Does not own: windows, traces. Raw: writes here notify nobody, and fault where the base is;
// code that writes while a guest may run uses PhysicalMemory instead (M2).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"
#include "shadowmmu/machine_pages.h"

namespace ringshift {

// An observer that is told of grains that are Clean, so that it can keep their bytes as they are.
class FrozenGrains {
 public:
  virtual ~FrozenGrains() = default;
  // The grain may be written once this has returned.
  virtual void before_write(size_t grain) = 0;
};

// Brings grains that are Absent.
class AbsentGrains {
 public:
  virtual ~AbsentGrains() = default;
  // Returns once all of the grain's bytes are in RAM's descriptor; ends the process if they cannot
  // come any more.
  virtual void fetch(size_t grain) = 0;
};

class GuestMemory {
 public:
  // bytes: size of RAM, a multiple of 4 KiB, starting at guest-physical 0. On failure returns null
  // and puts one line into *error.
  static std::unique_ptr<GuestMemory> create(uint64_t bytes, std::string* error);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // The host gives memory for the first `bytes` of it now, and they keep it until the end: whatever
  // empties them leaves zeros that take memory. A multiple of the page size. Pre: nothing has been
  // written. Not ok: the host refuses.
  [[nodiscard]] HostResult reserve(uint64_t bytes);
  [[nodiscard]] uint64_t reserved() const { return reserved_; }
  // Own bytes are zeros from here on, and their memory is the host's again, except the reserved
  // part. Pre: whole pages.
  [[nodiscard]] HostResult empty(uint64_t offset, uint64_t bytes) const;
  // Makes all of RAM zero again, as it is when a machine is switched on, without a base, and gives
  // all memory back to the host but the reserved part. Pre: nobody is left who would have to be
  // told. False: the host refuses.
  [[nodiscard]] bool clear();

  // RAM is what the base has, until it is written, or what the base and others have, which have the
  // same grains: each grain is of one. Pre: it is all zeros, has no base, and is mapped nowhere but
  // here. Not ok: the host refuses, and RAM is of no use.
  [[nodiscard]] HostResult take_base(RamBase base, std::vector<RamBase> others = {});
  // Must a writer of the page make_own() it first? It is mapped for reading only, or, if it is
  // Absent, not at all. Pre, here and below: it is RAM.
  [[nodiscard]] bool is_shared(GuestPhysicalPage page) const {
    return machine_ != nullptr && machine_->backing(page) != Backing::Own;
  }
  [[nodiscard]] Backing backing(GuestPhysicalPage page) const {
    return machine_ != nullptr ? machine_->backing(page) : Backing::Own;
  }
  // Must a reader of the page make_own() it first?
  [[nodiscard]] bool is_absent(GuestPhysicalPage page) const {
    return machine_ != nullptr && machine_->backing(page) == Backing::Absent;
  }
  [[nodiscard]] bool has_absent() const { return machine_ != nullptr && machine_->has_absent(); }
  // The host's place of the page's bytes: a descriptor, and an offset in it.
  [[nodiscard]] int descriptor_of(GuestPhysicalPage page) const {
    return is_from_base(page) ? machine_->descriptor_of(page) : descriptor_;
  }
  [[nodiscard]] uint64_t offset_of(GuestPhysicalPage page) const {
    return is_from_base(page) ? machine_->offset_of(page) : page.address().value();
  }
  // The page, and those around it that change with it, which are in *moved, may be written: those
  // of a base are copied; of a grain that is mixed this one alone. Their place in our address space
  // stays; a caller that maps them elsewhere maps them anew. Pre: is_shared(page). Not ok: the host
  // has no memory, or the base cannot be read any more.
  [[nodiscard]] HostResult make_own(GuestPhysicalPage page, PageRange* moved);
  // These grains, one bit for each of `grain_pages`, are Absent: `from` brings them, one that is
  // asked for at once. Pre: all is Own, without grains, and mapped nowhere but here. Not ok: the
  // host refuses, and RAM is of no use.
  [[nodiscard]] HostResult set_absent(const std::vector<bool>& grains, uint32_t grain_pages,
                                      AbsentGrains* from);
  // The source given to set_absent() is used no more.
  void forget_absent_source() { absent_ = nullptr; }
  // These Absent grains are Own from here on. *moved and not ok: as for make_own(). Pre: their
  // bytes are in descriptor().
  [[nodiscard]] HostResult take_arrived(size_t first, size_t count, PageRange* moved);
  // The other way, for pages that is_as_base(): their own memory is given back to the host.
  [[nodiscard]] HostResult make_shared(GuestPhysicalPage page, PageRange* moved);
  [[nodiscard]] bool is_as_base(GuestPhysicalPage page) const;

  // ---- equal pages ----

  // Has a base at that place what the page has? Pre: the place is in the base.
  [[nodiscard]] bool is_equal(GuestPhysicalPage page, const BasePlace& place) const;
  // Are there mappings of the host's for one more run of pages within a grain?
  [[nodiscard]] bool may_join() const;
  // Pages of one grain, which are Own and is_equal() to the base's at their place, become the
  // base's; their own memory is given back to the host. They stay Own where the host refuses. Pre:
  // may_join(). Not ok: RAM is of no use.
  [[nodiscard]] HostResult join(PageRange pages);
  // The same of one page, with a place that is another's.
  [[nodiscard]] HostResult join_elsewhere(GuestPhysicalPage page, const BasePlace& place);
  // All of the page's grain is Own, if it was mixed. *moved: as for make_own(); no pages: it was
  // not.
  [[nodiscard]] HostResult make_whole(GuestPhysicalPage page, PageRange* moved);
  // For tests, in place of a saved machine: a base that has all that is Own now, and once more
  // behind the end of RAM. Not ok: the host refuses.
  [[nodiscard]] HostResult add_copy_as_base();

  // Of each part of `bytes` bytes, a multiple of the page size: can anything in it be other than
  // zero? Touches none of them, which would take memory of the host's.
  [[nodiscard]] std::vector<bool> parts_in_use(uint64_t bytes) const;
  // From now on it is known which grains are written; all count as written at first. Grains are of
  // `grain_pages` unless there is a base, which has its own. Pre: it is not known yet.
  void track_writes(uint32_t grain_pages);
  void end_tracking();
  // There are grains from now on: of `grain_pages`, unless there are some already.
  void use_grains(uint32_t grain_pages);
  // These grains, `count` from `first` on, count as not written from here on: the next write is
  // seen (Backing::Clean). *moved: the pages whose mappings have to follow; of a base none do.
  // Pre: track_writes(); they have one backing. Not ok: as for make_own().
  [[nodiscard]] HostResult make_clean(size_t first, size_t count, PageRange* moved);
  // The same, but the record of written grains stays as it is.
  [[nodiscard]] HostResult freeze(size_t first, size_t count, PageRange* moved);
  // Sets the observer that is told before a Clean grain may be written; null: none.
  void set_frozen(FrozenGrains* frozen) { frozen_ = frozen; }
  // Adds a base, which takes the descriptor: pages that it has may be make_shared(). Pre:
  // use_grains().
  void add_base(RamBase base) { machine_->add_base(std::move(base)); }
  void drop_unused_bases() { machine_->drop_unused_bases(); }
  // These grains, which are Clean and as the base has them, are the base's from here on; their own
  // memory is given back to the host. *moved: as for make_clean().
  [[nodiscard]] HostResult move_to_base(size_t first, size_t count, PageRange* moved);
  // Null: all pages are the machine's own.
  [[nodiscard]] const MachinePages* machine_pages() const { return machine_.get(); }
  void verify_invariants() const {
    if (machine_ != nullptr) machine_->verify_invariants();
  }

  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool contains(GuestPhysical address, uint64_t bytes) const {
    return address.value() <= size_ && bytes <= size_ - address.value();
  }
  // Host bytes of RAM at `address`, to be read, and to be written unless the page is_shared(). The
  // place of a byte never changes. Pre: contains(address, length).
  [[nodiscard]] uint8_t* at(GuestPhysical address) const { return base_ + address.value(); }
  [[nodiscard]] std::span<uint8_t> span(GuestPhysical address, uint64_t length) const {
    return {at(address), static_cast<size_t>(length)};
  }

 private:
  GuestMemory() = default;
  [[nodiscard]] HostResult map_again(PageRange pages);
  [[nodiscard]] HostResult copy_from_base(PageRange pages);
  [[nodiscard]] HostResult finish_join(PageRange pages);
  [[nodiscard]] GuestPhysicalPage first_page_of(size_t grain) const;
  [[nodiscard]] PageRange pages_of(size_t first, size_t count) const;
  [[nodiscard]] bool is_from_base(GuestPhysicalPage page) const {
    if (machine_ == nullptr) return false;
    const Backing now = machine_->backing(page);
    return now == Backing::Base || now == Backing::Elsewhere;
  }

  uint8_t* base_ = nullptr;
  uint64_t size_ = 0;
  uint64_t reserved_ = 0;
  int descriptor_ = -1;
  FrozenGrains* frozen_ = nullptr;
  AbsentGrains* absent_ = nullptr;
  std::unique_ptr<MachinePages> machine_;
};

}  // namespace ringshift
