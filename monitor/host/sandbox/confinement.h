// Confinement: after start-up the monitor gives up the rights that it does not need: it opens
// nothing, starts nothing, connects to nothing and reaches no other process but those it traces.
// Owns: the list of system calls that are left, and the end of a process that makes another. Files
// that must be opened later are opened by file_broker. Keeps: S3 S4. See docs/security.md, "The
// monitor itself".
#pragma once

#include <cstdint>
#include <string>

#include "shadowmmu/base/sanitizer.h"

namespace ringshift {

enum class Sandbox : uint8_t {
  Off,      // for debugging, and for tools that trace from inside
  On,       // what the host offers
  Require,  // all of it, or no guest runs
};

// The confinement that holds from here on.
struct ConfinementOutcome {
  bool system_calls = false;  // the filter is in force, in every thread
  int landlock = 0;           // the version that is in force; 0: none
  std::string missing;        // what the host refuses, in words; empty: nothing
};

// For this process, for good.
[[nodiscard]] ConfinementOutcome confine_this_process();

// Does this build allow for it? A sanitizer's run-time library opens files and traces.
[[nodiscard]] constexpr bool can_be_confined() { return !kHasAddressSanitizer; }

}  // namespace ringshift
