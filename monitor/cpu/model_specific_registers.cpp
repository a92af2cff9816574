// RDMSR and WRMSR: the registers this processor has (SDM 4 chapter 2); all others are #GP(0).
#include "monitor/cpu/control_registers.h"
#include "shadowmmu/paging_mode.h"

namespace ringshift {

namespace {

constexpr uint32_t kMsrTsc = 0x10;
constexpr uint32_t kMsrPlatformId = 0x17;
constexpr uint32_t kMsrApicBase = 0x1b;
constexpr uint32_t kMsrBiosSignId = 0x8b;
constexpr uint32_t kMsrArchCapabilities = 0x10a;
constexpr uint32_t kMsrSysenterCs = 0x174;
constexpr uint32_t kMsrSysenterEsp = 0x175;
constexpr uint32_t kMsrSysenterEip = 0x176;
constexpr uint32_t kMsrMiscEnable = 0x1a0;
constexpr uint32_t kMsrDebugCtl = 0x1d9;
constexpr uint32_t kMsrPat = 0x277;
constexpr uint32_t kMsrEfer = 0xc0000080U;

// IA32_MISC_ENABLE (SDM 4 table 2-2). Hints about speed, which change nothing here: fast strings
// and four kinds of prefetching.
constexpr uint64_t kMiscEnableHints = 1 | (1ULL << 9) | (1ULL << 19) | (1ULL << 37) | (1ULL << 39);
// No branch trace store, no precise sampling: read-only.
constexpr uint64_t kMiscEnableUnavailable = (1U << 11) | (1U << 12);
// IA32_APIC_BASE: this is the processor that starts; the APIC is enabled.
constexpr uint64_t kApicBootProcessor = 1U << 8, kApicEnable = 1U << 11;

// RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO,
// PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO. The mitigations for these act through page tables,
// MSRs or buffer-clearing instructions that cannot reach the host's processor from in here.
constexpr uint64_t kArchCapabilities = (1U << 0) | (1U << 3) | (1U << 4) | (1U << 5) | (1U << 6) |
                                       (1U << 8) | (1U << 13) | (1U << 14) | (1U << 15) |
                                       (1U << 20) | (1U << 24) | (1U << 26) | (1U << 27);

GuestFault unknown() { return GuestFault::general_protection(0); }

bool has_efer(const CpuModel& model) { return model.nx && model.pae; }

void set_efer(CpuContext& cpu, uint64_t value) {
  cpu.state.efer = value;
  cpu.memory.flush();
  cpu.paging.on_paging_mode_changed();
}

// It came after the Pentium III.
bool has_misc_enable(const CpuModel& model) { return model.sse42; }

// The bits of IA32_MISC_ENABLE that can be written, as CPUID tells: leaves above 2 to hide, and
// execute-disable to switch off.
uint64_t misc_enable_writable(const CpuModel& model) {
  return kMiscEnableHints | kMiscEnableLimitCpuid | (has_efer(model) ? kMiscEnableNoExecuteOff : 0);
}

// Switching execute-disable off takes EFER.NXE along, which is a reserved bit from then on.
MaybeFault write_misc_enable(CpuContext& cpu, uint64_t value) {
  const uint64_t writable = misc_enable_writable(cpu.model);
  if (!has_misc_enable(cpu.model) || (value & ~(writable | kMiscEnableUnavailable)) != 0) {
    return unknown();
  }
  cpu.state.misc_enable = value & writable;
  if ((value & kMiscEnableNoExecuteOff) != 0 && cpu.state.efer != 0) set_efer(cpu, 0);
  return kNoFault;
}

// PAT entries may be 0, 1, 4-7 (SDM 3A 11.12.2); 2 and 3 are reserved.
bool valid_pat(uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) {
    const uint64_t type = (value >> (8 * i)) & 0xffU;
    if (type > 7 || type == 2 || type == 3) {
      return false;
    }
  }
  return true;
}

MaybeFault write_efer(CpuContext& cpu, uint64_t value) {
  const bool is_off = (cpu.state.misc_enable & kMiscEnableNoExecuteOff) != 0;
  if (!has_efer(cpu.model) || (value & ~(is_off ? 0 : kEferNxe)) != 0) {
    return unknown();
  }
  if (value != cpu.state.efer) set_efer(cpu, value);
  return kNoFault;
}

MaybeFault write_sysenter(CpuContext& cpu, uint32_t index, uint64_t value) {
  if (!cpu.model.sysenter) {
    return unknown();
  }
  const auto low = static_cast<uint32_t>(value);
  if (index == kMsrSysenterCs) {
    cpu.state.sysenter_cs = low;
  } else if (index == kMsrSysenterEsp) {
    cpu.state.sysenter_esp = low;
  } else {
    cpu.state.sysenter_eip = low;
  }
  return kNoFault;
}

MaybeFault read_sysenter(const CpuContext& cpu, uint32_t index, uint64_t* value) {
  if (!cpu.model.sysenter) {
    return unknown();
  }
  if (index == kMsrSysenterCs) {
    *value = cpu.state.sysenter_cs;
  } else if (index == kMsrSysenterEsp) {
    *value = cpu.state.sysenter_esp;
  } else {
    *value = cpu.state.sysenter_eip;
  }
  return kNoFault;
}

uint64_t apic_base(const LocalApic& apic) {
  return kLocalApicBase | kApicBootProcessor | (apic.enabled() ? kApicEnable : 0);
}

// Its registers stay where they are: LIMIT(L7).
MaybeFault write_apic_base(CpuContext& cpu, uint64_t value) {
  if (cpu.apic == nullptr || ((value ^ apic_base(*cpu.apic)) & ~kApicEnable) != 0) return unknown();
  cpu.apic->set_enabled((value & kApicEnable) != 0);
  return kNoFault;
}

void write_time_stamp(CpuContext& cpu, uint64_t value) {
  const uint64_t before = cpu.tsc.read();
  cpu.state.tsc_offset += value - before;
  if (cpu.hypervisor != nullptr) cpu.hypervisor->on_time_stamp_set(before, value);
}

MaybeFault write_other(CpuContext& cpu, uint32_t index, uint64_t value) {
  if (cpu.memory_types.write(index, value)) return kNoFault;
  const bool is_taken = cpu.hypervisor != nullptr && cpu.hypervisor->write_msr(index, value);
  return is_taken ? kNoFault : MaybeFault(unknown());
}

MaybeFault read_other(CpuContext& cpu, uint32_t index, uint64_t* value) {
  std::optional<uint64_t> found = cpu.memory_types.read(index);
  if (!found && cpu.hypervisor != nullptr) found = cpu.hypervisor->read_msr(index);
  if (!found) return unknown();
  *value = *found;
  return kNoFault;
}

}  // namespace

