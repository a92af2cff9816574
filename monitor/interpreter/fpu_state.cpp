// Interpreter: FPU instructions that move state rather than compute: control and status words,
// FXSAVE, FXRSTOR, MXCSR, and the masked stores through DS:EDI. See SDM 1 8.1 and 10.5; SDM 2A one
// page each.
#include <algorithm>

#include "monitor/interpreter/fpu.h"
#include "monitor/interpreter/fpu_environment.h"

namespace ringshift::interp {
namespace {

// Control instructions wait for nothing, but #NM applies.
MaybeFault check_x87_present(const Execution& x) {
  if ((x.state.cr0 & (kCr0Em | kCr0Ts)) != 0) return GuestFault::simple(Vector::DeviceNotAvailable);
  return kNoFault;
}

MaybeFault check_sse(const Execution& x) {
  if ((x.state.cr0 & kCr0Em) != 0 || (x.state.cr4 & kCr4Osfxsr) == 0) {
    return GuestFault::invalid_opcode();
  }
  if ((x.state.cr0 & kCr0Ts) != 0) return GuestFault::simple(Vector::DeviceNotAvailable);
  return kNoFault;
}

MaybeFault initialize(Execution& x, const Operation&) {
  RETURN_IF_FAULT(check_x87_present(x));
  initialize_x87(x.state);
  return kNoFault;
}
MaybeFault clear_exceptions(Execution& x, const Operation&) {
  RETURN_IF_FAULT(check_x87_present(x));
  const auto status = fx_field<uint16_t>(x.state, kFxStatusWord);
  set_fx_field<uint16_t>(x.state, kFxStatusWord, status & 0x7f00U);
  return kNoFault;
}
// FENI, FDISI and FSETPM of the 8087 and 80287 do nothing since the 80387.
MaybeFault obsolete_control(Execution& x, const Operation&) { return check_x87_present(x); }

MaybeFault load_control_word(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_x87(x));
  uint16_t value;
  RETURN_IF_FAULT(load<uint16_t>(x, op.segment, effective_address(x.state, op), &value));
  set_control_word(x.state, value);
  return kNoFault;
}
MaybeFault store_control_word(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_x87_present(x));
  return store<uint16_t>(x, op.segment, effective_address(x.state, op),
                         fx_field<uint16_t>(x.state, kFxControlWord));
}
MaybeFault store_status_word(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_x87_present(x));
  const auto status = fx_field<uint16_t>(x.state, kFxStatusWord);
  if (op.is_memory) {
    return store<uint16_t>(x, op.segment, effective_address(x.state, op), status);
  }
  register_of<uint16_t>(x.state, 0) = status;
  return kNoFault;
}

MaybeFault load_mxcsr(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_sse(x));
  uint32_t value;
  RETURN_IF_FAULT(load<uint32_t>(x, op.segment, effective_address(x.state, op), &value));
  if ((value & ~x.cpu.model.mxcsr_mask()) != 0) return general_protection();
  set_fx_field<uint32_t>(x.state, kFxMxcsr, value);
  return kNoFault;
}
MaybeFault store_mxcsr(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_sse(x));
  return store<uint32_t>(x, op.segment, effective_address(x.state, op),
                         fx_field<uint32_t>(x.state, kFxMxcsr));
}

// All of it has to be there; what breakpoints see is what is written or used of it.
MaybeFault locate_fx_image(Execution& x, const Operation& op, AccessKind access,
                           GuestVirtual* linear) {
  RETURN_IF_FAULT(check_x87_present(x));
  RETURN_IF_FAULT(linear_address(x.cpu, op.segment, GuestOffset(effective_address(x.state, op)),
                                 512, access, linear));
  // By how much it must be out for #AC is the processor's choice; #GP otherwise (SDM 2A FXSAVE).
  RETURN_IF_FAULT(check_alignment(x, *linear, 4));
  return (linear->value() & 15U) != 0 ? MaybeFault(general_protection()) : kNoFault;
}

