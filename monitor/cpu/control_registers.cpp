#include "monitor/cpu/control_registers.h"

#include "shadowmmu/paging_mode.h"

namespace ringshift {

namespace {

constexpr uint32_t kCr0Defined = kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Et | kCr0Ne | kCr0Wp |
                                 kCr0Am | kCr0Nw | kCr0Cd | kCr0Pg;
// A change of these makes the processor read the PDPTEs again (SDM 3A 4.4.1).
constexpr uint32_t kCr0ReloadsPdpte = kCr0Cd | kCr0Nw | kCr0Pg;
constexpr uint32_t kCr4Paging = kCr4Pae | kCr4Pse | kCr4Pge;

constexpr uint64_t kPdptePresent = 1;
// Bits 1, 2 and 8:5, and all above the 36 physical address bits of the model (SDM 3A table 4-8).
constexpr uint64_t kPdpteReserved = 0x1e6ULL | ~0xfffffffffULL;

constexpr unsigned kDr6 = 6;
constexpr unsigned kDr7 = 7;
constexpr uint32_t kDr6Writable = 0xe00fU;
constexpr uint32_t kDr6Ones = 0xffff0ff0U;
constexpr uint32_t kDr6GeneralDetect = 1U << 13;
constexpr uint32_t kDr7Writable = 0xffff23ffU;
constexpr uint32_t kDr7Ones = 0x400U;
constexpr uint32_t kDr7GeneralDetect = 1U << 13;

MaybeFault load_pdptes(CpuContext& cpu, uint32_t cr3) {
  std::array<uint64_t, 4> entries{};
  for (uint32_t i = 0; i < entries.size(); ++i) {
    entries[i] =
        cpu.memory.physical().read_entry64(GuestPhysical((cr3 & 0xffffffe0U) + uint64_t{i} * 8));
    if ((entries[i] & kPdptePresent) != 0 && (entries[i] & kPdpteReserved) != 0) {
      return GuestFault::general_protection(0);
    }
  }
  cpu.state.pdpte = entries;
  return kNoFault;
}

void paging_changed(CpuContext& cpu) {
  cpu.memory.flush();
  cpu.paging.on_paging_mode_changed();
}

uint32_t cr4_defined(const CpuModel& model) {
  const uint32_t always =
      kCr4Tsd | kCr4De | kCr4Pse | kCr4Pge | kCr4Pce | kCr4Osfxsr | kCr4Osxmmexcpt;
  return always | (model.pae ? kCr4Pae : 0);
}

// DR4/DR5 are DR6/DR7 unless CR4.DE; any access while DR7.GD is #DB with DR6.BD (SDM 3B 17.2).
MaybeFault resolve_debug_register(const CpuContext& cpu, unsigned* index) {
  if (*index == 4 || *index == 5) {
    if ((cpu.state.cr4 & kCr4De) != 0) {
      return GuestFault::invalid_opcode();
    }
    *index += 2;
  }
  if ((cpu.state.dr[kDr7] & kDr7GeneralDetect) != 0) {
    GuestFault fault = GuestFault::simple(Vector::Debug);
    fault.dr6_bits = kDr6GeneralDetect;
    return fault;
  }
  return kNoFault;
}

void reset_segments(GuestState& state) {
  // Present, data, writable, accessed: every segment, CS included, has these at power-on.
  constexpr uint16_t kAttributes = 0x93;
  for (SegmentCache& cache : state.segment) {
    cache = {0, 0xffff, 0, kAttributes};
  }
  state.seg(SegmentRegister::Cs) = {0xffff0000U, 0xffff, 0xf000, kAttributes};
  state.ldtr = {0, 0xffff, 0, 0x82};
  state.tr = {0, 0xffff, 0, 0x8b};
  state.gdtr = {0, 0xffff};
  state.idtr = {0, 0xffff};
}

void reset_fpu(GuestState& state) {
  // FXSAVE layout, SDM 1 table 10-2. Power-on tag word 5555h: every register valid, zero.
  state.fxsave.fill(0);
  state.fxsave[0] = 0x40;   // FCW 0040h
  state.fxsave[4] = 0xff;   // abridged FTW
  state.fxsave[24] = 0x80;  // MXCSR 1f80h
  state.fxsave[25] = 0x1f;
}

}  // namespace

MaybeFault write_cr0(CpuContext& cpu, uint32_t value) {
  GuestState& state = cpu.state;
  value = (value & kCr0Defined) | kCr0Et;
  if ((value & kCr0Pg) != 0 && (value & kCr0Pe) == 0) {
    return GuestFault::general_protection(0);
  }
  if ((value & kCr0Nw) != 0 && (value & kCr0Cd) == 0) {
    return GuestFault::general_protection(0);
  }
  const uint32_t changed = value ^ state.cr0;
  const bool pae_paging = (value & kCr0Pg) != 0 && (state.cr4 & kCr4Pae) != 0;
  const bool reload = pae_paging && (changed & kCr0ReloadsPdpte) != 0;
  if (reload) {
    RETURN_IF_FAULT(load_pdptes(cpu, state.cr3));
  }
  state.cr0 = value;
  if (reload || (changed & (kCr0Pg | kCr0Wp)) != 0) {
    paging_changed(cpu);
  }
  return kNoFault;
}

MaybeFault write_cr3(CpuContext& cpu, uint32_t value) {
  GuestState& state = cpu.state;
  if ((state.cr0 & kCr0Pg) != 0 && (state.cr4 & kCr4Pae) != 0) {
    RETURN_IF_FAULT(load_pdptes(cpu, value));
  }
  state.cr3 = value;
  if ((state.cr4 & kCr4Pge) != 0) {
    cpu.memory.flush_all_but_global();
  } else {
    cpu.memory.flush();
  }
  cpu.paging.on_cr3_loaded();
  return kNoFault;
}

MaybeFault write_cr4(CpuContext& cpu, uint32_t value) {
  GuestState& state = cpu.state;
  if ((value & ~cr4_defined(cpu.model)) != 0) {
    return GuestFault::general_protection(0);
  }
  const uint32_t changed = value ^ state.cr4;
  const bool pae_paging = (state.cr0 & kCr0Pg) != 0 && (value & kCr4Pae) != 0;
  if (pae_paging && (changed & kCr4Paging) != 0) {
    RETURN_IF_FAULT(load_pdptes(cpu, state.cr3));
  }
  state.cr4 = value;
  if ((changed & kCr4Paging) != 0) {
    paging_changed(cpu);
  }
  return kNoFault;
}

void invalidate_page(CpuContext& cpu, GuestVirtual address) {
  cpu.memory.flush_page(address);
  cpu.paging.on_page_invalidated(address);
}

MaybeFault read_debug_register(CpuContext& cpu, unsigned index, uint32_t* value) {
  RETURN_IF_FAULT(resolve_debug_register(cpu, &index));
  *value = cpu.state.dr[index];
  return kNoFault;
}

MaybeFault write_debug_register(CpuContext& cpu, unsigned index, uint32_t value) {
  RETURN_IF_FAULT(resolve_debug_register(cpu, &index));
  if (index == kDr6) {
    value = (value & kDr6Writable) | kDr6Ones;
  } else if (index == kDr7) {
    value = (value & kDr7Writable) | kDr7Ones;
  }
  cpu.state.dr[index] = value;
  return kNoFault;
}

const char* impossible_control_register(const GuestState& state, const CpuModel& model) {
  const uint32_t cr0 = state.cr0;
  if ((cr0 & ~kCr0Defined) != 0 || (cr0 & kCr0Et) == 0) return "cr0";
  if ((cr0 & kCr0Pg) != 0 && (cr0 & kCr0Pe) == 0) return "cr0";
  if ((cr0 & kCr0Nw) != 0 && (cr0 & kCr0Cd) == 0) return "cr0";
  if ((state.cr4 & ~cr4_defined(model)) != 0) return "cr4";
  for (const uint64_t entry : state.pdpte) {
    if ((entry & kPdptePresent) != 0 && (entry & kPdpteReserved) != 0) return "pdpte";
  }
  if ((state.dr[kDr6] & ~kDr6Writable) != kDr6Ones) return "dr";
  if ((state.dr[kDr7] & ~kDr7Writable) != kDr7Ones) return "dr";
  return nullptr;
}

void reset(GuestState& state) {
  // The TSC runs on over a reset: nothing the guest can see tells it when it was started.
  const uint64_t tsc_offset = state.tsc_offset;
  state = GuestState{};
  state.tsc_offset = tsc_offset;
  state.eip = 0xfff0;
  state.reg(Gpr::Edx) = 0x600;  // family 6
  reset_segments(state);
  reset_fpu(state);
}

}  // namespace ringshift
