#include "monitor/interpreter/fpu_environment.h"

#include <algorithm>

#include "monitor/interpreter/fpu.h"

namespace ringshift::interp {
namespace {

constexpr uint32_t kRegisterBytes = 10;
constexpr uint32_t kStackBytes = 8 * kRegisterBytes;
constexpr uint32_t kLargestImage = 28 + kStackBytes;

uint32_t top_of(const GuestState& state) {
  return (fx_field<uint16_t>(state, kFxStatusWord) >> 11) & 7U;
}

// The four environment layouts differ in the width of a slot and in how a pointer is cut up.
struct Layout {
  uint32_t slot_bytes;
  bool segmented;  // protected mode: offset and selector; else a linear address in pieces
  [[nodiscard]] uint32_t environment_bytes() const { return 7 * slot_bytes; }
};
Layout layout_of(const Execution& x, const Operation& op) {
  return {op.operand_bytes, x.protected_not_v86()};
}

struct Image {
  std::array<uint8_t, kLargestImage> bytes{};
  Layout layout;

  [[nodiscard]] uint32_t slot(uint32_t index) const {
    uint32_t value = 0;
    std::memcpy(&value, bytes.data() + index * layout.slot_bytes, layout.slot_bytes);
    return value;
  }
  void set_slot(uint32_t index, uint32_t value) {
    std::memcpy(bytes.data() + index * layout.slot_bytes, &value, layout.slot_bytes);
  }
};

// Two bits a register: valid, zero, special, empty (SDM 1 8.1.7).
uint16_t tag_of(const GuestState& state, uint32_t physical) {
  if (((state.fxsave[kFxTags] >> physical) & 1U) == 0) return 3;
  const size_t offset = kFxStack + 16 * ((physical - top_of(state)) & 7U);
  const auto mantissa = fx_field<uint64_t>(state, offset);
  const uint32_t exponent = fx_field<uint16_t>(state, offset + 8) & 0x7fffU;
  if (exponent == 0 && mantissa == 0) return 1;
  const bool normal = exponent != 0 && exponent != 0x7fffU && (mantissa >> 63) != 0;
  return normal ? 0 : 2;
}
uint16_t full_tags(const GuestState& state) {
  unsigned tags = 0;
  for (uint32_t i = 0; i < 8; ++i) tags |= static_cast<unsigned>(tag_of(state, i)) << (2 * i);
  return static_cast<uint16_t>(tags);
}
uint8_t short_tags(uint32_t tags) {
  unsigned result = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if (((tags >> (2 * i)) & 3U) != 3) result |= 1U << i;
  }
  return static_cast<uint8_t>(result);
}

void write_pointers(const GuestState& state, Image* image) {
  const auto fip = fx_field<uint32_t>(state, kFxInstructionOffset);
  const auto fcs = fx_field<uint16_t>(state, kFxInstructionSelector);
  const auto fdp = fx_field<uint32_t>(state, kFxDataOffset);
  const auto fds = fx_field<uint16_t>(state, kFxDataSelector);
  const uint32_t opcode = fx_field<uint16_t>(state, kFxOpcode) & 0x7ffU;
  const bool wide = image->layout.slot_bytes == 4;
  if (image->layout.segmented) {
    image->set_slot(3, fip);
    image->set_slot(4, wide ? fcs | (opcode << 16) : fcs);
    image->set_slot(5, fdp);
    image->set_slot(6, wide ? fds | 0xffff0000U : fds);
    return;
  }
  const uint32_t instruction = fip + (uint32_t{fcs} << 4);
  const uint32_t data = fdp + (uint32_t{fds} << 4);
  const uint32_t high_mask = wide ? 0x0ffff000U : 0xf000U;
  const uint32_t unused = wide ? 0xffff0000U : 0U;
  image->set_slot(3, (instruction & 0xffffU) | unused);
  image->set_slot(4, ((instruction >> 4) & high_mask) | opcode);
  image->set_slot(5, (data & 0xffffU) | unused);
  image->set_slot(6, (data >> 4) & high_mask);
}

void read_pointers(const Image& image, GuestState* state) {
  const bool wide = image.layout.slot_bytes == 4;
  uint32_t fip = image.slot(3);
  uint32_t fdp = image.slot(5);
  auto fcs = static_cast<uint16_t>(image.slot(4));
  auto fds = static_cast<uint16_t>(image.slot(6));
  uint32_t opcode = wide ? image.slot(4) >> 16 : fx_field<uint16_t>(*state, kFxOpcode);
  if (!image.layout.segmented) {
    const uint32_t high_mask = wide ? 0x0ffff000U : 0xf000U;
    fip = (fip & 0xffffU) | ((image.slot(4) & high_mask) << 4);
    fdp = (fdp & 0xffffU) | ((image.slot(6) & high_mask) << 4);
    opcode = image.slot(4);
    fcs = 0;
    fds = 0;
  }
  set_fx_field<uint16_t>(*state, kFxOpcode, static_cast<uint16_t>(opcode & 0x7ffU));
  set_fx_field<uint32_t>(*state, kFxInstructionOffset, fip);
  set_fx_field<uint16_t>(*state, kFxInstructionSelector, fcs);
  set_fx_field<uint32_t>(*state, kFxDataOffset, fdp);
  set_fx_field<uint16_t>(*state, kFxDataSelector, fds);
}

void write_environment(const GuestState& state, Image* image) {
  const uint32_t unused = image->layout.slot_bytes == 4 ? 0xffff0000U : 0U;
  image->set_slot(0, fx_field<uint16_t>(state, kFxControlWord) | unused);
  image->set_slot(1, fx_field<uint16_t>(state, kFxStatusWord) | unused);
  image->set_slot(2, full_tags(state) | unused);
  write_pointers(state, image);
}

void read_environment(const Image& image, GuestState* state) {
  set_fx_field<uint16_t>(*state, kFxStatusWord, static_cast<uint16_t>(image.slot(1)));
  state->fxsave[kFxTags] = short_tags(image.slot(2));
  read_pointers(image, state);
  set_control_word(*state, static_cast<uint16_t>(image.slot(0)));
}

// A change of TOP renames ST(i): the physical registers stay, the image is in stack order.
void rotate_stack(GuestState& state, uint32_t old_top, uint32_t new_top) {
  std::array<uint8_t, 128> old;
  std::copy_n(state.fxsave.begin() + kFxStack, old.size(), old.begin());
  for (uint32_t physical = 0; physical < 8; ++physical) {
    const uint32_t from = 16 * ((physical - old_top) & 7U);
    const uint32_t to = 16 * ((physical - new_top) & 7U);
    std::copy_n(old.begin() + from, 16, state.fxsave.begin() + kFxStack + to);
  }
}

MaybeFault check_present(const Execution& x) {
  if ((x.state.cr0 & (kCr0Em | kCr0Ts)) != 0) return GuestFault::simple(Vector::DeviceNotAvailable);
  return kNoFault;
}

MaybeFault locate(Execution& x, const Operation& op, uint32_t length, AccessKind access,
                  GuestVirtual* linear) {
  RETURN_IF_FAULT(linear_of(x, op.segment, effective_address(x.state, op), length, access, linear));
  return check_alignment(x, *linear, op.operand_bytes);
}

}  // namespace

