// DataPaths: how translated code reaches the guest's data: through a window, or through a soft TLB.
// Answers the misses of both.
// See
// docs/shadow-mmu.md, "One miss".
#pragma once

#include <cstdint>
#include <optional>

#include "monitor/spaces/address_spaces.h"

namespace ringshift {

enum class Miss : uint8_t { Filled, Interpret };

class DataPaths {
 public:
  DataPaths(SpaceResources& resources, AddressSpaces& spaces)
      : resources_(resources), spaces_(spaces) {}

  // A soft access to `address` missed. Interpret: it faults, crosses a page, or is not plain RAM.
  [[nodiscard]] Miss fill_soft(GuestVirtual address, bool is_write, Privilege privilege);
  // Would a plain access have been served there, or the next ones after one fault? The page is in
  // the window with the rights it takes, or belongs to a large page, which is mapped as a whole.
  // Pre: the access has just been served by fill_soft.
  [[nodiscard]] bool would_serve_plainly(GuestVirtual address, bool is_write,
                                         Privilege privilege) const;
  // A plain access through the window of this privilege faulted at `address`.
  [[nodiscard]] Miss fill_window(GuestVirtual address, bool is_write, Privilege privilege);
  // The linear address a host address means in the window of the entered view, if it lies in it.
  [[nodiscard]] std::optional<GuestVirtual> window_address(uint64_t host_address,
                                                           Privilege privilege) const;
  // The host address at which supervisor code reads this address, if it may; the page is in its
  // window now.
  [[nodiscard]] std::optional<uint64_t> supervisor_host_address(GuestVirtual address);
  // Where the RAM lies that it reads there, for as long as translations_version() is the same: of a
  // page that the window does not hold, as it is the user's.
  [[nodiscard]] std::optional<uint64_t> ram_host_address(GuestVirtual address);
  [[nodiscard]] uint64_t translations_version() const { return spaces_.translations_version(); }
  // The host address of linear address 0 there.
  [[nodiscard]] uint64_t supervisor_base() const;
  // Has the entered view a window?
  [[nodiscard]] bool has_window(Privilege privilege) const;
  // Removes pages that the window has dropped from the host's tables.
  void settle(Privilege privilege);
  // A page has been added to those that are watched.
  void drop_watched();

 private:
  [[nodiscard]] ShadowSpace* window_of(Privilege privilege) const;
  void let_table_go(const GuestAccess& access);

  SpaceResources& resources_;
  AddressSpaces& spaces_;
};

}  // namespace ringshift
