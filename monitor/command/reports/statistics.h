// Statistics: the counters and the figures that follow from them, as the text and JSON of --stats.
// Making the text is pure; measure_process asks the host about this process. See docs/usage.md,
// "statistics".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "shadowmmu/base/counters.h"

namespace ringshift {

// Figures that the counters do not know.
struct ProcessFigures {
  double wall_seconds = 0;
  double start_seconds = 0;  // from the program's beginning to the guest's first instruction
  double user_seconds = 0;
  double system_seconds = 0;
  double children_seconds = 0;  // processes that ran user code directly, once they have ended
  // Nothing when the host does not say.
  std::optional<uint64_t> guest_ram_resident_bytes;
  double held_seconds = 0;   // the guest stood still because of its --limit
  int sandbox_filter = 0;    // 1: the monitor has the system calls it needs, and no others
  int sandbox_landlock = 0;  // the version in force for it; 0: none
  uint64_t disk_read = 0, disk_written = 0;         // bytes, by the guest's drives
  uint64_t network_sent = 0, network_received = 0;  // bytes, by its card
  uint64_t ticks_made_up = 0, ticks_dropped = 0;    // late ones of its timers (--time)
  std::optional<uint64_t> monitor_bytes;            // resident memory that is not guest RAM
};

// The host's count of this process's memory: the files are opened while files can be, and read when
// asked.
class MemoryCount {
 public:
  MemoryCount();
  ~MemoryCount();
  MemoryCount(const MemoryCount&) = delete;
  MemoryCount& operator=(const MemoryCount&) = delete;
  [[nodiscard]] std::optional<uint64_t> proportional_set_bytes() const;

 private:
  int descriptor_ = -1;
};

// guest_ram: the descriptor guest RAM is kept in.
[[nodiscard]] ProcessFigures measure_process(double wall_seconds, int guest_ram,
                                             const MemoryCount& memory = MemoryCount());

enum class StatisticsDetail : uint8_t { NonZero, All };

// Counters in groups by the first part of their name, then the figures that follow from them.
[[nodiscard]] std::string statistics_as_text(const Counters& counters,
                                             const ProcessFigures& figures,
                                             StatisticsDetail detail);
// One object: every counter under its own name, and the figures under time., memory., derived.
[[nodiscard]] std::string statistics_as_json(const Counters& counters,
                                             const ProcessFigures& figures);

}  // namespace ringshift