void initialize_x87(GuestState& state) {
  const uint32_t old_top = top_of(state);
  rotate_stack(state, old_top, 0);
  std::fill_n(state.fxsave.begin(), kFxMxcsr, uint8_t{0});
  set_fx_field<uint16_t>(state, kFxControlWord, 0x37f);
}

void set_control_word(GuestState& state, uint16_t value) {
  // Bit 6 is reserved and reads as one; bits 15:13 as zero.
  const auto control = static_cast<uint16_t>((value & 0x1f7fU) | 0x40U);
  set_fx_field<uint16_t>(state, kFxControlWord, control);
  auto status = fx_field<uint16_t>(state, kFxStatusWord);
  status = static_cast<uint16_t>(status & ~kStatusErrorSummary);
  if ((status & ~control & kStatusExceptions) != 0) {
    status = static_cast<uint16_t>(status | kStatusErrorSummary);
  }
  set_fx_field<uint16_t>(state, kFxStatusWord, status);
}

void enter_mmx(GuestState& state) {
  rotate_stack(state, top_of(state), 0);
  const auto status = fx_field<uint16_t>(state, kFxStatusWord);
  set_fx_field<uint16_t>(state, kFxStatusWord, status & 0xc7ffU);
  state.fxsave[kFxTags] = 0xff;
}

