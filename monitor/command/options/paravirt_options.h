// Paravirt options: --paravirt of `run`: which hypervisor the guest is shown. See docs/paravirt.md.
#pragma once

#include <string>

#include "monitor/cpu/cpu_model.h"

namespace ringshift {

// False with one line in *problem.
[[nodiscard]] bool apply_paravirt(const std::string& text, CpuModel* cpu, std::string* problem);

}  // namespace ringshift
