// Interpreter: control and debug registers, MSRs, TSC, CPUID, SYSENTER/SYSEXIT, INVLPG, HLT, CLI,
// STI, IN, OUT, LMSW, SMSW, CLTS. See SDM 2A/2B, one page each.
#include "monitor/cpu/control_registers.h"
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

constexpr uint8_t kShadowSti = 1;

bool privileged(const Execution& x) { return x.state.cpl == 0; }

// CR1, CR5 and up are no registers at any privilege.
bool is_control_register(unsigned number) { return number <= 4 && number != 1; }

MaybeFault read_control_register(Execution& x, const Operation& op) {
  if (!is_control_register(op.reg)) return GuestFault::invalid_opcode();
  if (!privileged(x)) return general_protection();
  switch (op.reg) {
    case 0:
      x.state.gpr[op.rm] = x.state.cr0;
      return kNoFault;
    case 2:
      x.state.gpr[op.rm] = x.state.cr2;
      return kNoFault;
    case 3:
      x.state.gpr[op.rm] = x.state.cr3;
      return kNoFault;
    case 4:
      x.state.gpr[op.rm] = x.state.cr4;
      return kNoFault;
    default:
      return GuestFault::invalid_opcode();
  }
}

MaybeFault write_control_register(Execution& x, const Operation& op) {
  if (!is_control_register(op.reg)) return GuestFault::invalid_opcode();
  if (!privileged(x)) return general_protection();
  const uint32_t value = x.state.gpr[op.rm];
  switch (op.reg) {
    case 0:
      return write_cr0(x.cpu, value);
    case 2:
      x.state.cr2 = value;
      return kNoFault;
    case 3:
      return write_cr3(x.cpu, value);
    case 4:
      return write_cr4(x.cpu, value);
    default:
      return GuestFault::invalid_opcode();
  }
}

MaybeFault read_debug(Execution& x, const Operation& op) {
  if (!privileged(x)) return general_protection();
  uint32_t value = 0;
  RETURN_IF_FAULT(read_debug_register(x.cpu, op.reg, &value));
  x.state.gpr[op.rm] = value;
  return kNoFault;
}
MaybeFault write_debug(Execution& x, const Operation& op) {
  if (!privileged(x)) return general_protection();
  return write_debug_register(x.cpu, op.reg, x.state.gpr[op.rm]);
}

// A register gets all of CR0 with 32-bit operands (SDM 2B SMSW: undefined above bit 15; silicon
// agrees).
MaybeFault store_machine_status(Execution& x, const Operation& op) {
  if (!op.is_memory && op.operand_bytes == 4) {
    x.state.gpr[op.rm] = x.state.cr0;
    return kNoFault;
  }
  return store_rm<uint16_t>(x, op, static_cast<uint16_t>(x.state.cr0));
}

// LMSW can set PE and cannot clear it.
MaybeFault load_machine_status(Execution& x, const Operation& op) {
  if (!privileged(x)) return general_protection();
  uint16_t value;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &value));
  constexpr uint32_t kClearable = kCr0Mp | kCr0Em | kCr0Ts;
  return write_cr0(x.cpu, (x.state.cr0 & ~kClearable) | (value & (kClearable | kCr0Pe)));
}

MaybeFault clear_task_switched(Execution& x, const Operation&) {
  if (!privileged(x)) return general_protection();
  x.state.cr0 &= ~kCr0Ts;
  return kNoFault;
}

// INVLPG computes a linear address without limit or presence checks (SDM 2A INVLPG).
MaybeFault invalidate(Execution& x, const Operation& op) {
  if (!privileged(x)) return general_protection();
  const uint32_t linear = x.state.seg(op.segment).base + effective_address(x.state, op);
  invalidate_page(x.cpu, GuestVirtual(linear));
  return kNoFault;
}

// Guest caches are the host's, which are coherent: INVD and WBINVD have nothing to do.
MaybeFault flush_caches(Execution& x, const Operation&) {
  return privileged(x) ? kNoFault : MaybeFault(general_protection());
}

MaybeFault halt(Execution& x, const Operation&) {
  if (!privileged(x)) return general_protection();
  x.kind = StepKind::Halted;
  return kNoFault;
}

