#include "monitor/translate_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <fstream>
#include <iterator>
#include <unordered_set>

#include "monitor/execution_mode.h"
#include "monitor/machine.h"
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

  std::string text() {
    enqueue(request_.first_eip);
    std::string out;
    while (!waiting_.empty() && blocks_ < request_.max_blocks && !is_count_used_up()) {
      const uint32_t eip = waiting_.front();
      waiting_.pop_front();
      if (has_code(eip)) out += block(eip) + "\n";
    }
    return out + summary();
  }
  bool has_code(uint32_t eip) {
    GuestPhysical physical;
    return !source_.code_at(GuestVirtual(eip), request_.privilege, &physical).empty();
  }

 private:
  [[nodiscard]] bool is_count_used_up() const {
    return request_.max_instructions != 0 && instructions_ >= request_.max_instructions;
  }
  void enqueue(uint32_t eip) {
    if (seen_.insert(eip).second) waiting_.push_back(eip);
  }

  std::string block(uint32_t eip) {
    TranslationKey key;
    key.eip = eip;
    key.privilege = request_.privilege;
    key.style = request_.style;
    (void)source_.code_at(GuestVirtual(eip), request_.privilege, &key.physical);
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
    return dump(unit, code, stubs_, arena_.next().address);
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
  std::deque<uint32_t> waiting_;
  std::unordered_set<uint32_t> seen_;
  uint32_t blocks_ = 0;
  uint32_t instructions_ = 0;
  uint64_t guest_bytes_ = 0;
  uint64_t host_bytes_ = 0;
  std::array<uint32_t, kTreatments> by_treatment_{};
};

// The bytes of a file at an address, and nothing around them.
class RawCode final : public CodeSource, public SoftSites {
 public:
  RawCode(std::vector<uint8_t> bytes, uint32_t base) : bytes_(std::move(bytes)), base_(base) {}
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - base_;
    if (offset >= bytes_.size()) return {};
    *physical = GuestPhysical(address.value());
    const size_t in_page = kPageSize - address.offset_in_page();
    return {bytes_.data() + offset, std::min(bytes_.size() - offset, in_page)};
  }
  [[nodiscard]] bool is_soft(GuestPhysical) const override { return false; }

 private:
  std::vector<uint8_t> bytes_;
  uint32_t base_;
};

TranslateRequest request_of(const TranslateOptions& options) {
  TranslateRequest request;
  request.privilege = options.ring == 3 ? Privilege::User : Privilege::Supervisor;
  request.style = options.access_style;
  request.max_blocks = options.blocks;
  request.max_instructions = options.count;
  request.limits = options.guest.machine.translator.limits;
  request.features.sse2_and_later = options.guest.machine.cpu.sse42;
  request.features.tzcnt = options.guest.machine.cpu.bmi1;
  return request;
}

bool translate_raw(const TranslateOptions& options, std::string* text, std::string* error) {
  std::ifstream file(options.raw_path, std::ios::binary);
  if (!file) {
    *error = "cannot read " + options.raw_path + ": " + std::strerror(errno);
    return false;
  }
  RawCode source({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()},
                 options.base_address);
  TranslateRequest request = request_of(options);
  request.first_eip = options.at_address.value_or(options.base_address);
  return translate_blocks(request, source, source, text, error);
}

bool translate_image(const TranslateOptions& options, std::string* text, std::string* error) {
  const std::unique_ptr<Machine> machine = Machine::create(options.guest.machine, error);
  if (machine == nullptr) return false;
  const ModeReason mode = execution_mode(machine->state());
  if (!options.at_address && mode != ModeReason::Translatable) {
    *error = std::string("the guest starts where code is interpreted: ") + mode_reason_name(mode);
    return false;
  }
  TranslateRequest request = request_of(options);
  request.first_eip = options.at_address.value_or(machine->state().eip);
  return translate_blocks(request, machine->coherence(), machine->coherence(), text, error);
}

}  // namespace

bool translate_blocks(const TranslateRequest& request, CodeSource& source,
                      const SoftSites& soft_sites, std::string* text, std::string* error) {
  const std::unique_ptr<CodeArena> arena = CodeArena::create(kArenaBytes, error);
  if (arena == nullptr) return false;
  BlockTranslator translator(request, source, soft_sites, *arena);
  if (!translator.has_code(request.first_eip)) {
    *error = fmt::format("there is no code at {:#x}", request.first_eip);
    return false;
  }
  *text = translator.text();
  return true;
}

bool run_translate(const TranslateOptions& options, std::string* text, std::string* error) {
  return options.raw_path.empty() ? translate_image(options, text, error)
                                  : translate_raw(options, text, error);
}

}  // namespace ringshift
