#include "monitor/lab/explorer/sampling.h"

#include <x86intrin.h>

#include <algorithm>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/vcpu/execution_observer.h"
#include "translator/recovery.h"

namespace ringshift::lab {
namespace {

constexpr Nanoseconds kPeriod = 50'000;
constexpr uint64_t kEnough = 20'000;
constexpr Nanoseconds kLongEnough = 2'000'000'000;

// Looks samples up at each turn of the loop.
class Sampler final : public ExecutionObserver {
 public:
  Sampler(const SamplingSpan& span, Samples* out) : span_(span), taker_(out) {}
  void watch(Machine* machine) {
    machine_ = machine;
    timer_ = std::make_unique<ClockTimer>(machine->clock(), [this](Nanoseconds) { on_clock(); });
    timer_->arm(span_.from);
  }
  void before_interpreted(const GuestState&) override { taker_.look_up(); }
  void before_interrupt(const Event&, const GuestState&) override { taker_.look_up(); }
  void on_guest_fault(const GuestFault&, const GuestState&) override { taker_.look_up(); }
  void on_host_fault(FaultKind, GuestVirtual, bool, const GuestState&) override {
    taker_.look_up();
  }
  // When the machine has stopped, before it goes.
  void finish() {
    taker_.stop();
    timer_.reset();
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void on_clock() {
    if (taker_.is_started() || !taker_.start(machine_, &problem_)) {
      return machine_->request_stop(StopReason::Quit);
    }
    timer_->arm(std::max(span_.to, machine_->clock().now() + 1));
  }

  SamplingSpan span_;
  Machine* machine_ = nullptr;
  SampleTaker taker_;
  std::unique_ptr<ClockTimer> timer_;
  std::string problem_;
};

bool sample_one(const MachineConfig& config, const SamplingSpan& span, Samples* out,
                std::string* error) {
  const SerialCapture serial;
  if (!serial.ok()) {
    *error = "no temporary file for the serial line";
    return false;
  }
  Sampler sampler(span, out);
  MachineConfig sampled = config;
  serial.attach(&sampled);
  sampled.vcpu.observer = &sampler;
  const std::unique_ptr<Machine> machine = Machine::create(sampled, error);
  if (machine == nullptr) return false;
  sampler.watch(machine.get());
  (void)machine->run();
  sampler.finish();
  *error = sampler.problem();
  return error->empty();
}

}  // namespace

bool SampleTaker::start(Machine* machine, std::string* error) {
  if (!sampling_.start(kPeriod, error)) return false;
  machine_ = machine;
  began_ = __rdtsc();
  return true;
}

void SampleTaker::stop() {
  if (machine_ == nullptr) return;
  sampling_.stop();
  out_->cycles += __rdtsc() - began_;
  look_up();
  out_->all += sampling_.lost();
  out_->untold += sampling_.lost();
  machine_ = nullptr;
}

void SampleTaker::look_up() {
  if (machine_ == nullptr) return;
  for (const uint64_t host_pc : sampling_.take()) look_up(host_pc);
}

void SampleTaker::look_up(uint64_t host_pc) {
  Translator& translator = machine_->processor().translator();
  ++out_->all;
  if (!translator.arena().contains(host_pc)) {
    ++out_->outside;
    return;
  }
  const Fragment* fragment = translator.cache().fragment_at(host_pc);
  if (fragment == nullptr) {
    ++out_->in_stubs;
    return;
  }
  const uint64_t offset = host_pc - fragment->code.address;
  if (offset >= fragment->size) {
    ++out_->untold;
    return;
  }
  const RecoveryPoint point = recovery_point(*fragment, static_cast<uint32_t>(offset));
  ++out_->in_code;
  ++out_->by_instruction[place_of(point.guest_eip.value(), fragment->key.privilege)];
}

bool sample_runs(const MachineConfig& config, const SamplingSpan& span, Samples* out,
                 std::string* error) {
  const Nanoseconds began = HostClock::monotonic();
  do {
    if (!sample_one(config, span, out, error)) return false;
    ++out->runs;
  } while (out->all < kEnough && HostClock::monotonic() - began < kLongEnough);
  return true;
}

}  // namespace ringshift::lab
