// SessionWeight: how much of its processors the host gives to this process's session, beside other
// sessions. Linux weighs sessions against each other, and only then the processes of each, where
// it groups processes by sessions (sched(7), "The autogroup feature"); a nice level says nothing
// across sessions then. See docs/machines.md, "Limits".
#pragma once

#include <string>

namespace ringshift {

// Gives this process's session a nice level of its own, 0 to 19, for good. False: the process does
// not lead its session, which then holds processes of others; or the host has no such groups.
// file: where the host takes the level; another one in tests.
bool set_session_level(int level, const std::string& file = "/proc/self/autogroup");

}  // namespace ringshift
