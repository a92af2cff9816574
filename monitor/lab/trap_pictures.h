// Trap pictures: the engines as lanes over the guest's program, and the way on which
// trap-and-emulate was right. See docs/lab.md.
#pragma once

#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/trap.h"

namespace ringshift::lab {

// Has the guest told how far it was, under every engine alike?
[[nodiscard]] bool has_lanes(const TrapReport& report);
// Pre: has_lanes().
[[nodiscard]] Drawing lanes_picture(const TrapReport& report);
// Pre: report.way is not empty.
[[nodiscard]] Drawing way_picture(const TrapReport& report);

}  // namespace ringshift::lab
