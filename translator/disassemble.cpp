#include "translator/disassemble.h"

#include <fmt/format.h>

#include <array>

#include "shadowmmu/base/check.h"
#include "translator/frame.h"

namespace ringshift {
namespace {

constexpr size_t kTextBytes = 128;

struct NamedSlot {
  int64_t displacement;
  const char* name;
};

constexpr int64_t segment_displacement(SegmentRegister segment, size_t offset_in_cache) {
  return RINGSHIFT_STATE(segment) +
         static_cast<int64_t>(static_cast<size_t>(segment) * sizeof(SegmentCache)) +
         static_cast<int64_t>(offset_in_cache);
}

// The slots that generated code reaches through the frame register.
constexpr auto kNamedSlots = std::to_array<NamedSlot>({
    {RINGSHIFT_SLOT(exit_reason), "exit_reason"},
    {RINGSHIFT_SLOT(exit_eip), "exit_eip"},
    {RINGSHIFT_SLOT(exit_link), "exit_link"},
    {RINGSHIFT_SLOT(exit_address), "exit_address"},
    {RINGSHIFT_SLOT(callout_next_eip), "callout_next_eip"},
    {RINGSHIFT_SLOT(callout_kind), "callout_kind"},
    {RINGSHIFT_SLOT(scratch), "scratch"},
    {RINGSHIFT_SLOT(scratch) + 4, "scratch+4"},
    {RINGSHIFT_SLOT(time_stamp_denied), "time_stamp_denied"},
    {RINGSHIFT_SLOT(repeats_held_back), "repeats_held_back"},
    {RINGSHIFT_SLOT(event_walk), "event_walk"},
    {RINGSHIFT_SLOT(event_origin), "event_origin"},
    {RINGSHIFT_STATE(tsc_offset), "tsc_offset"},
    {RINGSHIFT_SLOT(window_negated), "window_negated"},
    {RINGSHIFT_SLOT(interrupt_flag), "interrupt_flag"},
    {RINGSHIFT_SLOT(system_flags), "system_flags"},
    {RINGSHIFT_SLOT(interrupt_waiting), "interrupt_waiting"},
    {RINGSHIFT_SLOT(x87_live), "x87_live"},
    {RINGSHIFT_SLOT(sse_live), "sse_live"},
    {RINGSHIFT_SLOT(fpu_loaded), "fpu_loaded"},
    {RINGSHIFT_SLOT(untold_descriptors), "untold_descriptors"},
    {RINGSHIFT_SLOT(fs_probe), "fs_probe"},
    {RINGSHIFT_SLOT(gs_probe), "gs_probe"},
    {RINGSHIFT_STATE(cr0), "cr0"},
    {RINGSHIFT_STATE(cr2), "cr2"},
    {RINGSHIFT_STATE(cr3), "cr3"},
    {RINGSHIFT_STATE(cr4), "cr4"},
    {RINGSHIFT_STATE(idtr.base), "idtr.base"},
    {RINGSHIFT_STATE(idtr.limit), "idtr.limit"},
    {segment_displacement(SegmentRegister::Fs, offsetof(SegmentCache, base)), "fs.base"},
    {segment_displacement(SegmentRegister::Gs, offsetof(SegmentCache, base)), "gs.base"},
    {segment_displacement(SegmentRegister::Es, offsetof(SegmentCache, base)), "es.base"},
    {segment_displacement(SegmentRegister::Cs, offsetof(SegmentCache, base)), "cs.base"},
    {segment_displacement(SegmentRegister::Ss, offsetof(SegmentCache, base)), "ss.base"},
    {segment_displacement(SegmentRegister::Ds, offsetof(SegmentCache, base)), "ds.base"},
    {RINGSHIFT_SLOT(segment_room), "es.room"},
    {RINGSHIFT_SLOT(segment_room) + 8, "cs.room"},
    {RINGSHIFT_SLOT(segment_room) + 16, "ss.room"},
    {RINGSHIFT_SLOT(segment_room) + 24, "ds.room"},
    {RINGSHIFT_SLOT(segment_room) + 32, "fs.room"},
    {RINGSHIFT_SLOT(segment_room) + 40, "gs.room"},
    {segment_displacement(SegmentRegister::Es, offsetof(SegmentCache, selector)), "es.selector"},
    {segment_displacement(SegmentRegister::Cs, offsetof(SegmentCache, selector)), "cs.selector"},
    {segment_displacement(SegmentRegister::Ss, offsetof(SegmentCache, selector)), "ss.selector"},
    {segment_displacement(SegmentRegister::Ds, offsetof(SegmentCache, selector)), "ds.selector"},
    {segment_displacement(SegmentRegister::Fs, offsetof(SegmentCache, selector)), "fs.selector"},
    {segment_displacement(SegmentRegister::Gs, offsetof(SegmentCache, selector)), "gs.selector"},
    {frame_displacement(offsetof(Frame, poll_page)), "poll_page"},
    {kLimitCheck, "limit_check+r9*8"},
});

ZydisFormatter make_formatter() {
  ZydisFormatter formatter{};
  CHECK(ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)));
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
                            ZYDIS_PADDING_DISABLED);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
  return formatter;
}

std::string format(const ZydisDecodedInstruction& facts, const ZydisDecodedOperand* operands,
                   uint64_t address) {
  static const ZydisFormatter formatter = make_formatter();
  std::array<char, kTextBytes> text{};
  const ZyanStatus status =
      ZydisFormatterFormatInstruction(&formatter, &facts, operands, facts.operand_count_visible,
                                      text.data(), text.size(), address, nullptr);
  return ZYAN_SUCCESS(status) ? text.data() : "?";
}

bool is_frame_operand(const ZydisDecodedOperand& operand) {
  return operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.base == ZYDIS_REGISTER_R13;
}

void name_frame_operand(const ZydisDecodedOperand& operand, std::string* text) {
  const size_t open = text->find('[');
  const size_t close = text->find(']');
  if (open == std::string::npos || close == std::string::npos) return;
  for (const NamedSlot& slot : kNamedSlots) {
    if (slot.displacement != operand.mem.disp.value) continue;
    text->replace(open + 1, close - open - 1, slot.name);
    return;
  }
}

const ZydisDecoder& host_decoder() {
  static const ZydisDecoder decoder = [] {
    ZydisDecoder made{};
    CHECK(ZYAN_SUCCESS(ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)));
    return made;
  }();
  return decoder;
}

}  // namespace

std::string disassemble_guest(const GuestInstruction& instruction, Eip eip) {
  if (instruction.length == 0) return "(not decodable)";
  return format(instruction.facts, instruction.operands.data(), eip.value());
}

HostInstruction disassemble_host(std::span<const uint8_t> bytes, size_t offset) {
  HostInstruction out;
  ZydisDecodedInstruction facts{};
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
  if (offset >= bytes.size() ||
      !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&host_decoder(), bytes.data() + offset,
                                           bytes.size() - offset, &facts, operands.data()))) {
    return out;
  }
  out.length = facts.length;
  out.text = format(facts, operands.data(), offset);
  const ZydisDecodedOperand& first = operands[0];
  if (first.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && first.imm.is_relative != 0) {
    out.destination = static_cast<int64_t>(offset) + facts.length + first.imm.value.s;
    out.branch = out.text.substr(0, out.text.rfind(' '));
  }
  for (uint8_t i = 0; i < facts.operand_count_visible; ++i) {
    if (is_frame_operand(operands[i])) name_frame_operand(operands[i], &out.text);
  }
  return out;
}

}  // namespace ringshift
