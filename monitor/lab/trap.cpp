#include "monitor/lab/trap.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "monitor/lab/deprivileged.h"
#include "monitor/lab/serial_capture.h"
#include "shadowmmu/base/counters.h"

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
  const uint64_t before = counters().interpreted_instructions;
  {
    const std::unique_ptr<Machine> machine = Machine::create(one, error);
    if (machine == nullptr) return false;
    const Watchdog watchdog(*machine, seconds);
    run->end = end_of(machine->run());
  }
  run->traps = counters().interpreted_instructions - before;
  run->serial = serial.text();
  return true;
}

// One instruction at a time for as long as that may take, then from trap to trap.
bool find_first(const MachineConfig& config, double seconds, TrapReport* report,
                std::string* error) {
  constexpr uint64_t kSteppedInstructions = 200'000;
  constexpr uint64_t kRamEvery = 2'000'000;
  Lockstep lockstep({.ram_every = kRamEvery, .seconds = seconds});
  MachineConfig followed = config;
  followed.vcpu.engine = Engine::Trap;
  followed.vcpu.observer = &lockstep;
  followed.serial = SerialTarget::None;
  const std::unique_ptr<Machine> machine = Machine::create(followed, error);
  if (machine == nullptr || !lockstep.attach(machine.get(), error)) return false;
  auto* processor = static_cast<Deprivileged*>(machine->deprivileged());
  lockstep.set_single(true);
  processor->run_singly(true);
  processor->set_watch([&](const GuestState& state) {
    const bool single = lockstep.figures().instructions < kSteppedInstructions;
    lockstep.at_boundary(state);
    lockstep.set_single(single);
    processor->run_singly(single);
  });
  {
    const Watchdog watchdog(*machine, seconds);
    (void)machine->run();
  }
  lockstep.finish();
  report->first = lockstep.difference();
  report->figures = lockstep.figures();
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
