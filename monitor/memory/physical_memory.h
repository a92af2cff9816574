// PhysicalMemory: guest-physical space as the CPU and DMA reach it: RAM, ROM, device memory,
// nothing. Owns: the decision which of these an address is. Does not own: RAM itself, devices,
// traces. Every write to RAM after start-up goes through here so that traces see it before the next
// guest instruction (M2).
#pragma once

#include <cstdint>

#include "devices/bus/bus.h"
#include "devices/bus/dma_memory.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/guest_memory.h"
#include "shadowmmu/walker.h"

namespace ringshift {

// An observer that is told of writes to watched pages. Implemented by CodeWatch; a null object (no
// traces at all) serves the interpreter alone.
class WriteObserver {
 public:
  virtual ~WriteObserver() = default;
  // Is any byte of the page watched? Asked before a fast write path is cached.
  [[nodiscard]] virtual bool watches(GuestPhysicalPage page) const = 0;
  // A watched page is about to be written. It still holds its old bytes; copy them now if you need
  // them.
  virtual void before_write(GuestPhysicalPage /*page*/) {}
  // Bytes [address, address+length) have just been written; they lie in one page. Length 0: the
  // walker has set A or D in the entry whose low four bytes lie there.
  virtual void on_write(GuestPhysical address, uint32_t length) = 0;
  // Is the page mapped in a process that has the machine's own pages only?
  [[nodiscard]] virtual bool is_shown_outside(GuestPhysicalPage /*page*/) { return false; }
  // The pages have got another backing; their bytes are as they were.
  virtual void on_moved(const PageRange& /*pages*/, Backing /*now*/) {}
};

class PhysicalMemory final : public PageTableMemory, public DmaMemory {
 public:
  PhysicalMemory(GuestMemory& ram, MemoryBus& bus) : ram_(ram), bus_(bus) {}
  void set_observer(WriteObserver* observer) { observer_ = observer; }

  // Is this whole page RAM, with no device claiming any of it? (Device ranges are page-aligned.)
  [[nodiscard]] bool is_ram(GuestPhysicalPage page) const;
  [[nodiscard]] bool is_watched(GuestPhysicalPage page) const {
    return observer_ != nullptr && observer_->watches(page);
  }
  // May bytes of the page, which is RAM, be written without telling?
  [[nodiscard]] bool may_write_unseen(GuestPhysicalPage page) const {
    return !is_watched(page) && !ram_.is_shared(page);
  }
  // Called before RAM is written by whatever path: a page of a shared base becomes the machine's
  // own. True: it has just become so. A host that has no memory for it ends the process with one
  // line. Pre: the page is RAM, A20 applied.
  bool will_write(GuestPhysicalPage page) {
    if (!ram_.is_shared(page)) [[likely]]
      return false;
    make_own(page);
    return true;
  }
  // The same before RAM is read: a page that is Absent is brought here first.
  void will_read(GuestPhysicalPage page) const {
    if (ram_.is_absent(page)) [[unlikely]]
      make_own(page);
  }
  // RAM's take_arrived(), of those that are Absent still, and all who map them follow.
  void take_arrived(size_t first_grain, size_t grains);
  // RAM's make_clean(), and all who map these pages follow: the next write to each is seen, by
  // whatever path. Ends the process as will_write() does.
  void make_clean(size_t first_grain, size_t grains);
  // RAM's freeze(): the same, but the record of written grains stays as it is. And RAM's
  // move_to_base().
  void freeze(size_t first_grain, size_t grains);
  void move_to_base(size_t first_grain, size_t grains);
  // RAM's make_whole(), join() and join_elsewhere(), and all who map the pages follow.
  void make_whole(size_t grain);
  void join(PageRange pages);
  void join_elsewhere(GuestPhysicalPage page, const BasePlace& place);
  // Pages that are Own and zeros take nothing of the host from here on, until they are touched.
  void drop_zeros(PageRange pages);
  [[nodiscard]] bool is_shown_outside(GuestPhysicalPage page) const {
    return observer_ != nullptr && observer_->is_shown_outside(page);
  }
  // For tests: makes a shared page Own; or shares an Own page whose bytes a base has: with its
  // grain, by itself, or with a copy of it that a base has behind the end of RAM.
  enum class Flip : uint8_t { Grain, Alone, Elsewhere };
  void flip_backing(GuestPhysicalPage page, Flip how = Flip::Grain);
  // The same to a page and in a manner that a random number chooses. A machine without a base gets
  // one now and then.
  void flip_some_backing(uint32_t random);

