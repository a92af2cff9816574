#include "monitor/command/options/paravirt_options.h"

namespace ringshift {

bool apply_paravirt(const std::string& text, CpuModel* cpu, std::string* problem) {
  if (text == "none") {
    cpu->paravirt = Paravirt::None;
  } else if (text == "kvm") {
    cpu->paravirt = Paravirt::Kvm;
  } else if (text == "vmware") {
    cpu->paravirt = Paravirt::Vmware;
  } else if (text == "ringshift") {
    cpu->paravirt = Paravirt::Ringshift;
  } else {
    *problem = "--paravirt: '" + text + "' is none of none, kvm, vmware, ringshift";
    return false;
  }
  return true;
}

}  // namespace ringshift
