// Board tables: the ACPI and MP tables of a guest that is entered without firmware, where firmware
// would have put them: above 0xf0000 (kBoardTables). The machine has the PCI board then, set up as
// the tables say. See docs/devices.md; ACPI Specification 2.0, MultiProcessor Specification 1.4.
#pragma once

#include <cstdint>

#include "shadowmmu/guest_memory.h"

namespace ringshift {

struct BoardTables {
  bool apic = true;  // local APIC and I/O APIC
  bool hpet = true;
};

// Pre: memory is at least kSmallestRam.
void write_board_tables(const BoardTables& board, GuestMemory& memory);

}  // namespace ringshift
