// Counters: every countable event by name, always compiled in; an event is one line where it
// happens. Owns: one process-wide block, written by the vCPU thread only (so plain additions).
// Called by: everything; printed by --stats; asserted by tests ("explain time by counters").
#pragma once

#include <cstdint>
#include <string_view>

namespace ringshift {

struct Counters {
#define COUNTER(identifier, name) uint64_t identifier = 0;
#include "shadowmmu/base/counters.def"
#undef COUNTER
};

Counters& counters();

// Calls visit(name, value) for each counter, in the order of counters.def.
template <typename Visitor>
void for_each_counter(const Counters& block, Visitor visit) {
#define COUNTER(identifier, name) visit(std::string_view(name), block.identifier);
#include "shadowmmu/base/counters.def"
#undef COUNTER
}

}  // namespace ringshift
