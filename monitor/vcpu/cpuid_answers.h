// CpuidAnswers: fills the table from which generated code answers CPUID. Owns: nothing but what the
// answers depend on, as it was when the table was filled. A leaf is noted when it has been asked
// for. See docs/translator.md, "Inline sequences".
#pragma once

#include <cstdint>

#include "monitor/cpu/shown_cpuid.h"
#include "translator/frame.h"

namespace ringshift {

class CpuidAnswers {
 public:
  CpuidAnswers(CpuidTable& table, const CpuContext& cpu) : table_(table), cpu_(cpu) {}
  // Empties the table if something has been switched off or on that answers depend on. Before
  // translated code runs.
  void check() {
    if (cpuid_state(cpu_) != state_) clear();
  }
  // Pre: check(), or it follows before translated code runs.
  void note(uint32_t leaf, uint32_t subleaf);

 private:
  void clear();

  CpuidTable& table_;
  const CpuContext& cpu_;
  uint64_t state_ = 0;  // cpuid_state() of the answers in the table
};

}  // namespace ringshift
