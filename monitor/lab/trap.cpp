#include "monitor/lab/trap.h"

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/lockstep/run_limit.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/trap/deprivileged.h"

namespace ringshift::lab {
namespace {

// Records the monitor's decisions about the instructions that trap, and the guest's own words.
class Decisions final : public ExecutionObserver, public BusTap {
 public:
  explicit Decisions(EngineRun* run) : run_(run) {}
  void before_interpreted(const GuestState& state) override {
    ++run_->interpreted;
    state_ = &state;
  }
  void before_interrupt(const Event&, const GuestState&) override { ++interrupts_; }
  void on_guest_fault(const GuestFault& fault, const GuestState& state) override {
    ++run_->refused[fault_name(fault, state)];
  }
  void on_read(uint64_t, AccessWidth, uint64_t) override {}
  void on_write(uint64_t port, AccessWidth, uint64_t value) override {
    constexpr uint64_t kPostPort = 0x80, kMark = 0x80, kSeenIf = 4, kSeenRing = 3;
    constexpr size_t kMostMoments = 64;
    if (port != kPostPort || state_ == nullptr || run_->moments.size() == kMostMoments) return;
    run_->moments.push_back({.is_mark = (value & kMark) != 0,
                             .eip = state_->eip,
                             .interrupts_on = (state_->eflags & kFlagIf) != 0,
                             .ring = state_->cpl,
                             .seen_on = (value & kSeenIf) != 0,
                             .seen_ring = static_cast<uint8_t>(value & kSeenRing),
                             .ticks = interrupts_});
  }

 private:
  EngineRun* run_;
  const GuestState* state_ = nullptr;  // of the machine that runs
  uint64_t interrupts_ = 0;
};

bool run_one(const MachineConfig& config, Engine engine, double seconds, EngineRun* run,
             std::string* error) {
  SerialCapture serial;
  if (!serial.ok()) {
    *error = "no temporary file for the serial line";
    return false;
  }
  MachineConfig one = config;
  one.vcpu.engine = engine;
  serial.attach(&one);
  Decisions decisions(run);
  one.vcpu.observer = &decisions;
  {
    const std::unique_ptr<Machine> machine = Machine::create(one, error);
    if (machine == nullptr) return false;
    machine->set_tap(&decisions, nullptr, nullptr);
    const RunLimit limit(*machine, seconds);
    run->end = end_of(machine->run());
  }
  run->serial = serial.text();
  return true;
}

void note_way(const LockstepFigures& figures, const GuestState& state, std::vector<WayPoint>* way) {
  constexpr size_t kMostPoints = 20'000;
  const WayPoint now{figures.instructions, state.eip, (state.eflags & kFlagIf) != 0, state.cpl,
                     figures.interrupts};
  const bool same = !way->empty() && way->back().interrupts_on == now.interrupts_on &&
                    way->back().ring == now.ring && way->back().interrupts == now.interrupts;
  if (!same && way->size() < kMostPoints) way->push_back(now);
}

// One instruction at a time at first, then from trap to trap.
bool find_first(const MachineConfig& config, double seconds, TrapReport* report,
                std::string* error) {
  constexpr uint64_t kSteppedInstructions = 20'000;
  constexpr uint64_t kRamEvery = 2'000'000;
  Lockstep lockstep({.ram_every = kRamEvery, .seconds = seconds, .keeps_way = true});
  MachineConfig followed = config;
  followed.vcpu.engine = Engine::Trap;
  followed.vcpu.observer = &lockstep;
  followed.ports.serial = {};
  const std::unique_ptr<Machine> machine = Machine::create(followed, error);
  if (machine == nullptr || !lockstep.attach(machine.get(), error)) return false;
  bool stopped = false;
  const Nanoseconds step_until =
      HostClock::monotonic() + static_cast<Nanoseconds>(seconds / 4 * 1e9);
  auto* processor = static_cast<Deprivileged*>(machine->deprivileged());
  lockstep.set_single(true);
  processor->run_singly(true);
  processor->set_watch([&](const GuestState& state) {
    const bool single = lockstep.figures().instructions < kSteppedInstructions &&
                        HostClock::monotonic() < step_until;
    lockstep.at_boundary(state);
    note_way(lockstep.figures(), state, &report->way);
    lockstep.set_single(single);
    processor->run_singly(single);
  });
  {
    const RunLimit limit(*machine, seconds);
    stopped = machine->run().reason == StopReason::Quit;
  }
  lockstep.finish();
  lockstep.name_first();
  report->first = lockstep.difference();
  report->figures = lockstep.figures();
  report->figures.time_was_up = stopped && !report->first.found;
  return true;
}

}  // namespace

bool compare_engines(const MachineConfig& config, double seconds, TrapReport* report,
                     std::string* error) {
  constexpr std::array<Engine, 3> kEngines = {Engine::Interpret, Engine::Trap, Engine::Translate};
  constexpr std::array<const char*, 3> kNames = {"interpret", "trap", "translate"};
  for (size_t i = 0; i < kEngines.size(); ++i) {
    report->runs[i].engine = kNames[i];
    if (run_one(config, kEngines[i], seconds, &report->runs[i], error)) continue;
    if (kEngines[i] != Engine::Trap) return false;
    report->refused = *error;
    report->runs[i].end = "not run: " + *error;
  }
  return !report->refused.empty() || find_first(config, seconds, report, error);
}

}  // namespace ringshift::lab
