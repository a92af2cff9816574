// PeerSocket: a stream to another machine's network, or a place where one is waited for. See
// docs/networking.md.
#pragma once

#include <string>

#include "monitor/network/network_request.h"

namespace ringshift {

// A socket that does not block: connected, or (address.listens) listening. -1 with one line in
// *error, after ten seconds without an answer at the latest, or once the run is to end.
[[nodiscard]] int open_peer_socket(const PeerAddress& address, std::string* error);
// Accepts a peer at a listening socket; -1: none has come. Answers of TCP leave at once.
[[nodiscard]] int accept_peer(int listener);

}  // namespace ringshift
