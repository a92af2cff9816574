#include "monitor/debug/gdb/quiet_memory.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/walker.h"

namespace ringshift::debug {

std::optional<GuestPhysical> translate_quietly(Machine& machine, GuestVirtual address) {
  LinearMemory& memory = machine.processor().cpu().memory;
  const WalkResult result = probe(memory.paging_mode(), memory.physical(), address,
                                  AccessKind::Read, Privilege::Supervisor);
  if (result.fault) return std::nullopt;
  return memory.physical().masked(result.translation.physical);
}

size_t read_physical_quietly(Machine& machine, GuestPhysical address, std::span<uint8_t> bytes) {
  const PhysicalMemory& memory = machine.processor().cpu().memory.physical();
  size_t done = 0;
  while (done < bytes.size()) {
    const GuestPhysical at(address.value() + done);
    const size_t offset = at.value() % kPageSize;
    const uint8_t* page = memory.readable_page(GuestPhysicalPage::of(at));
    if (page == nullptr) break;
    const size_t count = std::min<size_t>(bytes.size() - done, kPageSize - offset);
    std::memcpy(&bytes[done], page + offset, count);
    done += count;
  }
  return done;
}

size_t read_linear_quietly(Machine& machine, GuestVirtual linear, std::span<uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const GuestVirtual at = linear + static_cast<uint32_t>(done);
    const size_t count = std::min<size_t>(bytes.size() - done, kPageSize - at.offset_in_page());
    const std::optional<GuestPhysical> physical = translate_quietly(machine, at);
    if (!physical) break;
    if (read_physical_quietly(machine, *physical, bytes.subspan(done, count)) != count) break;
    done += count;
  }
  return done;
}

}  // namespace ringshift::debug
