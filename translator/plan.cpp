#include "translator/plan.h"

#include <algorithm>
#include <cstring>

namespace ringshift {
namespace {

void append_interpret(TranslationUnit* unit, uint32_t eip, GuestPhysical physical) {
  UnitInstruction& added = unit->instructions.emplace_back();
  added.eip = eip;
  added.physical = physical;
}

// Decodes at the end of a page with the bytes of the next one.
DecodeOutcome decode_crossing(CodeSource& source, const TranslationKey& key, uint32_t eip,
                              std::span<const uint8_t> here, GuestInstruction* instruction,
                              GuestPhysicalPage* second_page) {
  std::array<uint8_t, 2 * kMaxInstructionBytes> bytes{};
  GuestPhysical physical;
  const GuestVirtual next(eip + static_cast<uint32_t>(here.size()));
  const std::span<const uint8_t> more = source.code_at(next, key.privilege, &physical);
  if (more.empty()) return DecodeOutcome::NeedMoreBytes;
  const size_t taken = std::min(more.size(), kMaxInstructionBytes);
  std::memcpy(bytes.data(), here.data(), here.size());
  std::memcpy(bytes.data() + here.size(), more.data(), taken);
  *second_page = GuestPhysicalPage::of(physical);
  return decode({bytes.data(), here.size() + taken}, DecodeMode::Bits32, instruction);
}

}  // namespace

void plan(const TranslationKey& key, CodeSource& source, const SoftSites& soft_sites,
          const TranslatorFeatures& features, const PlanLimits& limits, TranslationUnit* unit) {
  unit->key = key;
  unit->instructions.clear();
  unit->byte_length = 0;
  unit->page_count = 1;
  unit->pages[0] = GuestPhysicalPage::of(key.physical);
  GuestPhysical physical;
  std::span<const uint8_t> bytes = source.code_at(GuestVirtual(key.eip), key.privilege, &physical);
  uint32_t eip = key.eip;
  while (unit->instructions.size() < limits.max_instructions) {
    if (bytes.empty()) break;  // the page ends exactly here
    UnitInstruction& added = unit->instructions.emplace_back();
    added.eip = eip;
    added.physical = key.physical + (eip - key.eip);
    DecodeOutcome outcome = decode(bytes, DecodeMode::Bits32, &added.instruction);
    if (outcome == DecodeOutcome::NeedMoreBytes) {
      if (unit->instructions.size() > 1) {
        unit->instructions.pop_back();
        break;
      }
      outcome = decode_crossing(source, key, eip, bytes, &added.instruction, &unit->pages[1]);
      if (outcome == DecodeOutcome::Ok) unit->page_count = 2;
    }
    if (outcome != DecodeOutcome::Ok) {
      added.instruction.length = 0;
      unit->byte_length += static_cast<uint32_t>(std::min(bytes.size(), kMaxInstructionBytes));
      return;  // Interpret, as UnitInstruction is made
    }
    const Classification what = classify(added.instruction, key.privilege, features);
    added.treatment = what.treatment;
    added.family = what.family;
    added.style = key.style == AccessStyle::Soft || soft_sites.is_soft(added.physical)
                      ? AccessStyle::Soft
                      : AccessStyle::Window;
    eip += added.instruction.length;
    unit->byte_length += added.instruction.length;
    if (ends_unit(added.family) || unit->page_count == 2) break;
    bytes = bytes.subspan(added.instruction.length);
  }
  if (unit->instructions.empty()) append_interpret(unit, key.eip, key.physical);
}

}  // namespace ringshift
