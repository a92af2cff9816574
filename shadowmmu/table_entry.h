// Table entry: the bits of a page-table entry that mean the same in every format (SDM 3A tables 4-4
// to 4-6 and 4-9 to 4-11).
#pragma once

#include <cstdint>

namespace ringshift {

inline constexpr uint64_t kEntryPresent = 1U << 0;
inline constexpr uint64_t kEntryWritable = 1U << 1;
inline constexpr uint64_t kEntryUser = 1U << 2;
inline constexpr uint32_t kEntryAccessed = 1U << 5;
inline constexpr uint32_t kEntryDirty = 1U << 6;
inline constexpr uint64_t kEntryLarge = 1U << 7;  // of a directory; bit 7 of a table entry is PAT
inline constexpr uint64_t kEntryGlobal = 1U << 8;
inline constexpr uint64_t kEntryNoExecute = uint64_t{1} << 63;

// The bits of CR3 or of any entry that locate a table or a 4 KiB page (MAXPHYADDR is 36).
inline constexpr uint64_t kEntryFrame = 0xffffff000U;

}  // namespace ringshift