void leave_out_pointers(Execution& x) {
  if (!x.counts_events) return;
  set_fx_field<uint16_t>(x.state, kFxOpcode, 0);
  set_fx_field<uint32_t>(x.state, kFxInstructionOffset, 0);
  set_fx_field<uint16_t>(x.state, kFxInstructionSelector, 0);
  set_fx_field<uint32_t>(x.state, kFxDataOffset, 0);
  set_fx_field<uint16_t>(x.state, kFxDataSelector, 0);
}

MaybeFault store_environment(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_present(x));
  leave_out_pointers(x);
  Image image{{}, layout_of(x, op)};
  write_environment(x.state, &image);
  const uint32_t length = image.layout.environment_bytes();
  GuestVirtual linear;
  RETURN_IF_FAULT(locate(x, op, length, AccessKind::Write, &linear));
  RETURN_IF_FAULT(x.memory.write(linear, image.bytes.data(), length, x.privilege()));
  // FNSTENV masks all exceptions once they are saved (SDM 2A FSTENV).
  const auto control = fx_field<uint16_t>(x.state, kFxControlWord);
  set_control_word(x.state, control | kStatusExceptions);
  return kNoFault;
}

MaybeFault load_environment(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_x87(x));
  Image image{{}, layout_of(x, op)};
  const uint32_t length = image.layout.environment_bytes();
  GuestVirtual linear;
  RETURN_IF_FAULT(locate(x, op, length, AccessKind::Read, &linear));
  RETURN_IF_FAULT(x.memory.read(linear, image.bytes.data(), length, x.privilege()));
  const uint32_t old_top = top_of(x.state);
  read_environment(image, &x.state);
  rotate_stack(x.state, old_top, top_of(x.state));
  return kNoFault;
}

MaybeFault save_x87(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_present(x));
  leave_out_pointers(x);
  Image image{{}, layout_of(x, op)};
  write_environment(x.state, &image);
  const uint32_t environment = image.layout.environment_bytes();
  for (uint32_t i = 0; i < 8; ++i) {
    std::copy_n(x.state.fxsave.begin() + kFxStack + 16 * i, kRegisterBytes,
                image.bytes.begin() + environment + kRegisterBytes * i);
  }
  GuestVirtual linear;
  const uint32_t length = environment + kStackBytes;
  RETURN_IF_FAULT(locate(x, op, length, AccessKind::Write, &linear));
  RETURN_IF_FAULT(x.memory.write(linear, image.bytes.data(), length, x.privilege()));
  initialize_x87(x.state);
  return kNoFault;
}

MaybeFault restore_x87(Execution& x, const Operation& op) {
  RETURN_IF_FAULT(check_x87(x));
  Image image{{}, layout_of(x, op)};
  const uint32_t environment = image.layout.environment_bytes();
  const uint32_t length = environment + kStackBytes;
  GuestVirtual linear;
  RETURN_IF_FAULT(locate(x, op, length, AccessKind::Read, &linear));
  RETURN_IF_FAULT(x.memory.read(linear, image.bytes.data(), length, x.privilege()));
  read_environment(image, &x.state);
  for (uint32_t i = 0; i < 8; ++i) {
    std::copy_n(image.bytes.begin() + environment + kRegisterBytes * i, kRegisterBytes,
                x.state.fxsave.begin() + kFxStack + 16 * i);
  }
  return kNoFault;
}

}  // namespace ringshift::interp
