// ShareWalls: the walls around the file server of a shared folder, put up before it begins. It
// follows symbolic links and names with dots in them wherever they lead, as any user's program
// does, and the guest chooses the names: the host's kernel has to say where they end. Keeps: S6.
// See docs/sharing.md and docs/security.md.
#pragma once

#include <string>

namespace ringshift {

// For the calling process and its later programs, for good: of all files it reaches the folder (to
// be read only, if read_only) and, to be read, programs and libraries; no network. False: the host
// offers too little of it. Pre: the process has one thread; folder is absolute, without links, and
// not the root.
[[nodiscard]] bool raise_share_walls(const std::string& folder, bool read_only);

}  // namespace ringshift
