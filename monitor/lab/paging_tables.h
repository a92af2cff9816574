// Paging tables: the page tables of a guest as they were at a moment, to be looked at later. Owns:
// copies of the table pages, shared between moments that have them alike. Two levels or PAE; SDM
// 3A 4.3, 4.4. See docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

// The entries by which a page is mapped, as the guest wrote them and the processor marked them.
struct PageEntries {
  uint8_t levels = 0;  // 0: no paging; 1: the directory entry decides; 2: both
  uint64_t directory = 0;
  uint64_t table = 0;
  std::optional<uint64_t> frame;  // guest-physical, of the 4 KiB; none: not present
};

class TableMoment {
 public:
  TableMoment() = default;
  // As they are now. Pages that `before` has alike are shared with it.
  TableMoment(Machine& machine, const TableMoment& before);
  [[nodiscard]] PageEntries entries_of(uint32_t linear) const;

 private:
  using TablePage = std::array<uint8_t, kPageSize>;
  void keep(Machine& machine, uint64_t physical, const TableMoment& before);
  void keep_directory(Machine& machine, uint64_t directory, const TableMoment& before);
  // Zero where nothing is known.
  [[nodiscard]] uint64_t entry(uint64_t physical) const;

  PagingMode mode_;
  std::map<uint64_t, std::shared_ptr<const TablePage>> pages_;
};

}  // namespace ringshift::lab
