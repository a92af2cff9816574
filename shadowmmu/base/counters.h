// Counters: every countable event by name, always compiled in; an event is one line where it
// happens. Owns: one block a thread, so that additions are plain: a machine's events are counted on
// the thread that runs it.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringshift {

struct Counters {
#define COUNTER(identifier, name) uint64_t identifier = 0;
#include "shadowmmu/base/counters.def"
#undef COUNTER
};

// A variable of the program itself, so that its address is an offset from the thread pointer.
inline constinit thread_local Counters t_counters __attribute__((tls_model("initial-exec")));

// Those of this thread.
[[nodiscard]] inline Counters& counters() { return t_counters; }

// Calls visit(name, value) for each counter, in the order of counters.def.
template <typename Visitor>
void for_each_counter(const Counters& block, Visitor visit) {
#define COUNTER(identifier, name) visit(std::string_view(name), block.identifier);
#include "shadowmmu/base/counters.def"
#undef COUNTER
}

}  // namespace ringshift
