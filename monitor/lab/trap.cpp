#include "monitor/lab/trap.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "monitor/host/host_clock.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/trap/deprivileged.h"

namespace ringshift::lab {
namespace {

// Ends a run that does not end by itself.
class Watchdog {
 public:
  Watchdog(Machine& machine, double seconds)
      : thread_([this, &machine, seconds] {
          std::unique_lock lock(mutex_);
          const auto limit = std::chrono::duration<double>(seconds);
          if (!ended_.wait_for(lock, limit, [this] { return is_over_; })) {
            machine.request_stop(StopReason::Quit);
          }
        }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_over_ = false;
  std::thread thread_;
};

// What the monitor decides about the instructions that come to it.
class Decisions final : public ExecutionObserver {
 public:
  explicit Decisions(EngineRun* run) : run_(run) {}
  void before_interpreted(const GuestState&) override { ++run_->interpreted; }
  void on_guest_fault(const GuestFault& fault, const GuestState& state) override {
    ++run_->refused[fault_name(fault, state)];
  }

 private:
  EngineRun* run_;
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
    const Watchdog watchdog(*machine, seconds);
    run->end = end_of(machine->run());
  }
  run->serial = serial.text();
  return true;
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
  followed.serial = SerialTarget::None;
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
    lockstep.set_single(single);
    processor->run_singly(single);
  });
  {
    const Watchdog watchdog(*machine, seconds);
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

std::string end_of(const MachineOutcome& outcome) {
  switch (outcome.reason) {
    case StopReason::Halted:
      return "powered off";
    case StopReason::Reset:
      return "reset (triple fault or request)";
    case StopReason::DebugExit:
      return "ended the run with " + std::to_string(outcome.debug_exit_value);
    case StopReason::Quit:
      return "was stopped: time was up";
    case StopReason::HostFailure:
    case StopReason::Unimplemented:
      return outcome.message;
    case StopReason::Running:
      break;
  }
  return "?";
}

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
