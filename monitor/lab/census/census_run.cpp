// The census of a run: counts the instructions that execute.
#include <x86intrin.h>

#include <algorithm>
#include <unordered_map>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/census/census.h"
#include "monitor/lab/parts/progress.h"
#include "monitor/machine/machine.h"
#include "monitor/vcpu/execution_observer.h"
#include "shadowmmu/base/counters.h"

namespace ringshift::lab {
namespace {

// Counts the instructions that the loop interprets. Instructions that the translator would do
// inline are interpreted, too (TranslatorFeatures::interpret_inline), so every execution is counted
// here.
class Counter final : public ExecutionObserver {
 public:
  Counter(Census* census, double seconds) : census_(census), limit_(seconds) {}
  void watch(Machine* machine) {
    machine_ = machine;
    started_ = HostClock::monotonic();
    // Also of a guest that sleeps.
    timer_ = std::make_unique<ClockTimer>(
        machine->clock(), [this](Nanoseconds) { machine_->request_stop(StopReason::Quit); });
    timer_->arm(machine->clock().now() + static_cast<Nanoseconds>(limit_ * 1e9));
  }

  void before_interpreted(const GuestState& state) override {
    note_how_it_ended();
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
  // When the machine has stopped.
  void finish() {
    note_how_it_ended();
    timer_.reset();
  }
  [[nodiscard]] double seconds() const {
    return static_cast<double>(HostClock::monotonic() - started_) / 1e9;
  }

 private:
  struct Known {
    std::array<uint8_t, kMaxInstructionBytes> bytes{};
    size_t length = 0;
    CensusRow* row = nullptr;
  };

  // A callout that neither came back nor went on elsewhere in translated code has left it.
  void note_how_it_ended() {
    const uint64_t stayed = counters().callouts_returned + counters().callouts_dispatched;
    if (row_ != nullptr && stayed == stayed_) ++row_->left;
    stayed_ = stayed;
    row_ = nullptr;
  }

  void stop_when_due() {
    if (seconds() >= limit_) machine_->request_stop(StopReason::Quit);
  }

  // The bytes at EIP decide; those of last time are remembered.
  CensusRow* find(const GuestState& state) {
    const uint32_t linear = state.seg(SegmentRegister::Cs).base + state.eip;
    if (!state.protected_mode() || !state.seg(SegmentRegister::Cs).default_32()) return nullptr;
    GuestPhysical physical;
    const Privilege privilege = state.privilege();
    const std::span<const uint8_t> code =
        machine_->processor().code().code_at(GuestVirtual(linear), privilege, &physical);
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
    if (what.concern == Concern::None) return;
    known->row = &census_->rows[what.name];
    known->row->concern = what.concern;
    known->row->treatment = treatment_of(instruction);
  }

  Census* census_;
  double limit_;
  Machine* machine_ = nullptr;
  std::unique_ptr<ClockTimer> timer_;
  Nanoseconds started_ = 0;
  std::unordered_map<uint32_t, Known> known_;
  CensusRow* row_ = nullptr;
  uint64_t before_ = 0;
  uint64_t stayed_ = counters().callouts_returned + counters().callouts_dispatched;
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
    case StopReason::Panicked:
      return "the guest's kernel panicked";
    case StopReason::Quit:
    case StopReason::Saved:
    case StopReason::Migrated:
      return "time was up";
    case StopReason::HostFailure:
    case StopReason::InTwo:
      return "the host failed";
    case StopReason::Unimplemented:
      return "the guest used something not implemented";
    case StopReason::Running:
      break;
  }
  return "?";
}

}  // namespace

bool census_run(const MachineConfig& config, double seconds, Census* census, std::string* error) {
  MachineConfig counted = config;
  Counter counter(census, seconds);
  counted.translator.features.interpret_inline = true;
  counted.vcpu.observer = &counter;
  const std::unique_ptr<Machine> machine = Machine::create(counted, error);
  if (machine == nullptr) return false;
  counter.watch(machine.get());
  note_step("runs the guest, and counts");
  const uint64_t before = __rdtsc();
  const MachineOutcome outcome = machine->run();
  census->run.cycles = __rdtsc() - before;
  counter.finish();
  census->run.seconds = counter.seconds();
  census->run.end = end_name(outcome.reason);
  census->run.done = true;
  note_step("measures what translated code costs");
  census->costs = measure_costs();
  return true;
}

}  // namespace ringshift::lab
