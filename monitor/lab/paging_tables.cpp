#include "monitor/lab/paging_tables.h"

#include <cstring>

namespace ringshift::lab {
namespace {

constexpr uint64_t kPresent = 1, kLarge = 1U << 7;
constexpr uint64_t kFrame = 0x0000'000f'ffff'f000;

bool leads_to_table(uint64_t entry, bool has_large) {
  return (entry & kPresent) != 0 && !(has_large && (entry & kLarge) != 0);
}

}  // namespace

TableMoment::TableMoment(Machine& machine, const TableMoment& before)
    : mode_(machine.processor().cpu().memory.paging_mode()) {
  if (!mode_.paging) return;
  if (!mode_.pae) {
    keep_directory(machine, mode_.cr3 & kFrame, before);
    return;
  }
  for (const uint64_t pointer : mode_.pdpte) {
    if ((pointer & kPresent) != 0) keep_directory(machine, pointer & kFrame, before);
  }
}

void TableMoment::keep(Machine& machine, uint64_t physical, const TableMoment& before) {
  const uint8_t* bytes =
      machine.processor().cpu().memory.physical().table_bytes(GuestPhysical(physical));
  if (bytes == nullptr) return;
  const auto known = before.pages_.find(physical);
  if (known != before.pages_.end() && std::memcmp(known->second->data(), bytes, kPageSize) == 0) {
    pages_[physical] = known->second;
    return;
  }
  auto copy = std::make_shared<TablePage>();
  std::memcpy(copy->data(), bytes, kPageSize);
  pages_[physical] = std::move(copy);
}

void TableMoment::keep_directory(Machine& machine, uint64_t directory, const TableMoment& before) {
  keep(machine, directory, before);
  const uint64_t size = mode_.pae ? 8 : 4;
  for (uint64_t at = directory; at < directory + kPageSize; at += size) {
    const uint64_t value = entry(at);
    if (leads_to_table(value, mode_.pae || mode_.pse)) keep(machine, value & kFrame, before);
  }
}

uint64_t TableMoment::entry(uint64_t physical) const {
  const auto page = pages_.find(physical & ~uint64_t{kPageSize - 1});
  if (page == pages_.end()) return 0;
  uint64_t value = 0;
  std::memcpy(&value, page->second->data() + physical % kPageSize, mode_.pae ? 8 : 4);
  return value;
}

PageEntries TableMoment::entries_of(uint32_t linear) const {
  if (!mode_.paging) return {};
  PageEntries found;
  found.levels = 1;
  if (mode_.pae) {
    const uint64_t pointer = mode_.pdpte[linear >> 30];
    if ((pointer & kPresent) == 0) return found;
    found.directory = entry((pointer & kFrame) + ((linear >> 21) & 0x1ff) * uint64_t{8});
  } else {
    found.directory = entry((mode_.cr3 & kFrame) + (linear >> 22) * uint64_t{4});
  }
  if ((found.directory & kPresent) == 0) return found;
  if (!leads_to_table(found.directory, mode_.pae || mode_.pse)) {
    const uint64_t offset_bits = mode_.pae ? 0x1f'f000 : 0x3f'f000;
    found.frame = (found.directory & kFrame & ~offset_bits) | (linear & offset_bits);
    return found;
  }
  found.levels = 2;
  const uint64_t table = found.directory & kFrame;
  found.table = mode_.pae ? entry(table + ((linear >> 12) & 0x1ff) * uint64_t{8})
                          : entry(table + ((linear >> 12) & 0x3ff) * uint64_t{4});
  if ((found.table & kPresent) != 0) found.frame = found.table & kFrame;
  return found;
}

}  // namespace ringshift::lab
