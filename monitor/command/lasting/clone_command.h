// CloneCommand: `ringshift clone`: asks a machine that runs, at its QMP socket, for a clone of
// itself as it is now, and says how to go on with that. See docs/saved-state.md, "Clones".
#pragma once

#include <string>
#include <vector>

namespace ringshift {

// Replaces {"clone", SOCKET, WORD...} by {"resume", FILE, WORD...}, with the file of the clone.
// SOCKET is "unix:PATH" or PATH. Waits for as long as the machine takes. False with one line in
// *problem.
[[nodiscard]] bool cloned_words(std::vector<std::string>* words, std::string* problem);

}  // namespace ringshift
