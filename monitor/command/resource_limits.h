// ResourceLimits: the host's resources that a machine may use at most, besides processor time; and
// the ways in which a run keeps to them. See docs/machines.md, "Limits".
#pragma once

#include <cstdint>
#include <string>

#include "monitor/machine/media/media.h"

namespace ringshift {

// 0: no limit.
struct ResourceLimits {
  uint64_t memory_bytes = 0;  // of the machine's processes: guest RAM and all else
  uint64_t memory_min = 0;    // of guest RAM, that it has from its start to its end
  uint64_t disk_rate = 0;     // bytes a second, of all disks together
  uint64_t network_rate = 0;  // bytes a second, each way
  unsigned shares = 0;        // of the processor, against others beside it: 1 to 100
  std::string group;          // a delegated control group; empty: if there is one; "off": none
};

// The memory that a machine takes whatever its guest does.
struct FixedMemory {
  uint64_t guest_ram = 0;
  uint64_t translated_code = 0;
  bool has_network_process = false;
};

// The nice level at which a process gets about shares/100 of the time of one at level 0 (sched(7):
// a level is a factor of 1.25). 0 to 19.
[[nodiscard]] int nice_level_of(unsigned shares);
// Sets shares, and makes a control group with the limits for all threads together, if the host has
// delegated one. Both are for this process and those that it starts from now on. Pre: no threads
// yet. cpu_percent: the virtual CPU's own limit; 0: none. False with one line in *problem: the
// group that the user has named cannot be used.
[[nodiscard]] bool limit_processor(const ResourceLimits& limits, unsigned cpu_percent,
                                   std::string* problem);

// False with one line in *problem: the limit is too little to begin with, or the minimum is more
// than the guest's RAM or than the host has.
[[nodiscard]] bool is_enough_memory(const ResourceLimits& limits, const FixedMemory& fixed,
                                    std::string* problem);

// Exists around the start of the network's process, which keeps the limit that it is born with.
class NetworkMemoryLimit {
 public:
  explicit NetworkMemoryLimit(const ResourceLimits& limits);
  ~NetworkMemoryLimit();
  NetworkMemoryLimit(const NetworkMemoryLimit&) = delete;
  NetworkMemoryLimit& operator=(const NetworkMemoryLimit&) = delete;

 private:
  bool is_on_ = false;
  uint64_t before_ = 0;
};

// When the processes are there that are not counted: from then on the host's kernel counts the
// memory that is this process's own, and refuses more. False with one line in *problem.
[[nodiscard]] bool limit_memory(const ResourceLimits& limits, const FixedMemory& fixed,
                                std::string* problem);

// All media of the machine share the rate.
void limit_disks(const ResourceLimits& limits, Media* media);

}  // namespace ringshift
