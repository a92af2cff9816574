#include "shadowmmu/guest_tables.h"

#include "shadowmmu/base/hash.h"
#include "shadowmmu/table_entry.h"

namespace ringshift {
namespace {

// A region of 4 MiB is one directory entry, or two entries of one of four PAE directories.
constexpr uint32_t kRegionsOfPaeDirectory = 256;
constexpr uint32_t kPaeEntryBytes = 8;

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

uint64_t GuestTables::hash_directory_entry(uint64_t entry) const {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15U;
  const bool is_large = (entry & kEntryLarge) != 0 && (mode_.pae || mode_.pse);
  if ((entry & kEntryPresent) == 0 || is_large) return (entry + 1) * kMultiplier;
  const uint8_t* table = memory_.table_bytes(GuestPhysical(entry & kEntryFrame));
  if (table == nullptr) return 0;
  return hash_bytes({table, kPageSize}, entry);
}

uint64_t GuestTables::hash(Region region) const {
  if (!mode_.paging) return 0;
  if (!mode_.pae) {
    const GuestPhysical directory(mode_.cr3 & kEntryFrame);
    return hash_directory_entry(memory_.read_entry32(directory + region.index() * 4));
  }
  const uint64_t pointer = mode_.pdpte[region.index() / kRegionsOfPaeDirectory];
  if ((pointer & kEntryPresent) == 0) return 1;
  const GuestPhysical first = first_pae_entry(pointer, region);
  const uint64_t low = hash_directory_entry(memory_.read_entry64(first));
  const uint64_t high = hash_directory_entry(memory_.read_entry64(first + kPaeEntryBytes));
  return low == 0 || high == 0 ? 0 : (low * 31) ^ high;
}

bool GuestTables::has_user_pages(Region region) const {
  constexpr uint64_t kServesUser = kEntryPresent | kEntryUser;
  const auto serves = [](uint64_t entry) { return (entry & kServesUser) == kServesUser; };
  if (!mode_.paging) return true;
  if (!mode_.pae) {
    const GuestPhysical directory(mode_.cr3 & kEntryFrame);
    return serves(memory_.read_entry32(directory + region.index() * 4));
  }
  const uint64_t pointer = mode_.pdpte[region.index() / kRegionsOfPaeDirectory];
  if ((pointer & kEntryPresent) == 0) return false;
  const GuestPhysical first = first_pae_entry(pointer, region);
  return serves(memory_.read_entry64(first)) ||
         serves(memory_.read_entry64(first + kPaeEntryBytes));
}

}  // namespace ringshift
