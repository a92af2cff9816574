// DesertedSocket: removes the name of a UNIX socket that a killed run has left behind, where one of
// ours is to listen. A function; see docs/security.md, "Debuggers".
#pragma once

#include <string>

namespace ringshift {

// Takes the name away if a socket has it that nobody listens at. Anything else stays: a file, a
// link, a socket in use, a path too long for a socket.
void remove_deserted_socket(const std::string& path);

}  // namespace ringshift
