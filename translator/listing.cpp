#include "translator/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <unordered_set>

#include "translator/dump.h"
#include "translator/emit.h"

namespace ringshift {
namespace {

constexpr uint64_t kArenaBytes = 1U << 20;
constexpr size_t kTreatments = static_cast<size_t>(Treatment::Interpret) + 1;

// Is the instruction after this one reached, as far as the instruction itself says? Asked of those
// that leave for the interpreter: the others have links.
bool may_fall_through(const UnitInstruction& instruction) {
  if (instruction.instruction.length == 0) return false;
  switch (instruction.instruction.facts.meta.category) {
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SYSRET:
      return false;
    default:
      return instruction.instruction.facts.mnemonic != ZYDIS_MNEMONIC_UD2;
  }
}

class BlockTranslator {
 public:
  BlockTranslator(const TranslateRequest& request, CodeSource& source, const SoftSites& soft_sites,
                  CodeArena& arena)
      : request_(request),
        source_(source),
        soft_sites_(soft_sites),
        arena_(arena),
        stubs_(emit_stubs(arena)),
        emitter_(stubs_) {}

  std::vector<DumpedUnit> blocks() {
    enqueue(request_.first_eip);
    std::vector<DumpedUnit> out;
    while (!waiting_.empty() && blocks_ < request_.max_blocks && !is_count_used_up()) {
      const Eip eip = waiting_.front();
      waiting_.pop_front();
      if (has_code(eip)) out.push_back(block(eip));
    }
    return out;
  }
  std::string text() {
    std::string out;
    for (const DumpedUnit& dumped : blocks()) out += dump_text(dumped) + "\n";
    return out + summary();
  }
  bool has_code(Eip eip) {
    GuestPhysical physical;
    return !source_.code_at(request_.mode.linear(eip), request_.privilege, &physical).empty();
  }

 private:
  [[nodiscard]] bool is_count_used_up() const {
    return request_.max_instructions != 0 && instructions_ >= request_.max_instructions;
  }
  void enqueue(Eip eip) {
    if (seen_.insert(eip).second) waiting_.push_back(eip);
  }

  DumpedUnit block(Eip eip) {
    TranslationKey key;
    key.eip = eip;
    key.privilege = request_.privilege;
    key.style = request_.style;
    key.mode = request_.mode;
    (void)source_.code_at(key.mode.linear(eip), request_.privilege, &key.physical);
    PlanLimits limits = request_.limits;
    if (request_.max_instructions != 0) {
      limits.max_instructions =
          std::min(limits.max_instructions, request_.max_instructions - instructions_);
    }
    TranslationUnit unit;
    plan(key, source_, soft_sites_, request_.features, limits, &unit);
    const EmittedCode& code = emitter_.emit(unit, arena_.next(), 0);
    count(unit, code);
    for (const EmittedLink& link : code.links) enqueue(link.destination_eip);
    const UnitInstruction& last = unit.instructions.back();
    if (last.treatment == Treatment::Interpret && may_fall_through(last)) {
      enqueue(last.next_eip());
    }
    return take_apart(unit, code, stubs_, arena_.next().address);
  }

  void count(const TranslationUnit& unit, const EmittedCode& code) {
    ++blocks_;
    instructions_ += static_cast<uint32_t>(unit.instructions.size());
    for (const CodePiece& piece : unit.pieces) guest_bytes_ += piece.length;
    host_bytes_ += code.bytes.size();
    for (const UnitInstruction& instruction : unit.instructions) {
      ++by_treatment_[static_cast<size_t>(instruction.treatment)];
    }
  }

  [[nodiscard]] std::string summary() const {
    std::string out = fmt::format("{} blocks, {} instructions in {} bytes; {} bytes of host code\n",
                                  blocks_, instructions_, guest_bytes_, host_bytes_);
    for (size_t i = 0; i < kTreatments; ++i) {
      if (by_treatment_[i] == 0) continue;
      out += fmt::format("  {:<16} {:>6}  {:>5.1f}%\n", treatment_name(static_cast<Treatment>(i)),
                         by_treatment_[i], 100.0 * by_treatment_[i] / instructions_);
    }
    return out;
  }

  const TranslateRequest& request_;
  CodeSource& source_;
  const SoftSites& soft_sites_;
  CodeArena& arena_;
  const Stubs stubs_;
  Emitter emitter_;
  std::deque<Eip> waiting_;
  std::unordered_set<Eip> seen_;
  uint32_t blocks_ = 0;
  uint32_t instructions_ = 0;
  uint64_t guest_bytes_ = 0;
  uint64_t host_bytes_ = 0;
  std::array<uint32_t, kTreatments> by_treatment_{};
};

// False with one line in *error, and `use` is not called: no arena, or no code where it begins.
template <typename Use>
bool with_translator(const TranslateRequest& request, CodeSource& source,
                     const SoftSites& soft_sites, std::string* error, Use use) {
  const std::unique_ptr<CodeArena> arena = CodeArena::create(kArenaBytes, error);
  if (arena == nullptr) return false;
  BlockTranslator translator(request, source, soft_sites, *arena);
  if (!translator.has_code(request.first_eip)) {
    *error = fmt::format("there is no code at {:#x}", request.first_eip.value());
    return false;
  }
  use(translator);
  return true;
}

}  // namespace

bool list_blocks(const TranslateRequest& request, CodeSource& source, const SoftSites& soft_sites,
                 std::vector<DumpedUnit>* blocks, std::string* error) {
  return with_translator(request, source, soft_sites, error,
                         [blocks](BlockTranslator& translator) { *blocks = translator.blocks(); });
}

bool translate_blocks(const TranslateRequest& request, CodeSource& source,
                      const SoftSites& soft_sites, std::string* text, std::string* error) {
  return with_translator(request, source, soft_sites, error,
                         [text](BlockTranslator& translator) { *text = translator.text(); });
}

}  // namespace ringshift