  // A20 gate: when masked, address bit 20 is forced to zero (all accesses, walker's included).
  void set_a20(bool enabled) { a20_mask_ = enabled ? ~uint64_t{0} : ~(uint64_t{1} << 20); }
  [[nodiscard]] bool a20() const { return a20_mask_ == ~uint64_t{0}; }

  // The address after the A20 gate: an access to `address` reaches this one. Code that caches or
  // maps a page (linear memory, windows) uses it, and drops everything when set_a20 changes it.
  [[nodiscard]] GuestPhysical masked(GuestPhysical address) const override {
    return GuestPhysical(address.value() & a20_mask_);
  }

  // Any length, any alignment. Reads of nothing are all ones; writes to it vanish. 1, 2, 4 and 8
  // bytes of RAM within a page move as one host access. Device memory is accessed in naturally
  // aligned pieces of at most four bytes, lowest address first.
  void read(GuestPhysical address, void* bytes, uint32_t length);
  void write(GuestPhysical address, const void* bytes, uint32_t length);

  // Host bytes of a page, A20 applied, that may be read (written) in place of a call: RAM, or a
  // device's own bytes (device.h). Null where every access must come here. One that is asked for to
  // be written will_write().
  [[nodiscard]] const uint8_t* readable_page(GuestPhysicalPage page) const;
  [[nodiscard]] uint8_t* writable_page(GuestPhysicalPage page);

  // How often read() and write() have reached something other than RAM.
  [[nodiscard]] uint64_t device_accesses() const { return device_accesses_; }
  // How often they had to, as readable_page() and writable_page() have no bytes there.
  [[nodiscard]] uint64_t device_calls() const { return device_calls_; }

  // DmaMemory: RAM as bus masters reach it, under whatever devices claim there and past A20.
  void read_ram(uint64_t address, std::span<uint8_t> bytes) override;
  void write_ram(uint64_t address, std::span<const uint8_t> bytes) override;

  // Whole pages of RAM are zeros from here on, written as write_ram() would, and their memory is
  // the host's. Pre: they are RAM, A20 applied. A host that refuses leaves zeros that take memory.
  void give_back(uint64_t address, uint64_t bytes);

  // For the walker: page tables are looked for in RAM only; anywhere else reads all ones.
  [[nodiscard]] uint32_t read_entry32(GuestPhysical address) override;
  [[nodiscard]] uint64_t read_entry64(GuestPhysical address) override;
  void set_entry_bits(GuestPhysical address, uint32_t bits) override;
  [[nodiscard]] const uint8_t* table_bytes(GuestPhysical address) const override;

  [[nodiscard]] GuestMemory& ram() { return ram_; }

 private:
  // Pre, for both: the range lies in one page, A20 applied.
  void read_within_page(GuestPhysical address, uint8_t* bytes, uint32_t length);
  void write_within_page(GuestPhysical address, const uint8_t* bytes, uint32_t length);
  void read_device(GuestPhysical address, uint8_t* bytes, uint32_t length);
  void write_device(GuestPhysical address, const uint8_t* bytes, uint32_t length);
  void make_own(GuestPhysicalPage page) const;
  // Host address of a naturally aligned page-table entry, or null outside RAM.
  [[nodiscard]] uint8_t* entry_in_ram(GuestPhysical address) const;

  GuestMemory& ram_;
  MemoryBus& bus_;
  WriteObserver* observer_ = nullptr;
  uint64_t a20_mask_ = ~uint64_t{0};
  uint64_t device_accesses_ = 0;
  uint64_t device_calls_ = 0;
  uint32_t flips_ = 0;  // for tests
  uint32_t flips_until_base_ = 4;
};

}  // namespace ringshift
