// HypervisorInterface: what a processor has of its hypervisor: registers that no real one has.
// Declared here, because RDMSR and WRMSR lead there. See docs/paravirt.md.
#pragma once

#include <cstdint>
#include <optional>

namespace ringshift {

class HypervisorInterface {
 public:
  virtual ~HypervisorInterface() = default;
  // RDMSR of a register that the processor lacks. Nothing: there is no such register, #GP(0).
  [[nodiscard]] virtual std::optional<uint64_t> read_msr(uint32_t index) = 0;
  // WRMSR to one. False: #GP(0), and nothing has changed.
  [[nodiscard]] virtual bool write_msr(uint32_t index, uint64_t value) = 0;
  // The guest has set its time-stamp counter.
  virtual void on_time_stamp_set(uint64_t before, uint64_t after) = 0;
};

}  // namespace ringshift
