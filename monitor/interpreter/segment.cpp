// Interpreter: MOV/PUSH/POP of segment registers, LDS..LGS, LAR, LSL, VERR, VERW, ARPL, SGDT, SIDT,
// LGDT, LIDT, SLDT, STR, LLDT, LTR. See SDM 2A/2B, one page each. Descriptor loads themselves are
// segmentation's.
#include "monitor/interpreter/operation.h"

namespace ringshift::interp {
namespace {

constexpr uint8_t kShadowMovSs = 2;  // also holds off debug traps (SDM 3A 6.8.3)

SegmentRegister segment_of(unsigned number) { return static_cast<SegmentRegister>(number); }

// MOV and POP; LSS sets ESP as well and holds nothing off.
MaybeFault load_visible(Execution& x, SegmentRegister segment, uint16_t selector) {
  RETURN_IF_FAULT(load_segment(x.cpu, segment, selector));
  if (segment == SegmentRegister::Ss) x.state.interrupt_shadow = kShadowMovSs;
  return kNoFault;
}

MaybeFault move_to_segment(Execution& x, const Operation& op) {
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  return load_visible(x, segment_of(op.reg), selector);
}

// A register destination of 32 bits is zero-extended (SDM 2B MOV); memory always gets 16 bits.
MaybeFault store_selector(Execution& x, const Operation& op, uint16_t selector) {
  if (!op.is_memory && op.operand_bytes == 4) {
    x.state.gpr[op.rm] = selector;
    return kNoFault;
  }
  return store_rm<uint16_t>(x, op, selector);
}
MaybeFault move_from_segment(Execution& x, const Operation& op) {
  return store_selector(x, op, x.state.seg(segment_of(op.reg)).selector);
}

// Processors since the Pentium Pro write only the low half of a 32-bit slot (SDM 2B PUSH).
template <unsigned kSegment>
MaybeFault push_segment(Execution& x, const Operation& op) {
  const uint16_t selector = x.state.seg(segment_of(kSegment)).selector;
  if (op.operand_bytes == 2) return push<uint16_t>(x, selector);
  const uint32_t offset = (x.state.reg(Gpr::Esp) - 4U) & stack_mask(x.state);
  GuestVirtual linear;
  RETURN_IF_FAULT(linear_of(x, SegmentRegister::Ss, offset, 4, AccessKind::Write, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, 4));
  RETURN_IF_FAULT(x.memory.write_value<uint16_t>(linear, x.privilege(), selector));
  set_stack_pointer(x.state, x.state.reg(Gpr::Esp) - 4U);
  return kNoFault;
}

template <unsigned kSegment>
MaybeFault pop_segment(Execution& x, const Operation& op) {
  uint16_t selector;
  const uint32_t offset = x.state.reg(Gpr::Esp) & stack_mask(x.state);
  GuestVirtual linear;
  RETURN_IF_FAULT(
      linear_of(x, SegmentRegister::Ss, offset, op.operand_bytes, AccessKind::Read, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, op.operand_bytes));
  RETURN_IF_FAULT(x.memory.read_value<uint16_t>(linear, x.privilege(), &selector));
  // ESP moves with the address size of the stack segment that the value was popped from.
  const uint32_t mask = stack_mask(x.state);
  RETURN_IF_FAULT(load_visible(x, segment_of(kSegment), selector));
  uint32_t& esp = x.state.reg(Gpr::Esp);
  esp = (esp & ~mask) | ((esp + op.operand_bytes) & mask);
  return kNoFault;
}

template <SegmentRegister kSegment>
MaybeFault load_far_register(Execution& x, const Operation& op) {
  const uint32_t address = effective_address(x.state, op);
  uint16_t selector;
  uint32_t offset = 0;
  if (op.operand_bytes == 2) {
    uint16_t word;
    RETURN_IF_FAULT(load<uint16_t>(x, op.segment, address, &word));
    offset = word;
  } else {
    RETURN_IF_FAULT(load<uint32_t>(x, op.segment, address, &offset));
  }
  RETURN_IF_FAULT(
      load<uint16_t>(x, op.segment, (address + op.operand_bytes) & address_mask(op), &selector));
  RETURN_IF_FAULT(load_segment(x.cpu, kSegment, selector));
  if (op.operand_bytes == 2) {
    register_of<uint16_t>(x.state, op.reg) = static_cast<uint16_t>(offset);
  } else {
    x.state.gpr[op.reg] = offset;
  }
  return kNoFault;
}

void set_zero_flag(GuestState& state, bool set) {
  state.eflags = set ? state.eflags | kFlagZf : state.eflags & ~kFlagZf;
}

void store_query(Execution& x, const Operation& op, bool valid, uint32_t value) {
  set_zero_flag(x.state, valid);
  if (!valid) return;
  if (op.operand_bytes == 2) {
    register_of<uint16_t>(x.state, op.reg) = static_cast<uint16_t>(value);
  } else {
    x.state.gpr[op.reg] = value;
  }
}

MaybeFault load_access_rights(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  bool valid = false;
  uint32_t rights = 0;
  RETURN_IF_FAULT(query_access_rights(x.cpu, selector, &valid, &rights));
  store_query(x, op, valid, rights);
  return kNoFault;
}

MaybeFault load_segment_limit(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  bool valid = false;
  uint32_t limit = 0;
  RETURN_IF_FAULT(query_limit(x.cpu, selector, &valid, &limit));
  store_query(x, op, valid, limit);
  return kNoFault;
}

template <AccessKind kAccess>
MaybeFault verify(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  bool valid = false;
  RETURN_IF_FAULT(verify_segment(x.cpu, selector, kAccess, &valid));
  set_zero_flag(x.state, valid);
  return kNoFault;
}

// A selector that needs no adjustment is not written: read-only memory will do (SDM 2A ARPL, and
// silicon).
MaybeFault adjust_rpl(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  const uint16_t rpl = register_of<uint16_t>(x.state, op.reg) & 3U;
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  const bool raise = (selector & 3U) < rpl;
  if (raise) {
    RETURN_IF_FAULT(store_rm<uint16_t>(x, op, static_cast<uint16_t>((selector & ~3U) | rpl)));
  }
  set_zero_flag(x.state, raise);
  return kNoFault;
}

// Unprivileged: this is one of the instructions that made the architecture hard to virtualize. The
// base is stored whole with 16-bit operands too, as processors since the i386 do.
MaybeFault store_table(Execution& x, const Operation& op, const DescriptorTableRegister& table) {
  std::array<uint8_t, 6> image{};
  for (unsigned i = 0; i < 2; ++i) image[i] = static_cast<uint8_t>(table.limit >> (8 * i));
  for (unsigned i = 0; i < 4; ++i) image[2 + i] = static_cast<uint8_t>(table.base >> (8 * i));
  GuestVirtual linear;
  RETURN_IF_FAULT(
      linear_of(x, op.segment, effective_address(x.state, op), 6, AccessKind::Write, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, 4));
  return x.memory.write(linear, image.data(), 6, x.privilege());
}
MaybeFault store_gdt(Execution& x, const Operation& op) { return store_table(x, op, x.state.gdtr); }
MaybeFault store_idt(Execution& x, const Operation& op) { return store_table(x, op, x.state.idtr); }

MaybeFault load_table(Execution& x, const Operation& op, DescriptorTableRegister* table) {
  if (x.state.cpl != 0) return general_protection();
  std::array<uint8_t, 6> image{};
  GuestVirtual linear;
  RETURN_IF_FAULT(
      linear_of(x, op.segment, effective_address(x.state, op), 6, AccessKind::Read, &linear));
  RETURN_IF_FAULT(x.memory.read(linear, image.data(), 6, x.privilege()));
  const auto byte = [&image](unsigned i) { return uint32_t{image[i]}; };
  table->limit = byte(0) | (byte(1) << 8);
  table->base = byte(2) | (byte(3) << 8) | (byte(4) << 16);
  // With 16-bit operands the base has 24 bits (SDM 2A LGDT).
  if (op.operand_bytes == 4) table->base |= byte(5) << 24;
  return kNoFault;
}
MaybeFault load_gdt(Execution& x, const Operation& op) { return load_table(x, op, &x.state.gdtr); }
MaybeFault load_idt(Execution& x, const Operation& op) { return load_table(x, op, &x.state.idtr); }

template <SegmentCache GuestState::*kRegister>
MaybeFault store_system_selector(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  return store_selector(x, op, (x.state.*kRegister).selector);
}

template <MaybeFault (*kLoad)(CpuContext&, uint16_t)>
MaybeFault load_system_selector(Execution& x, const Operation& op) {
  if (!x.protected_not_v86()) return GuestFault::invalid_opcode();
  if (x.state.cpl != 0) return general_protection();
  uint16_t selector;
  RETURN_IF_FAULT(load_rm<uint16_t>(x, op, &selector));
  return kLoad(x.cpu, selector);
}

Handler select_group_6(const Encoding& e) {
  switch (e.reg) {
    case 0:
      return store_system_selector<&GuestState::ldtr>;
    case 1:
      return store_system_selector<&GuestState::tr>;
    case 2:
      return load_system_selector<load_ldt>;
    case 3:
      return load_system_selector<load_task_register>;
    case 4:
      return verify<AccessKind::Read>;
    case 5:
      return verify<AccessKind::Write>;
    default:
      return nullptr;
  }
}

Handler select_group_7(const Encoding& e) {
  if (e.mod == 3) return nullptr;
  switch (e.reg) {
    case 0:
      return store_gdt;
    case 1:
      return store_idt;
    case 2:
      return load_gdt;
    case 3:
      return load_idt;
    default:
      return nullptr;
  }
}

Handler select_one_byte(const Encoding& e) {
  switch (e.opcode) {
    case 0x06:
      return push_segment<0>;
    case 0x07:
      return pop_segment<0>;
    case 0x0e:
      return push_segment<1>;
    case 0x16:
      return push_segment<2>;
    case 0x17:
      return pop_segment<2>;
    case 0x1e:
      return push_segment<3>;
    case 0x1f:
      return pop_segment<3>;
    case 0x63:
      return adjust_rpl;
    case 0x8c:
      return e.reg <= 5 ? move_from_segment : nullptr;
    case 0x8e:
      return e.reg <= 5 && e.reg != 1 ? move_to_segment : nullptr;
    case 0xc4:
      return e.mod == 3 ? nullptr : load_far_register<SegmentRegister::Es>;
    case 0xc5:
      return e.mod == 3 ? nullptr : load_far_register<SegmentRegister::Ds>;
    default:
      return nullptr;
  }
}

}  // namespace

Handler select_segment(const Encoding& e) {
  if (e.map == ZYDIS_OPCODE_MAP_DEFAULT) return select_one_byte(e);
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  switch (e.opcode) {
    case 0x00:
      return select_group_6(e);
    case 0x01:
      return select_group_7(e);
    case 0x02:
      return load_access_rights;
    case 0x03:
      return load_segment_limit;
    case 0xa0:
      return push_segment<4>;
    case 0xa1:
      return pop_segment<4>;
    case 0xa8:
      return push_segment<5>;
    case 0xa9:
      return pop_segment<5>;
    case 0xb2:
      return e.mod == 3 ? nullptr : load_far_register<SegmentRegister::Ss>;
    case 0xb4:
      return e.mod == 3 ? nullptr : load_far_register<SegmentRegister::Fs>;
    case 0xb5:
      return e.mod == 3 ? nullptr : load_far_register<SegmentRegister::Gs>;
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp
