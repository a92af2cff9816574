// Stubs: the hand-written host code that every fragment shares: gate, exits, dispatch, soft
// accesses. Owns: their addresses in the arena. Emitted once, before any fragment; never dropped.
// Keeps: T6. See docs/translator.md.
#pragma once

#include <array>
#include <cstdint>

#include "shadowmmu/paging_mode.h"
#include "translator/code_arena.h"
#include "translator/guest_state.h"

namespace ringshift {

// Sizes a soft access may have; anything else is interpreted.
inline constexpr std::array<uint32_t, 5> kSoftSizes = {1, 2, 4, 8, 16};

struct Stubs {
  uint64_t enter = 0;          // void(Slots*): see gate.cpp
  uint64_t leave = 0;          // exit_reason is in its slot already
  uint64_t leave_fault = 0;    // where a signal handler sends a faulting fragment
  uint64_t indirect_miss = 0;  // at arena offset 0, so that an empty jump-table entry leads here
  uint64_t dispatch = 0;       // jump to guest EIP in R8D, polling
  uint64_t return_underflow = 0;
  uint64_t unlinked = 0;
  uint64_t interpret = 0;  // a callout that does not come back: jumped to
  // [segment register][is POP][Privilege][is for a kind]: called with the selector in R8D (its
  // descriptor_tag, if it is for a kind), 8 times its low byte in R9, the descriptor that
  // LoadedDescriptor::address leads to in R10 and, for POP, ESP behind it in Slots::scratch;
  // exit_eip and callout_next_eip set. DS and ES are always for a kind.
  std::array<std::array<std::array<std::array<uint64_t, 2>, 2>, 2>, kSegmentCount> load_segment{};
  // Called with the value in R8D; exit_eip and callout_next_eip set.
  uint64_t write_cr0 = 0;
  uint64_t clear_ts = 0;
  // Called with exit_eip set: comes back unless DR7.GD is set, and then goes to the interpreter.
  uint64_t check_debug = 0;
  // Called with the value in R8D; exit_eip and callout_next_eip set.
  uint64_t write_dr7 = 0;
  // Called with the base in R10D and the limit in R9D; exit_eip and callout_next_eip set.
  uint64_t load_gdt = 0;
  // Called with EIP in R8D, the selector in R9D and far_tag plus it in R10; exit_eip set. Comes
  // back with R9 times 8 the displacement of the FarTarget, or goes to the interpreter.
  uint64_t far_find = 0;
  // Called with the descriptor's bytes in R10. The same.
  uint64_t far_verify = 0;
  // Jumped to when the rest has been done: goes on at the destination, CS loaded from a descriptor
  // or by its selector.
  uint64_t far_enter = 0;
  uint64_t far_enter_by_selector = 0;
  // Called; exit_eip and callout_next_eip set.
  uint64_t cpuid = 0;
  // Jumped to with exit_eip set: to the other ring, or to the interpreter.
  uint64_t system_enter = 0;
  uint64_t system_exit = 0;
  uint64_t callout = 0;  // called; comes back behind the call, or goes elsewhere
  uint64_t ensure_fpu = 0;
  uint64_t event_window = 0;
  // [privilege][is_write][index into kSoftSizes]: R8D linear -> R8 host address; clobbers R9-R11.
  std::array<std::array<std::array<uint64_t, kSoftSizes.size()>, 2>, 2> soft{};
  uint64_t end = 0;  // stubs occupy [arena base, end)
  // Events are counted: the register of the jump table is event_walk, and the dispatcher does not
  // poll, as all that leads to it is an event.
  bool counts_events = false;

  [[nodiscard]] uint64_t soft_for(Privilege privilege, bool is_write, uint32_t size) const;
};

// Emits everything into an empty arena and tells the arena to keep it.
[[nodiscard]] Stubs emit_stubs(CodeArena& arena, bool counts_events = false);

}  // namespace ringshift