// 32-bit code writes the first 288 bytes; XMM8-15 do not exist and the rest is software's. Without
// CR4.OSFXSR the XMM registers and MXCSR stay out of it (SDM 3A 13.1.3).
MaybeFault save_extended(Execution& x, const Operation& op) {
  GuestVirtual linear;
  RETURN_IF_FAULT(locate_fx_image(x, op, AccessKind::Write, &linear));
  const bool with_sse = (x.state.cr4 & kCr4Osfxsr) != 0;
  set_fx_field<uint32_t>(x.state, kFxMxcsrMask, x.cpu.model.mxcsr_mask());
  leave_out_pointers(x);
  const uint32_t length = with_sse ? kFxEnd : kFxXmm;
  if (x.watching) note_data_access(x, linear, length, AccessKind::Write);
  return x.memory.write(linear, x.state.fxsave.data(), length, x.privilege());
}

MaybeFault restore_extended(Execution& x, const Operation& op) {
  GuestVirtual linear;
  RETURN_IF_FAULT(locate_fx_image(x, op, AccessKind::Read, &linear));
  GuestState image;
  const bool with_sse = (x.state.cr4 & kCr4Osfxsr) != 0;
  if (x.watching) {
    note_data_access(x, linear, with_sse ? kFxEnd : kFxXmm, AccessKind::Read);
  }
  RETURN_IF_FAULT(x.memory.read(linear, image.fxsave.data(), 512, x.privilege()));
  const auto mxcsr = fx_field<uint32_t>(image, kFxMxcsr);
  if (with_sse && (mxcsr & ~x.cpu.model.mxcsr_mask()) != 0) return general_protection();
  const auto old_mxcsr = fx_field<uint32_t>(x.state, kFxMxcsr);
  std::copy_n(image.fxsave.begin(), with_sse ? kFxEnd : kFxXmm, x.state.fxsave.begin());
  if (!with_sse) set_fx_field<uint32_t>(x.state, kFxMxcsr, old_mxcsr);
  set_control_word(x.state, fx_field<uint16_t>(x.state, kFxControlWord));
  return kNoFault;
}

// The bytes of `data` whose `mask` byte has its top bit set go to DS:(E)DI. All of the operand must
// be writable whatever the mask: the manual leaves it open (SDM 2B MASKMOVDQU), silicon does so.
// Data breakpoints see the written bytes.
MaybeFault store_masked(Execution& x, const Operation& op, const uint8_t* data, const uint8_t* mask,
                        uint32_t length) {
  const uint32_t offset = x.state.reg(Gpr::Edi) & address_mask(op);
  GuestVirtual linear;
  RETURN_IF_FAULT(
      linear_address(x.cpu, op.segment, GuestOffset(offset), length, AccessKind::Write, &linear));
  RETURN_IF_FAULT(check_alignment(x, linear, 8));
  RETURN_IF_FAULT(x.memory.probe_write(linear, length, x.privilege()));
  for (uint32_t i = 0; i < length; ++i) {
    if ((mask[i] & 0x80U) == 0) continue;
    if (x.watching) note_data_access(x, linear + i, 1, AccessKind::Write);
    RETURN_IF_FAULT(x.memory.write(linear + i, &data[i], 1, x.privilege()));
  }
  return kNoFault;
}

MaybeFault store_masked_xmm(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_sse(x));
  const uint8_t* xmm = x.state.fxsave.data() + kFxXmm;
  return store_masked(x, op, xmm + 16 * op.reg, xmm + 16 * op.rm, 16);
}

MaybeFault store_masked_mmx(Execution& x, const Operation& op) {
  if ((x.state.cr0 & kCr0Em) != 0) return GuestFault::invalid_opcode();
  if ((x.state.cr0 & kCr0Ts) != 0) return GuestFault::simple(Vector::DeviceNotAvailable);
  RETURN_IF_FAULT(check_pending_x87(x));
  const size_t top = (fx_field<uint16_t>(x.state, kFxStatusWord) >> 11) & 7U;
  const auto mmx = [&](size_t number) {
    return x.state.fxsave.data() + kFxStack + 16 * ((number - top) & 7U);
  };
  RETURN_IF_FAULT(store_masked(x, op, mmx(op.reg), mmx(op.rm), 8));
  enter_mmx(x.state);
  return kNoFault;
}