constexpr uint32_t kExtendedFeatures = 0x80000001U;
constexpr uint32_t kFeatureApic = 1U << 9;        // leaf 1 EDX
constexpr uint32_t kFeatureNoExecute = 1U << 20;  // leaf 80000001H EDX
constexpr uint32_t kLimitedLeaves = 2;

// A feature that the guest has switched off looks absent (SDM 3A 10.4.3, SDM 4 table 2-2).
void hide_disabled(const CpuContext& cpu, uint32_t leaf, CpuidResult* result) {
  const uint64_t misc_enable = cpu.state.misc_enable;
  if (leaf == 0 && (misc_enable & kMiscEnableLimitCpuid) != 0) result->eax = kLimitedLeaves;
  if (leaf == 1 && cpu.apic != nullptr && !cpu.apic->enabled()) result->edx &= ~kFeatureApic;
  if (leaf == kExtendedFeatures && (misc_enable & kMiscEnableNoExecuteOff) != 0) {
    result->edx &= ~kFeatureNoExecute;
  }
}

MaybeFault cpuid(Execution& x, const Operation&) {
  GuestState& state = x.state;
  CpuidResult result = x.cpu.model.cpuid(state.reg(Gpr::Eax), state.reg(Gpr::Ecx));
  hide_disabled(x.cpu, state.reg(Gpr::Eax), &result);
  state.reg(Gpr::Eax) = result.eax;
  state.reg(Gpr::Ebx) = result.ebx;
  state.reg(Gpr::Ecx) = result.ecx;
  state.reg(Gpr::Edx) = result.edx;
  return kNoFault;
}

void set_edx_eax(GuestState& state, uint64_t value) {
  state.reg(Gpr::Eax) = static_cast<uint32_t>(value);
  state.reg(Gpr::Edx) = static_cast<uint32_t>(value >> 32);
}

MaybeFault read_time_stamp(Execution& x, const Operation&) {
  if ((x.state.cr4 & kCr4Tsd) != 0 && !privileged(x)) return general_protection();
  set_edx_eax(x.state, x.cpu.tsc.read());
  return kNoFault;
}

// No performance counters are implemented, so every index is invalid (SDM 2B RDPMC).
MaybeFault read_performance_counter(Execution&, const Operation&) { return general_protection(); }

MaybeFault read_model_specific(Execution& x, const Operation&) {
  if (!privileged(x)) return general_protection();
  uint64_t value = 0;
  RETURN_IF_FAULT(read_msr(x.cpu, x.state.reg(Gpr::Ecx), &value));
  set_edx_eax(x.state, value);
  return kNoFault;
}
// A call that returns to somewhere else has loaded RF itself, as IRET does.
MaybeFault call_hypervisor(Execution& x) {
  const HypervisorCall done = x.cpu.hypervisor->call(x.cpu);
  if (done.fault) return done.fault;
  if (done.halts) x.kind = StepKind::Halted;
  if (done.has_moved) {
    x.next_eip = x.state.pointer();
    x.keep_resume_flag = true;
  }
  return kNoFault;
}
MaybeFault write_model_specific(Execution& x, const Operation&) {
  if (!privileged(x)) return general_protection();
  const uint32_t index = x.state.reg(Gpr::Ecx);
  if (x.cpu.hypervisor != nullptr && x.cpu.hypervisor->is_call(index)) return call_hypervisor(x);
  const uint64_t value = (uint64_t{x.state.reg(Gpr::Edx)} << 32) | x.state.reg(Gpr::Eax);
  return write_msr(x.cpu, index, value);
}

MaybeFault finish_transfer(Execution& x, MaybeFault fault) {
  if (fault) return fault;
  x.next_eip = x.state.pointer();
  return kNoFault;
}
MaybeFault system_enter(Execution& x, const Operation&) {
  return finish_transfer(x, sysenter(x.cpu));
}
MaybeFault system_exit(Execution& x, const Operation&) {
  return finish_transfer(x, sysexit(x.cpu));
}

