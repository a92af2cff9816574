#include "monitor/vcpu/cpuid_answers.h"

namespace ringshift {

void CpuidAnswers::clear() {
  table_.fill(CpuidAnswer{});
  state_ = cpuid_state(cpu_);
}

void CpuidAnswers::note(uint32_t leaf, uint32_t subleaf) {
  check();
  const CpuidResult result = shown_cpuid(cpu_, leaf, subleaf);
  const bool is_for_all = !CpuModel::has_subleaves(leaf);
  table_[cpuid_index(leaf)] = {.negated_leaf = 0U - leaf,
                               .is_for_all = is_for_all ? 1U : 0U,
                               .negated_subleaf = 0 - uint64_t{subleaf},
                               .eax = result.eax,
                               .ebx = result.ebx,
                               .ecx = result.ecx,
                               .edx = result.edx};
}

}  // namespace ringshift