const char* impossible_msr(const GuestState& state, const CpuModel& model) {
  const bool is_off = (state.misc_enable & kMiscEnableNoExecuteOff) != 0;
  if ((state.efer & ~(has_efer(model) && !is_off ? kEferNxe : 0)) != 0) return "efer";
  if ((state.misc_enable & ~misc_enable_writable(model)) != 0) return "misc enable";
  return valid_pat(state.pat) ? nullptr : "pat";
}

MaybeFault read_msr(CpuContext& cpu, uint32_t index, uint64_t* value) {
  switch (index) {
    case kMsrTsc:
      *value = cpu.tsc.read();
      return kNoFault;
    case kMsrApicBase:
      if (cpu.apic == nullptr) {
        return unknown();
      }
      *value = apic_base(*cpu.apic);
      return kNoFault;
    case kMsrPlatformId:
    case kMsrBiosSignId:  // no microcode update loaded
    case kMsrDebugCtl:    // no branch records
      *value = 0;
      return kNoFault;
    case kMsrArchCapabilities:
      if (cpu.model.meltdown) {
        return unknown();
      }
      *value = kArchCapabilities;
      return kNoFault;
    case kMsrSysenterCs:
    case kMsrSysenterEsp:
    case kMsrSysenterEip:
      return read_sysenter(cpu, index, value);
    case kMsrMiscEnable:
      if (!has_misc_enable(cpu.model)) return unknown();
      *value = cpu.state.misc_enable | kMiscEnableUnavailable;
      return kNoFault;
    case kMsrPat:
      *value = cpu.state.pat;
      return kNoFault;
    case kMsrEfer:
      if (!has_efer(cpu.model)) {
        return unknown();
      }
      *value = cpu.state.efer;
      return kNoFault;
    default:
      return read_other(cpu, index, value);
  }
}

MaybeFault write_msr(CpuContext& cpu, uint32_t index, uint64_t value) {
  switch (index) {
    case kMsrTsc:
      write_time_stamp(cpu, value);
      return kNoFault;
    case kMsrApicBase:
      return write_apic_base(cpu, value);
    case kMsrBiosSignId:
      // Software writes 0 before CPUID to read the update revision back (SDM 3A 9.11.7.1).
      return kNoFault;
    case kMsrDebugCtl:
      return value == 0 ? MaybeFault() : unknown();
    case kMsrSysenterCs:
    case kMsrSysenterEsp:
    case kMsrSysenterEip:
      return write_sysenter(cpu, index, value);
    case kMsrMiscEnable:
      return write_misc_enable(cpu, value);
    case kMsrPat:
      if (!valid_pat(value)) {
        return unknown();
      }
      cpu.state.pat = value;
      return kNoFault;
    case kMsrEfer:
      return write_efer(cpu, value);
    default:
      return write_other(cpu, index, value);
  }
}

}  // namespace ringshift