bool may_change_interrupt_flag(const GuestState& state) {
  if (!state.protected_mode()) return true;
  return state.v86_mode() ? state.iopl() == 3 : state.cpl <= state.iopl();
}
MaybeFault clear_interrupt_flag(Execution& x, const Operation&) {
  if (!may_change_interrupt_flag(x.state)) return general_protection();
  x.state.eflags &= ~kFlagIf;
  return kNoFault;
}
// Interrupts stay off for one more instruction if they were off (SDM 2B STI).
MaybeFault set_interrupt_flag(Execution& x, const Operation&) {
  if (!may_change_interrupt_flag(x.state)) return general_protection();
  if ((x.state.eflags & kFlagIf) == 0) x.state.interrupt_shadow = kShadowSti;
  x.state.eflags |= kFlagIf;
  return kNoFault;
}

template <typename T>
MaybeFault input(Execution& x, uint16_t port) {
  RETURN_IF_FAULT(check_io_permission(x.cpu, port, sizeof(T)));
  note_io_access(x, port, sizeof(T));
  register_of<T>(x.state, 0) =
      static_cast<T>(x.cpu.ports.read(port, static_cast<AccessWidth>(sizeof(T))));
  return kNoFault;
}
template <typename T>
MaybeFault output(Execution& x, uint16_t port) {
  RETURN_IF_FAULT(check_io_permission(x.cpu, port, sizeof(T)));
  note_io_access(x, port, sizeof(T));
  x.cpu.ports.write(port, static_cast<AccessWidth>(sizeof(T)), register_of<T>(x.state, 0));
  return kNoFault;
}
template <typename T>
MaybeFault input_immediate(Execution& x, const Operation& op) {
  return input<T>(x, static_cast<uint16_t>(op.immediate & 0xffU));
}
template <typename T>
MaybeFault input_dx(Execution& x, const Operation&) {
  return input<T>(x, static_cast<uint16_t>(x.state.reg(Gpr::Edx)));
}
template <typename T>
MaybeFault output_immediate(Execution& x, const Operation& op) {
  return output<T>(x, static_cast<uint16_t>(op.immediate & 0xffU));
}
template <typename T>
MaybeFault output_dx(Execution& x, const Operation&) {
  return output<T>(x, static_cast<uint16_t>(x.state.reg(Gpr::Edx)));
}

#define RINGSHIFT_SIZED(handler)                                                      \
  by_size((e.opcode & 1U) == 0, e.operand_bytes, handler<uint8_t>, handler<uint16_t>, \
          handler<uint32_t>)

Handler select_one_byte(const Encoding& e) {
  switch (e.opcode) {
    case 0xe4:
    case 0xe5:
      return RINGSHIFT_SIZED(input_immediate);
    case 0xe6:
    case 0xe7:
      return RINGSHIFT_SIZED(output_immediate);
    case 0xec:
    case 0xed:
      return RINGSHIFT_SIZED(input_dx);
    case 0xee:
    case 0xef:
      return RINGSHIFT_SIZED(output_dx);
    case 0xf4:
      return halt;
    case 0xfa:
      return clear_interrupt_flag;
    case 0xfb:
      return set_interrupt_flag;
    default:
      return nullptr;
  }
}

#undef RINGSHIFT_SIZED

Handler select_group_7(const Encoding& e) {
  switch (e.reg) {
    case 4:
      return store_machine_status;
    case 6:
      return load_machine_status;
    case 7:
      return e.mod == 3 ? nullptr : invalidate;
    default:
      return nullptr;
  }
}

}  // namespace

Handler select_system(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_DEFAULT) return select_one_byte(e);
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  switch (e.opcode) {
    case 0x01:
      return select_group_7(e);
    case 0x06:
      return clear_task_switched;
    case 0x08:
    case 0x09:
      return flush_caches;
    case 0x20:
      return read_control_register;
    case 0x21:
      return read_debug;
    case 0x22:
      return write_control_register;
    case 0x23:
      return write_debug;
    case 0x30:
      return write_model_specific;
    case 0x31:
      return read_time_stamp;
    case 0x32:
      return read_model_specific;
    case 0x33:
      return read_performance_counter;
    case 0x34:
      return e.model.sysenter ? system_enter : nullptr;
    case 0x35:
      return e.model.sysenter ? system_exit : nullptr;
    case 0xa2:
      return cpuid;
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp
