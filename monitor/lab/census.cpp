#include "monitor/lab/census.h"

#include <x86intrin.h>

#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "monitor/execution_observer.h"
#include "monitor/host_clock.h"
#include "monitor/machine.h"
#include "translator/classify.h"

namespace ringshift::lab {
namespace {

CensusRow& row_for(const ConcernedInstruction& what, const GuestInstruction& instruction,
                   Census* census) {
  CensusRow& row = census->rows[what.name];
  row.concern = what.concern;
  row.treatment = classify(instruction, Privilege::Supervisor, TranslatorFeatures{}).treatment;
  return row;
}

// Where control may go after an instruction, as far as the bytes say.
void follow(const GuestInstruction& instruction, uint32_t eip, std::deque<uint32_t>* out) {
  const uint32_t next = eip + instruction.length;
  const ZydisDecodedOperand& operand = instruction.operands[0];
  const ZydisInstructionCategory category = instruction.facts.meta.category;
  const bool branches = category == ZYDIS_CATEGORY_UNCOND_BR ||
                        category == ZYDIS_CATEGORY_COND_BR || category == ZYDIS_CATEGORY_CALL;
  if (branches && operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand.imm.is_relative) {
    out->push_back(next + static_cast<uint32_t>(operand.imm.value.u));
  }
  if (branches && operand.type == ZYDIS_OPERAND_TYPE_POINTER) out->push_back(operand.ptr.offset);
  const bool ends = category == ZYDIS_CATEGORY_UNCOND_BR || category == ZYDIS_CATEGORY_RET ||
                    category == ZYDIS_CATEGORY_SYSRET ||
                    instruction.facts.mnemonic == ZYDIS_MNEMONIC_UD2 ||
                    instruction.facts.mnemonic == ZYDIS_MNEMONIC_IRETD;
  if (!ends) out->push_back(next);
}

// Counts what the loop interprets. What the translator would do inline is interpreted, too
// (TranslatorFeatures::interpret_inline), so every execution comes by here.
class Counter final : public ExecutionObserver {
 public:
  Counter(Census* census, double seconds) : census_(census), limit_(seconds) {}
  void watch(Machine* machine) {
    machine_ = machine;
    started_ = HostClock::monotonic();
  }

  void before_interpreted(const GuestState& state) override {
    row_ = find(state);
    before_ = __rdtsc();
  }
  void after_interpreted(const GuestState&) override {
    if (row_ == nullptr) {
      ++census_->run.other_interpreted;
    } else {
      row_->cycles += __rdtsc() - before_;
      ++row_->executed;
    }
    constexpr uint32_t kEventsBetweenLooks = 1024;
    if (++events_ % kEventsBetweenLooks == 0) stop_when_due();
  }
  void before_interrupt(const Event&, const GuestState&) override { stop_when_due(); }
  [[nodiscard]] double seconds() const {
    return static_cast<double>(HostClock::monotonic() - started_) / 1e9;
  }

 private:
  struct Known {
    std::array<uint8_t, kMaxInstructionBytes> bytes{};
    size_t length = 0;
    CensusRow* row = nullptr;
  };

  void stop_when_due() {
    if (seconds() >= limit_) machine_->request_stop(StopReason::Quit);
  }

