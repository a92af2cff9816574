#include "monitor/machine/state_digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "monitor/cpu/processor_state.h"
#include "monitor/machine/machine.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Clears the parts of an FXSAVE image that tell of the host and not of the guest: where in our code
// the last FPU instruction was, and which bits of MXCSR exist; and the parts that are not
// architectural (SDM 1 table 10-2).
void leave_out_hosts_part(std::span<uint8_t> fxsave) {
  constexpr size_t kPointers = 6, kPointersEnd = 24, kMxcsrMask = 28, kMxcsrMaskEnd = 32,
                   kAvailable = 464;
  std::ranges::fill(fxsave.subspan(kPointers, kPointersEnd - kPointers), uint8_t{0});
  std::ranges::fill(fxsave.subspan(kMxcsrMask, kMxcsrMaskEnd - kMxcsrMask), uint8_t{0});
  std::ranges::fill(fxsave.subspan(kAvailable), uint8_t{0});
}

uint64_t hash_of_registers(Machine& machine) {
  ProcessorState processor{.registers = machine.state(),
                           .memory_types = machine.processor().cpu().memory_types,
                           .model = machine.processor().cpu().model,
                           .host_time_stamp = 0};
  std::vector<uint8_t> bytes;
  std::string error;
  const auto visit = [&](StateArchive& archive) { archive.part("processor", processor); };
  const auto whole = machine.state().fxsave;
  leave_out_hosts_part(machine.state().fxsave);
  CHECK(StateArchive::save(visit, &bytes, &error));
  machine.state().fxsave = whole;
  return hash_bytes(bytes, 0);
}

// Brings all of RAM here, if the machine was moved by post-copy.
void bring_all(Machine& machine) {
  const GuestMemory& memory = machine.memory();
  const PhysicalMemory& physical = machine.processor().cpu().memory.physical();
  for (uint64_t at = 0; at < memory.size() && memory.has_absent(); at += kPageSize) {
    physical.will_read(GuestPhysicalPage(at / kPageSize));
  }
}

// Memory that has not been touched is zeros; it is not read, since reading would take memory.
uint64_t hash_of_memory(const GuestMemory& memory) {
  constexpr uint64_t kPart = uint64_t{64} << 10;
  const std::vector<bool> used = memory.parts_in_use(kPart);
  uint64_t hash = 0;
  for (size_t i = 0; i < used.size(); ++i) {
    const uint64_t begin = i * kPart;
    if (!used[i]) continue;
    const uint64_t bytes = std::min(kPart, memory.size() - begin);
    const std::span<const uint8_t> part =
        memory.span(GuestPhysical(static_cast<uint32_t>(begin)), bytes);
    if (std::ranges::all_of(part, [](uint8_t byte) { return byte == 0; })) continue;
    hash = hash_bytes(part, hash ^ begin);
  }
  return hash;
}

}  // namespace

std::string StateDigest::text() const {
  return fmt::format("events={} registers={:016x} memory={:016x}", events, registers, memory);
}

StateDigest digest_of(Machine& machine, bool with_memory) {
  EventPositions* const events = machine.processor().events();
  if (with_memory) bring_all(machine);
  return {.events = events != nullptr ? events->counter().count() : 0,
          .registers = hash_of_registers(machine),
          .memory = with_memory ? hash_of_memory(machine.memory()) : 0};
}

}  // namespace ringshift
