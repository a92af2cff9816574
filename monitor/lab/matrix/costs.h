// Costs: the price of each treatment on this machine, measured in loops of translated code. Values;
// each call measures again. See docs/lab.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace ringshift::lab {

// Processor cycles for one execution.
struct Costs {
  std::map<std::string, uint32_t> translated;  // by the census's names; those that can be in a loop
  uint32_t callout = 0;                        // SMSW: to the interpreter and back
  uint64_t trap_nanoseconds = 0;               // a host signal and its return; 0: not measured
};

[[nodiscard]] Costs measure_costs();

}  // namespace ringshift::lab
