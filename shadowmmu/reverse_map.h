// ReverseMap: guest-physical page -> every shadow mapping of it, in whatever space. Owns: the list
// heads; the mappings belong to their spaces. Keeps: M4 (both directions agree). See
// docs/shadow-mmu.md.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <vector>

#include "shadowmmu/base/address.h"
#include "shadowmmu/machine_pages.h"

namespace ringshift {

class ShadowSpace;

// One guest page mapped into one window.
struct ShadowMapping
    : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::safe_link>> {
  ShadowSpace* space = nullptr;
  GuestVirtualPage virtual_page;
  GuestPhysicalPage physical_page;
  bool may_write = false;    // the guest's tables allow writing and D is set (M3)
  bool is_writable = false;  // the host mapping is writable now: may_write, not traced (M1), own
  // The backing of the mapped page. Unless it is Own, the page must become Own before it is
  // written.
  Backing backing = Backing::Own;
  bool is_executable = false;  // only in a sandboxed process; its bytes were looked through (M5)
  bool is_large = false;       // cut out of a 2 MiB or 4 MiB guest page (or paging is off)
  bool is_global = false;
};

using ShadowMappings =
    boost::intrusive::list<ShadowMapping, boost::intrusive::constant_time_size<false>>;

class ReverseMap {
 public:
  explicit ReverseMap(uint64_t ram_bytes) : lists_(ram_bytes / kPageSize) {}
  ReverseMap(const ReverseMap&) = delete;
  ReverseMap& operator=(const ReverseMap&) = delete;

  // Pre: the page is RAM.
  [[nodiscard]] ShadowMappings& of(GuestPhysicalPage page) { return lists_[page.number()]; }

 private:
  std::vector<ShadowMappings> lists_;
};

}  // namespace ringshift
