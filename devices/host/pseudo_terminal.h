// PseudoTerminal: a pair of terminals (pty(7)): ours, and one that another program opens by its
// path. A function; see docs/usage.md.
#pragma once

#include <string>

namespace ringshift {

// Our side, which does not block, with a line that changes no byte; *path is the other's. As long
// as nobody has that open, ours is hung up (POLLHUP). -1 with errno.
[[nodiscard]] int open_pseudo_terminal(std::string* path);

}  // namespace ringshift
