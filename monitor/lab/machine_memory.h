// Machine memory: the places of a guest's bytes: linear address, physical page, and the host's
// memory behind it, in a machine that was cloned from another one and has run on. The host is asked
// as well which memory is the machine's own and which it shares: how much each memfd holds, and
// which mappings the host's kernel lists (/proc/self/maps). See docs/lab.md, docs/saved-state.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "monitor/lab/paging.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

enum class MemoryKind : uint8_t {
  Shared,  // the other machine's as of the moment it was cloned; nobody writes there
  Copied,  // was shared, until it was written
  Fresh,   // zeros at that moment, and written since
  Zero,    // zeros: the host has no memory for it
};
inline constexpr size_t kMemoryKinds = 4;
[[nodiscard]] const char* memory_kind_name(MemoryKind kind);

// A grain that became the machine's own.
struct CopyEvent {
  uint32_t eip = 0;
  std::string instruction;
  uint64_t physical = 0;  // of the grain's first byte
};

struct MemoryReport {
  std::string image, end;
  uint64_t ram_bytes = 0, grain_bytes = 0;
  int64_t pause_microseconds = 0;  // for which the first machine stood while it was cloned
  std::vector<MemoryKind> grains;  // of the clone at its end
  uint64_t pages[kMemoryKinds] = {};
  std::vector<PageRun> guest;  // the guest's tables then
  std::vector<CopyEvent> copies;
  uint64_t copies_left_out = 0;
  // As the host counts: bytes of memory in the machine's own memfd, in the shared ones, and of the
  // first machine after that.
  uint64_t own_bytes = 0, shared_bytes = 0, first_bytes = 0;
  // As the host's kernel lists the clone's RAM: pages mapped from the shared memfds, and from its
  // own.
  uint64_t mapped_shared = 0, mapped_own = 0;
  // The bytes that the guest's balloon has given back; none: the machine has no balloon.
  std::optional<uint64_t> ballooned;
};

// Runs a guest to some moment, clones its machine, and runs the clone to its end.
[[nodiscard]] bool watch_memory(const MachineConfig& config, double seconds, MemoryReport* report,
                                std::string* error);
[[nodiscard]] MemoryKind kind_of(const MemoryReport& report, uint64_t physical);
[[nodiscard]] std::string memory_finding(const MemoryReport& report);
[[nodiscard]] std::string memory_as_text(const MemoryReport& report);
[[nodiscard]] std::string memory_as_json(const MemoryReport& report);
[[nodiscard]] std::vector<Picture> memory_pictures(const MemoryReport& report);
[[nodiscard]] std::string memory_as_html(const MemoryReport& report, Company company);

}  // namespace ringshift::lab
