#include "translator/plan.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "translator/frame.h"

namespace ringshift {
namespace {

constexpr size_t kMostPieces = 8;

// `mov r32, [esp]; ret`: how position-independent code asks where it is.
constexpr uint32_t kPcThunkBytes = 4;
constexpr uint32_t kPcThunkMove = 3;  // of them the first instruction's

bool is_direct_branch(const UnitInstruction& instruction) {
  return instruction.treatment == Treatment::DirectBranch;
}

class Planner {
 public:
  Planner(const TranslationKey& key, CodeSource& source, const SoftSites& soft_sites,
          const TranslatorFeatures& features, const PlanLimits& limits, TranslationUnit* unit)
      : key_(key),
        source_(source),
        soft_sites_(soft_sites),
        features_(features),
        limits_(limits),
        kept_out_(source.kept_out()),
        unit_(*unit) {}

  void plan() {
    unit_.key = key_;
    unit_.instructions.clear();
    unit_.crosses_page = false;
    unit_.continues_at = key_.eip;
    unit_.pieces.assign(1, {key_.eip, key_.physical, 0});
    GuestPhysical physical;
    bytes_ = bytes_at(key_.eip, &physical);
    while (room() > 0 && !bytes_.empty()) {  // empty: the page ends exactly here
      if (is_kept_out(unit_.continues_at)) break;
      if (!append_next() || !go_on()) break;
    }
    if (unit_.instructions.empty()) append_interpret();
  }

 private:
  [[nodiscard]] size_t room() const { return limits_.max_instructions - unit_.instructions.size(); }
  // For so many instructions in another place.
  [[nodiscard]] bool is_full(size_t more) const {
    return room() < more || unit_.pieces.size() == kMostPieces;
  }
  [[nodiscard]] CodePiece& piece() { return unit_.pieces[piece_]; }
  [[nodiscard]] bool is_kept_out(Eip eip) const {
    return kept_out_ != nullptr && kept_out_->contains(key_.mode.linear(eip));
  }
  // To the end of the page, or of the code segment.
  [[nodiscard]] std::span<const uint8_t> bytes_at(Eip eip, GuestPhysical* physical) const {
    if (!key_.mode.holds(eip)) return {};
    const std::span<const uint8_t> bytes =
        source_.code_at(key_.mode.linear(eip), key_.privilege, physical);
    const uint64_t in_segment = uint64_t{key_.mode.limit} - eip.value() + 1;
    return bytes.first(std::min<uint64_t>(bytes.size(), in_segment));
  }

  // Bytes that cannot be fetched or decoded: a unit by themselves, so that the interpreter raises
  // the processor's fault. Their number keeps writes to them noticed.
  void append_interpret() {
    UnitInstruction& added = unit_.instructions.emplace_back();
    added.eip = key_.eip;
    added.physical = key_.physical;
    piece().length = static_cast<uint32_t>(std::min(bytes_.size(), kMaxInstructionBytes));
  }

  // Decodes and classifies at the end of the current piece. False: the unit ends before it.
  bool append_next() {
    UnitInstruction& added = unit_.instructions.emplace_back();
    added.eip = unit_.continues_at;
    added.physical = piece().physical + piece().length;
    DecodeOutcome outcome = decode(bytes_, key_.mode.decode_mode(), &added.instruction);
    const bool alone = unit_.instructions.size() == 1;
    if (outcome == DecodeOutcome::NeedMoreBytes && alone) outcome = decode_crossing(&added);
    if (outcome != DecodeOutcome::Ok) {
      unit_.instructions.pop_back();
      return false;
    }
    classify_added(&added);
    if (!unit_.crosses_page) take_bytes(added.instruction.length);
    return true;
  }

  void classify_added(UnitInstruction* added) const {
    const Classification what = classify(added->instruction, key_.privilege, features_, key_.mode);
    added->treatment = what.treatment;
    added->family = what.family;
    if (!key_.mode.is_flat()) classify_in_mode(added);
    added->ignores_repeat = ignores_repeat(added->instruction.facts, features_);
    added->guards_return = added->family == Family::Call && guards_return(*added);
    added->style = key_.style == AccessStyle::Soft || soft_sites_.is_soft(added->physical)
                       ? AccessStyle::Soft
                       : AccessStyle::Window;
    if (added->style == AccessStyle::Soft && soft_sites_.reaches_device(added->physical)) {
      leave_to_monitor(added);
    }
  }

  // A soft access of a device's memory misses each time, which costs an exit; a callout does not.
  static void leave_to_monitor(UnitInstruction* added) {
    if (added->treatment != Treatment::Memory || added->family != Family::Reencode) return;
    if (fpu_use(added->instruction) != FpuUse::None) return;
    added->reaches_device = true;
    added->treatment = Treatment::Callout;
    added->family = Family::Callout;
  }

  // A kernel's threads leave returns pending for each other; where events are counted, a fault
  // that is none of the guest's would have to be told from the others in every step.
  [[nodiscard]] bool guards_return(const UnitInstruction& call) const {
    if (key_.privilege != Privilege::User || !key_.mode.is_flat() || features_.counts_events) {
      return false;
    }
    if (unit_.crosses_page || call.next_eip() >= kFirstUnguardedReturn) return false;
    return !soft_sites_.returns_elsewhere(call.physical + (call.instruction.length - 1));
  }

