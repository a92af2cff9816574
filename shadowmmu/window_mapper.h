// WindowMapper: puts guest pages into one 4 GiB view of guest-linear space, wherever that view is:
// a window in our own address space (host_window), or the low 4 GiB of a sandboxed process. See
// docs/shadow-mmu.md.
#pragma once

#include <cstdint>

#include "shadowmmu/base/address.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {

class WindowMapper {
 public:
  virtual ~WindowMapper() = default;
  // Host address of guest-linear 0, if generated code of ours may use it; otherwise 0.
  [[nodiscard]] virtual HostAddress base() const = 0;
  // Maps `pages` pages of RAM from `from` on at `at`, in place of earlier mappings; those of a
  // shared base for reading only. False: the host refused, and the mapping there is unknown (the
  // caller unmaps it).
  [[nodiscard]] virtual bool map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                                 HostAccess access) = 0;
  // Every access to these pages faults from now on. False: the host refused, as it may if that
  // splits a mapping in two; the old mapping is still there, so the caller clears the whole view.
  [[nodiscard]] virtual bool unmap(GuestVirtualPage at, uint32_t pages) = 0;
  // Takes rights away from one mapped page. False: the same.
  [[nodiscard]] virtual bool restrict_to(GuestVirtualPage at, HostAccess access) = 0;
  // Every access to any page faults from now on. Takes no mapping more, so there is no number that
  // a guest could make the host refuse it by. False: the old mappings still count.
  [[nodiscard]] virtual bool clear() = 0;
};

}  // namespace ringshift
