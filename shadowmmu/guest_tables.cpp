#include "shadowmmu/guest_tables.h"

#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/table_entry.h"

namespace ringshift {
namespace {

// A region of 4 MiB is one directory entry, or two entries of one of four PAE directories.
constexpr uint32_t kRegionsOfPaeDirectory = 256;
constexpr uint32_t kEntryBytes = 4;
constexpr uint32_t kPaeEntryBytes = 8;

// The number of a region is made of those of its directory entries.
constexpr uint64_t kNoEntries = 1;
constexpr uint64_t joined(uint64_t all, uint64_t one) { return (all * 31) ^ one; }

GuestPhysical first_pae_entry(uint64_t pointer, Region region) {
  const uint64_t index = region.index() % kRegionsOfPaeDirectory;
  return GuestPhysical((pointer & kEntryFrame) + index * 2 * kPaeEntryBytes);
}

}  // namespace

WalkResult GuestTables::walk(GuestVirtual address, AccessKind access, Privilege privilege) const {
  WalkResult result = ringshift::walk(mode_, memory_, address, access, privilege);
  if (!result.fault) result.translation.physical = memory_.masked(result.translation.physical);
  return result;
}

WalkResult GuestTables::probe(GuestVirtual address, AccessKind access, Privilege privilege) const {
  WalkResult result = ringshift::probe(mode_, memory_, address, access, privilege);
  if (!result.fault) result.translation.physical = memory_.masked(result.translation.physical);
  return result;
}

bool GuestTables::is_accessed(const Translation& translation) {
  for (uint8_t i = 0; i < translation.levels; ++i) {
    if ((translation.entries[i].value & kEntryAccessed) == 0) return false;
  }
  return true;
}

GuestTables::Entries GuestTables::entries_of(Region region) const {
  if (!mode_.paging) return {};
  if (!mode_.pae) {
    const GuestPhysical directory(mode_.cr3 & kEntryFrame);
    return {directory + region.index() * kEntryBytes, 1, kEntryBytes};
  }
  const uint64_t pointer = mode_.pdpte[region.index() / kRegionsOfPaeDirectory];
  if ((pointer & kEntryPresent) == 0) return {};
  return {first_pae_entry(pointer, region), 2, kPaeEntryBytes};
}

uint64_t GuestTables::read_entry(GuestPhysical address, uint32_t bytes) const {
  return bytes == kPaeEntryBytes ? memory_.read_entry64(address) : memory_.read_entry32(address);
}

std::optional<GuestPhysicalPage> GuestTables::table_of(uint64_t entry) const {
  const bool is_large = (entry & kEntryLarge) != 0 && (mode_.pae || mode_.pse);
  if ((entry & kEntryPresent) == 0 || is_large) return std::nullopt;
  return GuestPhysicalPage::of(memory_.masked(GuestPhysical(entry & kEntryFrame)));
}

uint64_t GuestTables::content(GuestPhysicalPage table) const {
  const uint8_t* bytes = memory_.table_bytes(table.address());
  return bytes == nullptr ? 0 : hash_bytes({bytes, kPageSize}, 0);
}

// Only the entry and the table's contents decide, whichever directory the entry is in.
uint64_t GuestTables::number_of_entry(uint64_t entry, Untraced untraced) const {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  const std::optional<GuestPhysicalPage> table = table_of(entry);
  if (!table) return (entry + 1) * kMultiplier;
  uint64_t in_table = traces_ != nullptr ? traces_->ask(*table) : 0;
  if (in_table != 0) {
    counters().tables_by_version++;
  } else {
    if (untraced == Untraced::Unknown) return 0;
    counters().tables_hashed++;
    in_table = content(*table);
    if (in_table == 0) return 0;
  }
  const uint64_t mixed = (in_table ^ (entry * kMultiplier)) * kMultiplier;
  return mixed ^ (mixed >> 32);
}

uint64_t GuestTables::number(Region region, Untraced untraced) const {
  if (!mode_.paging) return 0;
  const bool is_traced = traces_ != nullptr && traces_->policy() != ShadowPolicy::Tlb;
  if (untraced == Untraced::Unknown && !is_traced) return 0;
  const Entries entries = entries_of(region);
  uint64_t all = kNoEntries;
  for (uint32_t i = 0; i < entries.count; ++i) {
    const uint64_t entry = read_entry(entries.first + i * entries.bytes, entries.bytes);
    const uint64_t one = number_of_entry(entry, untraced);
    if (one == 0) return 0;
    all = joined(all, one);
  }
  return all;
}

// The usual case needs no look at the directory.
uint64_t GuestTables::stamp(GuestVirtualPage page, const Translation& translation) const {
  if (mode_.pae || translation.levels != 2) return stamp(Region::of(page));
  const uint64_t entry = translation.entries[0].value | kEntryAccessed;
  const uint64_t one = number_of_entry(entry, Untraced::Unknown);
  return one == 0 ? 0 : joined(kNoEntries, one);
}

GuestTables::Tables GuestTables::tables_behind(Region region) const {
  Tables tables;
  const Entries entries = entries_of(region);
  for (uint32_t i = 0; i < entries.count; ++i) {
    const GuestPhysical at = entries.first + i * entries.bytes;
    const std::optional<GuestPhysicalPage> table = table_of(read_entry(at, entries.bytes));
    if (!table) continue;
    tables.links[tables.count++] = {*table, at, entries.bytes == kPaeEntryBytes};
  }
  return tables;
}

bool GuestTables::is_linked(const TableLink& link) const {
  const uint32_t bytes = link.is_wide ? kPaeEntryBytes : kEntryBytes;
  return table_of(read_entry(link.entry, bytes)) == link.table;
}

bool GuestTables::has_user_pages(Region region) const {
  constexpr uint64_t kServesUser = kEntryPresent | kEntryUser;
  if (!mode_.paging) return true;
  const Entries entries = entries_of(region);
  for (uint32_t i = 0; i < entries.count; ++i) {
    const uint64_t entry = read_entry(entries.first + i * entries.bytes, entries.bytes);
    if ((entry & kServesUser) == kServesUser) return true;
  }
  return false;
}

}  // namespace ringshift