  // An instruction that leads out of the code segment, or over its 64 KiB, is left to the
  // interpreter, where it faults or wraps.
  void classify_in_mode(UnitInstruction* added) const {
    const ZydisDecodedInstruction& facts = added->instruction.facts;
    added->has_narrow_operands = has_narrow_operands(facts, key_.mode.has_narrow_code());
    added->inverts_operand_size = key_.mode.has_narrow_code() && has_operand_size(facts);
    if (!is_direct_branch(*added) ||
        (key_.mode.holds(branch_destination(*added)) && key_.mode.holds(added->next_eip()))) {
      return;
    }
    added->treatment = Treatment::Interpret;
    added->family = Family::Interpret;
  }

  void take_bytes(uint32_t count) {
    piece().length += count;
    unit_.continues_at += count;
    bytes_ = bytes_.subspan(count);
  }

  // At the end of a page, with the bytes of the next one.
  DecodeOutcome decode_crossing(UnitInstruction* added) {
    std::array<uint8_t, 2 * kMaxInstructionBytes> bytes{};
    GuestPhysical physical;
    const auto here = static_cast<uint32_t>(bytes_.size());
    const Eip next = added->eip + here;
    const std::span<const uint8_t> more = bytes_at(next, &physical);
    if (more.empty()) return DecodeOutcome::NeedMoreBytes;
    const size_t taken = std::min(more.size(), kMaxInstructionBytes);
    std::memcpy(bytes.data(), bytes_.data(), here);
    std::memcpy(bytes.data() + here, more.data(), taken);
    const DecodeOutcome outcome =
        decode({bytes.data(), here + taken}, key_.mode.decode_mode(), &added->instruction);
    if (outcome != DecodeOutcome::Ok) return outcome;
    unit_.crosses_page = true;
    piece().length = here;
    unit_.pieces.push_back({next, physical, added->instruction.length - here});
    unit_.continues_at += added->instruction.length;
    return outcome;
  }

  // After the instruction just added: does the unit go on, and where?
  bool go_on() {
    const UnitInstruction& last = unit_.instructions.back();
    if (ends_unit(last)) return false;
    if (last.family == Family::Jump) return follow_jump(branch_destination(last));
    if (last.family == Family::Call && is_direct_branch(last)) inline_callee();
    return !unit_.crosses_page;
  }

  // Code that address spaces share is the same in all of them within one linear page only (T1).
  // Where events are counted, a page is looked at when the guest comes to it and not before: that
  // sets its table entry's accessed bit.
  [[nodiscard]] bool may_hold(Eip eip) const {
    if (features_.counts_events && eip.page_base() != key_.eip.page_base()) return false;
    return key_.may_reach(eip);
  }

  // Not into code that the unit holds already: that would unroll loops.
  bool follow_jump(Eip destination) {
    unit_.continues_at = destination;
    if (unit_.crosses_page || is_full(1) || !may_hold(destination) || is_kept_out(destination)) {
      return false;
    }
    for (const CodePiece& known : unit_.pieces) {
      if (known.holds(destination)) return false;
    }
    GuestPhysical physical;
    bytes_ = bytes_at(destination, &physical);
    if (bytes_.empty()) return false;
    piece_ = unit_.pieces.size();
    unit_.pieces.push_back({destination, physical, 0});
    return true;
  }

  // A call that comes back after one instruction: both instructions of the callee are put into the
  // unit, and the address it returns to is known.
  void inline_callee() {
    if (features_.counts_events) return;  // its call and its return are events
    const Eip destination = branch_destination(unit_.instructions.back());
    if (!key_.mode.is_flat() || unit_.crosses_page || is_full(2) || !may_hold(destination)) return;
    if (is_kept_out(destination) || is_kept_out(destination + kPcThunkMove)) return;
    GuestPhysical physical;
    const std::span<const uint8_t> bytes = bytes_at(destination, &physical);
    if (!is_pc_thunk(bytes)) return;
    unit_.instructions.back().is_inlined = true;
    uint32_t done = 0;
    for (int i = 0; i < 2; ++i) {
      UnitInstruction& added = unit_.instructions.emplace_back();
      added.eip = destination + done;
      added.physical = physical + done;
      (void)decode(bytes.subspan(done), DecodeMode::Bits32, &added.instruction);
      classify_added(&added);
      done += added.instruction.length;
    }
    unit_.instructions.back().is_inlined = true;
    unit_.pieces.push_back({destination, physical, kPcThunkBytes});
  }

  static bool is_pc_thunk(std::span<const uint8_t> bytes) {
    constexpr uint8_t kModRmMask = 0xc7;  // all but the register
    constexpr uint8_t kIntoEsp = 0x24;
    return bytes.size() >= kPcThunkBytes && bytes[0] == 0x8b && (bytes[1] & kModRmMask) == 0x04 &&
           bytes[1] != kIntoEsp && bytes[2] == 0x24 && bytes[3] == 0xc3;
  }

  const TranslationKey& key_;
  CodeSource& source_;
  const SoftSites& soft_sites_;
  const TranslatorFeatures& features_;
  const PlanLimits& limits_;
  const KeptOut* kept_out_;
  TranslationUnit& unit_;
  std::span<const uint8_t> bytes_;  // from the end of the current piece to the end of its page
  size_t piece_ = 0;
};

}  // namespace

void plan(const TranslationKey& key, CodeSource& source, const SoftSites& soft_sites,
          const TranslatorFeatures& features, const PlanLimits& limits, TranslationUnit* unit) {
  Planner(key, source, soft_sites, features, limits, unit).plan();
}

}  // namespace ringshift
