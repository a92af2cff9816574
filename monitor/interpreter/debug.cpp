#include "monitor/interpreter/debug.h"

namespace ringshift::interp {
namespace {

constexpr unsigned kBreakpoints = 4;

enum class Watch : uint8_t { Instruction = 0, Write = 1, Io = 2, ReadWrite = 3 };

// The fields of DR7 for one breakpoint (SDM 3A 17.2.4).
struct Breakpoint {
  bool enabled = false;
  Watch watch = Watch::Instruction;
  uint32_t length = 1;
  uint32_t address = 0;
};

Breakpoint breakpoint(const GuestState& state, unsigned index) {
  constexpr uint32_t kLengths[] = {1, 2, 8, 4};
  const uint32_t dr7 = state.dr[7];
  Breakpoint result;
  result.enabled = ((dr7 >> (2 * index)) & 3U) != 0;
  const uint32_t fields = dr7 >> (16 + 4 * index);
  result.watch = static_cast<Watch>(fields & 3U);
  result.length = kLengths[(fields >> 2) & 3U];
  // Breakpoints are aligned to their length: the low address bits are ignored.
  result.address = state.dr[index] & ~(result.length - 1);
  return result;
}

bool overlaps(const Breakpoint& point, uint32_t first, uint32_t length) {
  return first - point.address < point.length || point.address - first < length;
}

}  // namespace

MaybeFault instruction_breakpoint(const Execution& x) {
  const uint32_t linear = x.state.seg(SegmentRegister::Cs).base + x.state.eip;
  uint32_t hits = 0;
  for (unsigned i = 0; i < kBreakpoints; ++i) {
    const Breakpoint point = breakpoint(x.state, i);
    if (point.enabled && point.watch == Watch::Instruction && point.address == linear) {
      hits |= 1U << i;
    }
  }
  if (hits == 0) return kNoFault;
  GuestFault fault = GuestFault::simple(Vector::Debug);
  fault.dr6_bits = hits;
  return fault;
}

void note_data_access(Execution& x, GuestVirtual address, uint32_t length, AccessKind access) {
  if (x.watcher != nullptr) x.watcher->on_data_access(address, length, access);
  for (unsigned i = 0; i < kBreakpoints; ++i) {
    const Breakpoint point = breakpoint(x.state, i);
    if (!point.enabled) continue;
    const bool kind_matches = point.watch == Watch::ReadWrite ||
                              (point.watch == Watch::Write && access == AccessKind::Write);
    if (kind_matches && overlaps(point, address.value(), length)) x.debug_hits |= 1U << i;
  }
}

void note_io_access(Execution& x, uint16_t port, uint32_t length) {
  if (!x.watching || (x.state.cr4 & kCr4De) == 0) return;
  for (unsigned i = 0; i < kBreakpoints; ++i) {
    const Breakpoint point = breakpoint(x.state, i);
    if (point.enabled && point.watch == Watch::Io && overlaps(point, port, length)) {
      x.debug_hits |= 1U << i;
    }
  }
}

}  // namespace ringshift::interp
