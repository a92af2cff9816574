// Limit options: --limit of `run`: the most that a machine may use of the host. See
// docs/machines.md, "Limits".
#pragma once

#include <string>

#include "monitor/command/resource_limits.h"
#include "monitor/vcpu/vcpu.h"

namespace ringshift {

// "cpu=25%", "cpu=25", "shares=50", "memory=256M", "disk=10M", "network=1M", with commas between;
// empty: no limit. False with one line in *problem.
[[nodiscard]] bool apply_limit(const std::string& text, VcpuConfig* vcpu, ResourceLimits* limits,
                               std::string* problem);

}  // namespace ringshift
