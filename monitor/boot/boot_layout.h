// Boot layout: the structures that a loader leaves in guest RAM beside the image, and the flat
// state it jumps in. Owns: the addresses. Nothing here survives the guest's own set-up, which
// replaces all of it. See docs/architecture.md.
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/guest_memory.h"
#include "translator/guest_state.h"

namespace ringshift {

// Conventional memory ends where the extended BIOS data area of a PC begins.
inline constexpr uint64_t kConventionalEnd = 0x9fc00;
inline constexpr uint64_t kHighMemory = 0x100000;
// boot_acpi writes its tables here.
inline constexpr uint64_t kBoardTables = 0xf0000, kBoardTablesEnd = 0xf8000;
// The smallest machine that is booted: conventional memory and one MiB above.
inline constexpr uint64_t kSmallestRam = 0x200000;

inline constexpr uint16_t kBootCodeSelector = 0x10;  // __BOOT_CS of the Linux boot protocol
inline constexpr uint16_t kBootDataSelector = 0x18;  // __BOOT_DS

// One range of the machine's memory map in the terms of BIOS function E820.
struct MemoryRange {
  uint64_t base;
  uint64_t length;
  uint32_t type;
};
inline constexpr uint32_t kMemoryUsable = 1;
inline constexpr uint32_t kMemoryReserved = 2;

// Pre: ram_bytes >= kSmallestRam.
[[nodiscard]] std::array<MemoryRange, 4> machine_memory_map(uint64_t ram_bytes);

void store16(GuestMemory& memory, uint64_t address, uint16_t value);
void store32(GuestMemory& memory, uint64_t address, uint32_t value);
void store64(GuestMemory& memory, uint64_t address, uint64_t value);

// The BIOS data area as firmware would have left it: ports, equipment, memory size, video mode.
void write_bios_data_area(GuestMemory& memory);

// Writes a flat GDT and sets the CPU as both boot protocols want it: protected mode, paging and
// interrupts off, flat segments, general registers zero, at `entry`. Pre: memory is at least
// kSmallestRam.
void enter_flat_protected_mode(GuestMemory& memory, GuestState& state, uint32_t entry);

}  // namespace ringshift
