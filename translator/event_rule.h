// EventRule: the instructions that are events, the unit in which a machine under `--clock events`
// counts its progress. The rule looks at the instruction and its address only, never at caches, so
// that translated code and the interpreter count alike (T9). See docs/exact-execution.md.
#pragma once

#include <cstdint>

#include "shadowmmu/base/address.h"
#include "translator/decode.h"

namespace ringshift {

enum class EventRule : uint8_t {
  None,    // never an event
  Always,  // each execution is one: near RET, indirect and far JMP and CALL
  Time,    // RDTSC: kEventsOfTimeRead at once, since loops that wait are made of it
  Port,    // IN and OUT: kEventsOfPortAccess at once, as a bus takes its time
  Branch,  // a direct branch: one unless its destination lies above it in the same page, whether it
           // is taken or not
};

// With 8 ns an event, an eighth of a microsecond.
inline constexpr uint64_t kEventsOfTimeRead = 16;
// The same, close to a microsecond: guests wait by such accesses.
inline constexpr uint64_t kEventsOfPortAccess = 100;
// Added when an instruction (or an iteration of REP) is done, for each access to device memory that
// only the device itself can answer (PhysicalMemory::device_calls). The access is not an event
// itself: the count is not looked at before the next event.
inline constexpr uint64_t kEventsOfDeviceAccess = 100;

[[nodiscard]] EventRule event_rule(const GuestInstruction& instruction);

// Whether a step of the guest goes up within one page of linear space. Addresses are a ring, so a
// loop need not hold a branch downwards: it may run on over the end of linear space. But steps like
// this alone come to the end of their page.
[[nodiscard]] constexpr bool goes_up_in_page(Eip from, Eip to) {
  return to > from && from.page_base() == to.page_base();
}

}  // namespace ringshift
