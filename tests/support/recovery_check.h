// check_recovery: every host instruction of a unit leads back to the guest (T4).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "translator/classify.h"
#include "translator/disassemble.h"
#include "translator/emitted_code.h"
#include "translator/recovery.h"
#include "translator/translation_unit.h"

namespace ringshift {

// EIPs a fault in the unit may name: its instructions, where it goes on, where it branches.
inline std::set<Eip> possible_boundaries(const TranslationUnit& unit) {
  std::set<Eip> eips;
  for (const UnitInstruction& guest : unit.instructions) {
    eips.insert(guest.eip);
    eips.insert(guest.next_eip());
    const ZydisDecodedOperand& operand = guest.instruction.operands[0];
    if (guest.treatment == Treatment::DirectBranch &&
        operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
      eips.insert(branch_destination(guest));
    }
  }
  return eips;
}

// Empty if all is well; else what is wrong.
inline std::string check_recovery(const TranslationUnit& unit, const EmittedCode& code) {
  const auto& points = code.recovery;
  auto at = [](uint32_t offset) { return " at +" + std::to_string(offset); };
  if (points.empty() || points[0].host_offset != 0) return "the first host byte has no point";
  if (!std::is_sorted(points.begin(), points.end(),
                      [](const auto& a, const auto& b) { return a.host_offset < b.host_offset; })) {
    return "the points are not in order";
  }
  const std::set<Eip> boundaries = possible_boundaries(unit);
  std::set<uint32_t> host_starts;
  for (uint32_t offset = 0; offset < code.cold;) {
    const HostInstruction host = disassemble_host(code.bytes, offset);
    if (host.length == 0) return "host code does not decode" + at(offset);
    host_starts.insert(offset);
    const RecoveryPoint& point = recovery_point(points, offset);
    if (point.kind > kLastRecoveryKind) return "no such kind" + at(offset);
    if (point.kind != RecoveryKind::EipInAddress && !boundaries.contains(point.guest_eip)) {
      return "EIP " + std::to_string(point.guest_eip.value()) + " is no boundary" + at(offset);
    }
    if (point.kind != RecoveryKind::EipInAddress && resume_offset(points, offset) > offset) {
      return "resumes ahead of itself" + at(offset);
    }
    offset += host.length;
  }
  for (const RecoveryPoint& point : points) {
    if (point.host_offset < code.cold && !host_starts.contains(point.host_offset)) {
      return "a point inside a host instruction" + at(point.host_offset);
    }
  }
  for (const InstructionStart& start : code.starts) {
    const Eip eip = unit.instructions[start.index].eip;
    const RecoveryPoint& point = recovery_point(points, start.host_offset);
    // An instruction without host code of its own lets the next one's point win.
    const bool begins = std::any_of(points.begin(), points.end(), [&](const RecoveryPoint& one) {
      return one.host_offset == start.host_offset && one.guest_eip == eip &&
             one.kind == RecoveryKind::Boundary;
    });
    if (!begins || point.host_offset != start.host_offset) {
      return "no boundary for the instruction" + at(start.host_offset);
    }
  }
  return "";
}

}  // namespace ringshift
