// ShareRequest: the command line's wishes for a folder that the guest shares. Values only; see
// docs/sharing.md.
#pragma once

#include <string>

namespace ringshift {

struct ShareRequest {
  std::string folder;  // of the host's; empty: none is shared
  std::string tag = "share";
  bool read_only = false;
};

}  // namespace ringshift
