// SlirpSandbox: the rights that the process of the network gives up before it sees the guest's
// first frame. It keeps: sockets of the internet's protocols that connect, those that listen
// already, one folder for TFTP, and the file with the host's name servers. See docs/security.md,
// S5.
#pragma once

#include "monitor/network/network_request.h"

namespace ringshift {

// For the calling process, for good; as much of it as the host offers. Pre: one thread.
void confine_slirp(const UserNetwork& wanted);

}  // namespace ringshift
