// Share options: --share, from its text to a request. See docs/sharing.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/share/share_request.h"

namespace ringshift {

// FOLDER[,tag=NAME][,readonly[=on|off]], one of them at most. False with one line in *problem.
[[nodiscard]] bool parse_shares(const std::vector<std::string>& texts, ShareRequest* request,
                                std::string* problem);

}  // namespace ringshift
