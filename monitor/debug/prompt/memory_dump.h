// MemoryDump: `x/FMT ADDRESS` and `xp/FMT ADDRESS` of a monitor. See docs/control.md.
#pragma once

#include <string>

#include "monitor/debug/control_target.h"

namespace ringshift::debug {

// format: a slash, a count, one of x d u o c and one of b h w g, each of them optional. address:
// hexadecimal, or $ and a register's name. Lines of text.
[[nodiscard]] std::string dump_memory(ControlTarget& target, bool is_physical,
                                      const std::string& format, const std::string& address);

}  // namespace ringshift::debug
