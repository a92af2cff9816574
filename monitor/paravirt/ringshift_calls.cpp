// RingshiftInterface, second part: the calls. The guest has checked nothing.
#include <algorithm>
#include <array>
#include <utility>

#include "monitor/cpu/control_registers.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/paravirt/ringshift_interface.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/paging_mode.h"

namespace ringshift {
namespace {

uint64_t wide(uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; }

// The words that POPA, four POPs of segment registers and IRET would take from a stack.
struct PushedFrame {
  std::array<uint32_t, kGprCount> gpr;  // EDI, ESI, EBP, nothing, EBX, EDX, ECX, EAX
  std::array<uint32_t, 4> segments;     // GS, FS, ES, DS
};
constexpr std::array<SegmentRegister, 4> kSegmentOrder = {SegmentRegister::Gs, SegmentRegister::Fs,
                                                          SegmentRegister::Es, SegmentRegister::Ds};
// The number of the event and its error code come before the words that the processor has pushed.
constexpr uint32_t kPushedAt = sizeof(PushedFrame) + 8;

MaybeFault load_frame(CpuContext& cpu, const PushedFrame& frame) {
  for (size_t i = 0; i < kSegmentOrder.size(); ++i) {
    const auto selector = static_cast<uint16_t>(frame.segments[i]);
    RETURN_IF_FAULT(load_segment(cpu, kSegmentOrder[i], selector));
  }
  for (size_t i = 0; i < kGprCount; ++i) cpu.state.gpr[kGprCount - 1 - i] = frame.gpr[i];
  return kNoFault;
}

}  // namespace

// Outside of protected mode addresses would mean something else.
HypervisorCall RingshiftInterface::call(CpuContext& cpu) {
  HypervisorCall done;
  GuestState& state = cpu.state;
  if (!state.protected_mode() || state.v86_mode()) {
    done.fault = GuestFault::general_protection(0);
    return done;
  }
  ++counters().hypercalls;
  const auto asked = static_cast<Call>(state.reg(Gpr::Eax));
  if (asked == Call::Return) {
    done.fault = return_from_event(cpu);
    done.has_moved = !done.fault;
    return done;
  }
  state.reg(Gpr::Eax) = answer(cpu, asked, &done);
  return done;
}

uint32_t RingshiftInterface::answer(CpuContext& cpu, Call asked, HypervisorCall* done) {
  const GuestState& state = cpu.state;
  const uint32_t edx = state.reg(Gpr::Edx), ebx = state.reg(Gpr::Ebx);
  switch (asked) {
    case Call::Version:
      return kRingshiftVersion;
    case Call::RegisterTable:
    case Call::ReleaseTable:
      return set_table(edx, asked == Call::RegisterTable);
    case Call::UpdateTables:
      return update_tables(cpu);
    case Call::LoadCr3:
      return write_cr3(cpu, edx) ? kBadArgument : 0;
    case Call::Invalidate: {
      const uint32_t pages = std::min(ebx, kMostPages);
      for (uint32_t i = 0; i < pages; ++i) invalidate_page(cpu, GuestVirtual(edx + i * kPageSize));
      return pages;
    }
    case Call::SetEvents:
      return set_events(edx, ebx);
    case Call::CheckEvents:
      return 0;  // the boundary after the instruction looks
    case Call::Acknowledge: {
      const std::optional<uint8_t> vector = in_.acknowledge();
      return vector ? *vector : kNoSuchCall;
    }
    case Call::SetTimer:
      return set_timer(wide(edx, ebx), state.reg(Gpr::Esi));
    case Call::Block:
      return block(cpu, done);
    case Call::Yield:
      in_.yield();
      return 0;
    case Call::ReadClock:
      return read_clock(cpu);
    case Call::Print:
      return print(cpu);
    case Call::GiveBack:
      return give_back(cpu);
    case Call::Return:
      break;  // call()
  }
  return kNoSuchCall;
}

// EDX: the frame. BL: whether events are masked from then on. A frame that IRET would refuse is
// refused here, and then nothing has changed.
MaybeFault RingshiftInterface::return_from_event(CpuContext& cpu) {
  GuestState& state = cpu.state;
  const GuestVirtual at(state.reg(Gpr::Edx));
  const auto masked = static_cast<uint8_t>(state.reg(Gpr::Ebx) & 1U);
  // A return to another task (SDM 3A 7.4) has no frame.
  if ((state.eflags & kFlagNt) != 0) return GuestFault::general_protection(0);
  PushedFrame frame{};
  RETURN_IF_FAULT(cpu.memory.read(at, &frame, sizeof frame, Privilege::Supervisor));
  const auto registers = state.gpr;
  const auto segments = state.segment;
  MaybeFault fault = load_frame(cpu, frame);
  if (!fault) {
    // With a flat stack: the pushed words are at the frame's linear address.
    const uint32_t base = state.seg(SegmentRegister::Ss).base;
    state.reg(Gpr::Esp) = at.value() + kPushedAt - base;
    fault = interrupt_return(cpu, OperandSize::Bits32, state.pointer());
  }
  if (fault) {
    state.gpr = registers;
    state.segment = segments;
    return fault;
  }
  set_masked(masked);
  return kNoFault;
}

uint32_t RingshiftInterface::set_table(uint32_t address, bool is_table) {
  const GuestPhysical at(address);
  if (address % kPageSize != 0 || address / kPageSize >= tables_.size() ||
      !in_.memory.is_ram(GuestPhysicalPage::of(at))) {
    return kBadArgument;
  }
  tables_[address / kPageSize] = is_table;
  return 0;
}

// EDX: an array, EBX: of so many. EAX: the number done; the error of the first one, if none was.
uint32_t RingshiftInterface::update_tables(CpuContext& cpu) {
  constexpr uint32_t kEntryBytes = 16;
  const uint32_t array = cpu.state.reg(Gpr::Edx);
  const uint32_t count = std::min(cpu.state.reg(Gpr::Ebx), kMostEntries);
  uint32_t problem = 0;
  uint32_t done = 0;
  while (done < count && update_entry(cpu, GuestVirtual(array + done * kEntryBytes), &problem)) {
    ++done;
  }
  counters().hypercall_entries += done;
  return done == 0 && count != 0 ? problem : done;
}

bool RingshiftInterface::update_entry(CpuContext& cpu, GuestVirtual at, uint32_t* problem) {
  struct {
    uint32_t entry, invalid;  // physical; linear, with bit 0: drop what is cached of that page
    uint64_t value;
  } update{};
  *problem = kBadAddress;
  if (cpu.memory.read(at, &update, sizeof update, Privilege::Supervisor)) return false;
  *problem = kBadArgument;
  const bool is_wide = (cpu.state.cr4 & kCr4Pae) != 0;
  const uint32_t width = is_wide ? 8 : 4;
  const GuestPhysical entry(update.entry);
  if (update.entry % width != 0 || (!is_wide && update.value >> 32 != 0)) return false;
  if (!is_table(update.entry / kPageSize)) return false;
  if (!in_.memory.is_ram(GuestPhysicalPage::of(entry))) return false;
  in_.memory.write(entry, &update.value, width);
  if ((update.invalid & 1U) != 0) invalidate_page(cpu, GuestVirtual(update.invalid & ~1U));
  return true;
}

// which: 0, virtual time; 1, real time. Time zero: no event will come.
uint32_t RingshiftInterface::set_timer(uint64_t time, uint32_t which) {
  if (which > 1) return kBadArgument;
  if (time == 0) {
    timer_.cancel();
    return 0;
  }
  const uint64_t now = which == 0 ? virtual_time() : static_cast<uint64_t>(in_.time_of_day());
  const uint64_t most = static_cast<uint64_t>(kLongestRun);
  const uint64_t left = time <= now ? 0 : std::min(time - now, most);
  timer_.arm(in_.clock.now() + static_cast<Nanoseconds>(left));
  return 0;
}

// Until an event; EDX, EBX and ESI as for SetTimer, which is left as it is if EDX and EBX are zero.
uint32_t RingshiftInterface::block(CpuContext& cpu, HypervisorCall* done) {
  const GuestState& state = cpu.state;
  if (!has_events() || !events() || (state.eflags & kFlagIf) == 0) return kBadArgument;
  const uint64_t time = wide(state.reg(Gpr::Edx), state.reg(Gpr::Ebx));
  if (state.reg(Gpr::Esi) > 1) return kBadArgument;
  if (time != 0) (void)set_timer(time, state.reg(Gpr::Esi));
  set_masked(0);
  done->halts = !is_due();
  return 0;
}

// EDX: which, as for SetTimer. The time is in EDX:EAX.
uint32_t RingshiftInterface::read_clock(CpuContext& cpu) {
  uint32_t& edx = cpu.state.reg(Gpr::Edx);
  if (edx > 1) return kBadArgument;
  const uint64_t time = edx == 0 ? virtual_time() : static_cast<uint64_t>(in_.time_of_day());
  edx = static_cast<uint32_t>(time >> 32);
  return static_cast<uint32_t>(time);
}

// EDX: where, EBX: so many bytes. EAX: so many have been printed.
uint32_t RingshiftInterface::print(CpuContext& cpu) {
  constexpr uint32_t kPiece = 256;
  const uint32_t text = cpu.state.reg(Gpr::Edx);
  const uint32_t count = std::min(cpu.state.reg(Gpr::Ebx), kMostBytes);
  std::array<uint8_t, kPiece> piece{};
  uint32_t done = 0;
  while (done < count) {
    const uint32_t length = std::min(kPiece, count - done);
    const GuestVirtual at(text + done);
    if (cpu.memory.read(at, piece.data(), length, Privilege::Supervisor)) break;
    in_.print(std::span(piece).first(length));
    done += length;
  }
  return done == 0 && count != 0 ? kBadAddress : done;
}

// EDX: an array of page numbers, EBX: of so many. EAX: so many are zeros now, and the host's.
uint32_t RingshiftInterface::give_back(CpuContext& cpu) {
  const uint32_t array = cpu.state.reg(Gpr::Edx);
  const uint32_t count = std::min(cpu.state.reg(Gpr::Ebx), kMostPages);
  for (uint32_t done = 0; done < count; ++done) {
    uint32_t page = 0;
    const GuestVirtual at(array + done * 4);
    if (cpu.memory.read_value(at, Privilege::Supervisor, &page)) {
      return done == 0 ? kBadAddress : done;
    }
    const GuestPhysical address = in_.memory.masked(GuestPhysical(uint64_t{page} * kPageSize));
    if (page >= tables_.size() || !in_.memory.is_ram(GuestPhysicalPage::of(address))) {
      return done == 0 ? kBadArgument : done;
    }
    in_.memory.give_back(address.value(), kPageSize);
  }
  return count;
}

}  // namespace ringshift
