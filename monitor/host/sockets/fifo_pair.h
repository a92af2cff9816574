// FifoPair: named pipes as the other end of a port, as QEMU takes them. See docs/usage.md, "Ports".
#pragma once

#include <string>

namespace ringshift {

struct FifoPair {
  int read_from = -1;
  int written_to = -1;
};

// PATH.in and PATH.out, or PATH for both; neither blocks, and neither ends when the process at its
// other end leaves. False with errno (EINVAL: one is no FIFO), and nothing is open.
[[nodiscard]] bool open_fifo_pair(const std::string& path, FifoPair* pair);

}  // namespace ringshift
