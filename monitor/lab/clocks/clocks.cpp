#include "monitor/lab/clocks/clocks.h"

#include <poll.h>

#include <array>
#include <cstring>
#include <utility>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"
#include "monitor/lab/parts/progress.h"

namespace ringshift::lab {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000, kSecond = 1'000'000'000;
// The first in the guest's time, the others in the host's.
constexpr Nanoseconds kBetweenSamples = 5 * kMillisecond;
constexpr Nanoseconds kStall = 400 * kMillisecond, kEnd = 2'400 * kMillisecond;
constexpr Nanoseconds kStallBegins = 400 * kMillisecond, kStopBegins = 1'300 * kMillisecond;
constexpr size_t kMostSamples = 2'000;

void wait(Nanoseconds time) {
  const Nanoseconds end = HostClock::monotonic() + time;
  for (Nanoseconds left = time; left > 0; left = end - HostClock::monotonic()) {
    (void)poll(nullptr, 0, static_cast<int>(left / kMillisecond + 1));
  }
}

struct Policy {
  const char* word;
  TimePolicy policy;
};

std::array<Policy, 4> policies() {
  return {{{"usual", {}},
           {"real", {.missed_ticks = MissedTicks::MakeUp, .passes_in_stops = true}},
           {"lazy", {.missed_ticks = MissedTicks::Drop, .passes_in_stops = true}},
           {"scaled=0.5", {.scale = TimeScale(0.5)}}}};
}

// Takes samples while a machine runs, and disturbs it as planned. On its thread.
class Sampler {
 public:
  Sampler(Machine& machine, ClocksReport* report, ClockRun* run)
      : machine_(machine),
        report_(report),
        run_(run),
        timer_(machine.clock(), [this](Nanoseconds) { on_due(); }) {
    timer_.arm(machine.clock().now() + kBetweenSamples);
  }

 private:
  [[nodiscard]] uint32_t ticks() {
    uint32_t count = 0;
    std::memcpy(&count, machine_.memory().at(GuestPhysical(kTickCountAt)), sizeof count);
    return count;
  }

  // The run begins with the guest's first tick.
  void take() {
    const uint64_t stamp = machine_.clock().time_stamp() + machine_.state().tsc_offset;
    const Nanoseconds host = HostClock::monotonic(), clock = machine_.clock().now();
    if (run_->samples.empty()) {
      first_ = {host, clock, 0, 0};
      first_stamp_ = stamp;
      first_ticks_ = ticks();
    }
    const double stamps = static_cast<double>(stamp - first_stamp_) * 1e9 /
                          static_cast<double>(HostClock::time_stamp_rate());
    const int64_t counts = int64_t{ticks() - first_ticks_} * kTickCounts;
    run_->samples.push_back({host - first_.host, clock - first_.clock,
                             static_cast<Nanoseconds>(stamps), counts * kSecond / kPitHertz});
  }

  void on_due() {
    timer_.arm(machine_.clock().now() + kBetweenSamples);
    if (ticks() == 0) return;
    take();
    const Nanoseconds host = run_->samples.back().host;
    if (host >= kEnd || run_->samples.size() >= kMostSamples) {
      report_->end = kEnd;
      return machine_.request_stop(StopReason::Quit);
    }
    if (host >= kStallBegins && !std::exchange(has_stalled_, true)) return stall(host);
    if (host >= kStopBegins && !std::exchange(has_stopped_, true)) stop(host);
  }

  void stall(Nanoseconds host) {
    wait(kStall);
    report_->stall_begin = host;
    report_->stall_end = host + kStall;
    take();
  }

  // As a debugger or a control program does it (Vcpu::wait_paused).
  void stop(Nanoseconds host) {
    RunClock& clock = machine_.clock();
    clock.stop();
    wait(kStall);
    machine_.state().tsc_offset -= clock.go_on();
    report_->stop_begin = host;
    report_->stop_end = host + kStall;
    take();
  }

  Machine& machine_;
  ClocksReport* report_;
  ClockRun* run_;
  ClockSample first_;
  uint64_t first_stamp_ = 0;
  uint32_t first_ticks_ = 0;
  bool has_stalled_ = false, has_stopped_ = false;
  ClockTimer timer_;
};

}  // namespace

bool compare_clocks(const MachineConfig& config, ClocksReport* report, std::string* error) {
  for (const Policy& policy : policies()) {
    note_step(policy.word);
    MachineConfig chosen = config;
    chosen.time = policy.policy;
    ClockRun run;
    run.policy = policy.word;
    const std::unique_ptr<Machine> machine = Machine::create(chosen, error);
    if (machine == nullptr) return false;
    Sampler sampler(*machine, report, &run);
    (void)machine->run();
    if (run.samples.size() < 2) {
      *error = "the guest that comes with ringshift has counted no ticks";
      return false;
    }
    report->runs.push_back(std::move(run));
  }
  return true;
}

}  // namespace ringshift::lab