  // The bytes at EIP decide; what they were last time is remembered.
  CensusRow* find(const GuestState& state) {
    const uint32_t linear = state.seg(SegmentRegister::Cs).base + state.eip;
    if (!state.protected_mode() || !state.seg(SegmentRegister::Cs).default_32()) return nullptr;
    GuestPhysical physical;
    const Privilege privilege = state.cpl == 3 ? Privilege::User : Privilege::Supervisor;
    const std::span<const uint8_t> code =
        machine_->coherence().code_at(GuestVirtual(linear), privilege, &physical);
    if (code.empty()) return nullptr;
    Known& known = known_[linear];
    if (known.length == 0 || known.length > code.size() ||
        !std::equal(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(known.length),
                    known.bytes.begin())) {
      learn(code, &known);
    }
    return known.row;
  }
  void learn(std::span<const uint8_t> code, Known* known) {
    GuestInstruction instruction;
    known->row = nullptr;
    known->length = 0;
    if (decode(code, DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) return;
    known->length = instruction.length;
    std::copy_n(instruction.bytes.begin(), instruction.length, known->bytes.begin());
    const ConcernedInstruction what = concern_of(instruction);
    if (what.concern != Concern::None) known->row = &row_for(what, instruction, census_);
  }

  Census* census_;
  double limit_;
  Machine* machine_ = nullptr;
  Nanoseconds started_ = 0;
  std::unordered_map<uint32_t, Known> known_;
  CensusRow* row_ = nullptr;
  uint64_t before_ = 0;
  uint32_t events_ = 0;
};

const char* end_name(StopReason reason) {
  switch (reason) {
    case StopReason::Halted:
      return "the guest powered off";
    case StopReason::Reset:
      return "the guest reset the machine";
    case StopReason::DebugExit:
      return "the guest ended the run";
    case StopReason::Quit:
      return "time was up";
    case StopReason::HostFailure:
      return "the host failed";
    case StopReason::Unimplemented:
      return "the guest used something not implemented";
    case StopReason::Running:
      break;
  }
  return "?";
}

}  // namespace

void census_linear(const CensusImage& image, Census* census) {
  for (const CodeRange& range : image.ranges()) {
    census->linear_bytes += range.bytes.size();
    size_t at = 0;
    while (at < range.bytes.size()) {
      GuestInstruction instruction;
      if (decode(std::span(range.bytes).subspan(at), DecodeMode::Bits32, &instruction) !=
          DecodeOutcome::Ok) {
        ++census->undecodable;
        ++at;
        continue;
      }
      ++census->linear_instructions;
      const ConcernedInstruction what = concern_of(instruction);
      if (what.concern != Concern::None) ++row_for(what, instruction, census).linear;
      at += instruction.length;
    }
  }
}

void census_reached(CensusImage& image, uint32_t entry, Census* census) {
  std::deque<uint32_t> waiting = {entry};
  std::unordered_set<uint32_t> seen;
  while (!waiting.empty()) {
    const uint32_t eip = waiting.front();
    waiting.pop_front();
    if (!seen.insert(eip).second) continue;
    GuestPhysical physical;
    const auto here = image.code_at(GuestVirtual(eip), Privilege::Supervisor, &physical);
    std::vector<uint8_t> bytes(here.begin(), here.end());
    if (bytes.size() < kMaxInstructionBytes) {
      const GuestVirtual next(eip + static_cast<uint32_t>(bytes.size()));
      const auto more = image.code_at(next, Privilege::Supervisor, &physical);
      if (!bytes.empty()) bytes.insert(bytes.end(), more.begin(), more.end());
    }
    GuestInstruction instruction;
    if (bytes.empty() || decode(bytes, DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) {
      continue;
    }
    ++census->reached_instructions;
    const ConcernedInstruction what = concern_of(instruction);
    if (what.concern != Concern::None) ++row_for(what, instruction, census).reached;
    follow(instruction, eip, &waiting);
  }
}

bool census_run(const MachineConfig& config, double seconds, Census* census, std::string* error) {
  MachineConfig counted = config;
  Counter counter(census, seconds);
  counted.translator.features.interpret_inline = true;
  counted.vcpu.observer = &counter;
  const std::unique_ptr<Machine> machine = Machine::create(counted, error);
  if (machine == nullptr) return false;
  counter.watch(machine.get());
  const uint64_t before = __rdtsc();
  const MachineOutcome outcome = machine->run();
  census->run.cycles = __rdtsc() - before;
  census->run.seconds = counter.seconds();
  census->run.end = end_name(outcome.reason);
  census->run.done = true;
  return true;
}

}  // namespace ringshift::lab
