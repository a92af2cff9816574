// Host probes: small experiments with signals, mappings and processor modes, each in a child
// process. If an experiment breaks its process, or is killed, only the child ends. See
// docs/usage.md, "doctor".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace ringshift {

// Runs `experiment` in a child process; nothing if it said nothing, died or took over five seconds.
// Pre: this process has one thread.
[[nodiscard]] std::optional<uint64_t> ask_child(
    const std::function<std::optional<uint64_t>()>& experiment);

// Experiments. The measuring ones return nanoseconds (median), the others a value on success.
[[nodiscard]] std::optional<uint64_t> measure_signal();
[[nodiscard]] std::optional<uint64_t> measure_mapping();
// Enters 32-bit code by a far jump to CS 0x23 and comes back.
[[nodiscard]] std::optional<uint64_t> run_compatibility_mode();
[[nodiscard]] std::optional<uint64_t> set_cpuid_faulting();

}  // namespace ringshift
