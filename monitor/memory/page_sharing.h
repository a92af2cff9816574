// PageSharing: looks for pages of RAM that have become equal to pages of a base, and gives them
// back: to the same place, to another one that has the same bytes, or to nothing where they are
// zeros. It takes a step now and then, bounded in pages and in time. Owns: its notes about RAM and
// the bases. Does not own: RAM. See docs/decisions/0031-equal-pages.md.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "monitor/memory/physical_memory.h"

namespace ringshift {

class PageSharing {
 public:
  explicit PageSharing(PhysicalMemory& memory) : memory_(memory) {}
  PageSharing(const PageSharing&) = delete;
  PageSharing& operator=(const PageSharing&) = delete;

  // Looks at some `pages` pages, and stops soon after `until`, nanoseconds of the host's monotonic
  // clock. At a safe point: nobody else writes RAM. Does nothing to a machine without a base, or
  // while written grains are recorded.
  void step(uint32_t pages, int64_t until);

 private:
  enum class Kind : uint8_t { Here, Elsewhere, Zeros };
  struct Find {
    GuestPhysicalPage page;
    Kind kind = Kind::Here;
    BasePlace place;
  };
  // One page for each hash of a page's bytes.
  struct Entry {
    uint32_t hash = 0;  // 0: the entry is free
    uint32_t page = 0;
  };

  [[nodiscard]] const MachinePages& pages() const { return *memory_.ram().machine_pages(); }
  [[nodiscard]] GuestPhysicalPage first_page_of(size_t grain) const {
    return GuestPhysicalPage(uint64_t{grain} * pages().grain_pages());
  }
  void begin_anew();
  // Both return the number of pages taken.
  uint32_t take_into_index(size_t grain);
  uint32_t look_at(size_t grain);
  void consider(GuestPhysicalPage page);
  void act(size_t grain);
  [[nodiscard]] size_t slot_of(uint32_t hash) const;

  PhysicalMemory& memory_;
  bool has_begun_ = false;
  uint32_t version_ = 0;      // MachinePages::bases_version()
  std::vector<Entry> index_;  // a power of two of them, searched from the hash on
  size_t entries_ = 0;
  size_t next_indexed_ = 0, next_looked_at_ = 0;  // grains
  // For each page, the hash of its bytes when they were last looked at; 0: never. Only a page that
  // stays the same from one look to the next is worth a mapping.
  std::vector<uint32_t> hashes_;
  std::vector<Find> found_;  // in one grain, by page
  std::vector<uint8_t> buffer_;
};

}  // namespace ringshift