Handler select_control_memory(const Encoding& e) {
  if (e.opcode == 0xd9) {
    switch (e.reg) {
      case 4:
        return load_environment;
      case 5:
        return load_control_word;
      case 6:
        return store_environment;
      case 7:
        return store_control_word;
      default:
        return nullptr;
    }
  }
  if (e.opcode == 0xdd) {
    switch (e.reg) {
      case 4:
        return restore_x87;
      case 6:
        return save_x87;
      case 7:
        return store_status_word;
      default:
        return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

bool x87_error_pending(const GuestState& state) {
  const auto status = fx_field<uint16_t>(state, kFxStatusWord);
  const auto control = fx_field<uint16_t>(state, kFxControlWord);
  return (status & ~control & kStatusExceptions) != 0;
}

// SDM 3A 2.5, "CR0.NE". The pin is asserted when an instruction waits, as by processors since the
// 486; the others run on.
MaybeFault check_pending_x87(const Execution& x) {
  const bool is_pending = x87_error_pending(x.state);
  CoprocessorError* const pins = x.cpu.x87_error;
  if (pins != nullptr && !is_pending) pins->error_gone();
  if (!is_pending) return kNoFault;
  GuestFault fault = GuestFault::simple(Vector::FloatingPoint);
  if ((x.state.cr0 & kCr0Ne) != 0) return fault;
  if (pins == nullptr || pins->is_ignored()) return kNoFault;
  fault.is_external = true;
  return fault;
}

MaybeFault check_x87(const Execution& x) {
  RETURN_IF_FAULT(check_x87_present(x));
  return check_pending_x87(x);
}

void record_x87_pointers(Execution& x, const Operation& op, uint32_t data_offset) {
  GuestState& state = x.state;
  const unsigned modrm = (op.is_memory ? 0U : 0xc0U) | (unsigned{op.reg} << 3) | op.rm;
  set_fx_field<uint16_t>(state, kFxOpcode, static_cast<uint16_t>(((op.opcode & 7U) << 8) | modrm));
  set_fx_field<uint32_t>(state, kFxInstructionOffset, state.eip);
  set_fx_field<uint16_t>(state, kFxInstructionSelector, state.seg(SegmentRegister::Cs).selector);
  if (!op.is_memory) return;
  set_fx_field<uint32_t>(state, kFxDataOffset, data_offset);
  set_fx_field<uint16_t>(state, kFxDataSelector, state.seg(op.segment).selector);
}

MaybeFault wait_for_x87(Execution& x, const Operation&) {
  constexpr uint32_t kBoth = kCr0Mp | kCr0Ts;
  if ((x.state.cr0 & kBoth) == kBoth) return GuestFault::simple(Vector::DeviceNotAvailable);
  return check_pending_x87(x);
}

Handler select_x87_control(const Encoding& e) {
  if (e.mod != 3) return select_control_memory(e);
  if (e.opcode == 0xdf && e.reg == 4 && e.rm == 0) return store_status_word;
  if (e.opcode != 0xdb || e.reg != 4) return nullptr;
  switch (e.rm) {
    case 0:
    case 1:
    case 4:
      return obsolete_control;
    case 2:
      return clear_exceptions;
    case 3:
      return initialize;
    default:
      return nullptr;
  }
}

Handler select_fpu_state(const Encoding& e) {
  if (e.map != ZYDIS_OPCODE_MAP_0F) return nullptr;
  if (e.opcode == 0xf7 && e.mod == 3 && e.repeat == Repeat::None) {
    return e.has_66 ? store_masked_xmm : store_masked_mmx;
  }
  if (e.opcode != 0xae || e.mod == 3) return nullptr;
  switch (e.reg) {
    case 0:
      return save_extended;
    case 1:
      return restore_extended;
    case 2:
      return load_mxcsr;
    case 3:
      return store_mxcsr;
    default:
      return nullptr;
  }
}

}  // namespace ringshift::interp
