#include "monitor/vcpu/vcpu.h"

#include <x86intrin.h>

#include <algorithm>

#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// A timer that finds user code at work earns it a window of its own. The guest's timers count, and
// not the host's time, since pages are walked anew for the window, which sets accessed bits. True:
// it has got one, and goes on in other code.
bool note_user_timer(const VcpuParts& parts, const GuestState& guest) {
  constexpr uint64_t kWorkOfTimer = 1000;
  if (!parts.translating || guest.cpl != 3 || guest.activity != ActivityState::Running) {
    return false;
  }
  const std::optional<Nanoseconds> deadline = parts.clock.next_deadline();
  if (!deadline || *deadline > parts.clock.now()) return false;
  const bool has_window = parts.translating->spaces.note_user_work(kWorkOfTimer);
  parts.translating->spaces.note_user_tick();
  return has_window;
}

Frame* frame_of(const VcpuParts& parts) {
  return parts.translating ? &parts.translating->gate.frame() : nullptr;
}

}  // namespace

Vcpu::Vcpu(const VcpuParts& parts, const VcpuConfig& config)
    : parts_(parts),
      engine_(config.engine),
      boundary_({.cpu = parts.cpu,
                 .interpreter = parts.interpreter,
                 .interrupts = parts.interrupts,
                 .frame = frame_of(parts),
                 .delivers_quickly = config.engine == Engine::Translate,
                 .control = parts.control,
                 .events = parts.events,
                 .observer = config.observer}),
      torture_(config.torture) {
  make_engines(config);
  if (config.cpu_percent == 0) return;
  limit_ = std::make_unique<CpuLimit>(config.cpu_percent);
  counted_ = config.counted;
  limit_timer_ = std::make_unique<ClockTimer>(parts.clock, [](Nanoseconds) {});
}

void Vcpu::make_engines(const VcpuConfig& config) {
  switch (engine_) {
    case Engine::Interpret:
      return;
    case Engine::Trap:
      trap_ = std::make_unique<TrapEngine>(boundary_, *parts_.deprivileged);
      engines_ = {trap_.get()};
      return;
    case Engine::Translate: {
      const TranslatingParts& with = *parts_.translating;
      const EngineParts shared{.boundary = boundary_,
                               .spaces = with.spaces,
                               .code = with.code,
                               .data = with.data,
                               .direct = with.direct,
                               .sites = with.sites,
                               .translator = with.translator,
                               .gate = with.gate,
                               .attention = parts_.attention,
                               .torture = torture_};
      direct_ = std::make_unique<DirectEngine>(shared, parts_.clock,
                                               DirectConfig{.user = config.user,
                                                            .trace_exits = config.trace_exits,
                                                            .is_metered = config.cpu_percent != 0});
      translate_ =
          std::make_unique<TranslateEngine>(shared, *direct_,
                                            TranslateConfig{.make_callouts = config.make_callouts,
                                                            .trace_exits = config.trace_exits});
      engines_ = {direct_.get(), translate_.get()};
      return;
    }
  }
}

StopReason Vcpu::run() {
  if (guide() != nullptr) guide()->begin();
  keep_to_limit();  // a guest that nothing ever calls away is held all the same
  while (true) {
    if (parts_.attention.is_raised()) service_attention();
    if (parts_.events != nullptr && parts_.events->take_arrival()) service_event();
    if (const StopReason stop = reason_to_end(); stop != StopReason::Running) {
      if (direct_ != nullptr) direct_->end();
      return stop;
    }
    if (parts_.control != nullptr && parts_.control->is_engaged() && run_controlled()) continue;
    if (boundary_.deliver_interrupt()) continue;
    if (state().activity == ActivityState::Halted) {
      wait_halted();
      continue;
    }
    execute();
  }
}

// A replay that is debugged stands where its guest ends.
StopReason Vcpu::reason_to_end() {
  StopReason stop = boundary_.stop().reason();
  const bool is_shut_down = state().activity == ActivityState::Shutdown;
  if (stop == StopReason::Running && is_shut_down) stop = StopReason::Reset;
  if (stop == StopReason::Running || guide() == nullptr) return stop;
  if (!guide()->keeps_from_ending(stop)) return stop;
  boundary_.stop().withdraw();
  return StopReason::Running;
}

// A timer that is due more often than it can be served raises attention again before an engine has
// begun: the interpreter does not ask for it, so the guest comes on.
void Vcpu::execute() {
  const bool is_called_away = parts_.events == nullptr && parts_.attention.is_raised();
  if (is_called_away || boundary_.ignores_x87_error() || !engine_may_run()) return interpret();
  if (direct_ != nullptr) direct_->note_privilege(state().privilege());
  for (ExecutionEngine* engine : engines_) {
    if (engine != nullptr && engine->run() == Turn::Done) return;
  }
}

// The engine on the processor itself knows the usual mode only.
bool Vcpu::engine_may_run() const {
  switch (engine_) {
    case Engine::Interpret:
      return false;
    case Engine::Trap:
      return execution_mode(state()) == ModeReason::Translatable;
    case Engine::Translate:
      // Where events are counted the usual mode is the only one
      // (TranslateEngine::may_translate_in).
      return boundary_.events() == nullptr ? translated_mode(state()).has_value()
                                           : execution_mode(state()) == ModeReason::Translatable;
  }
  return false;
}

void Vcpu::interpret() {
  boundary_.continuation().forget();
  boundary_.interpret_on();
}

void Vcpu::service_attention() {
  counters().attentions++;
  if (direct_ != nullptr) direct_->while_alone(__rdtsc());
  parts_.attention.take();
  parts_.attention.drain_wakeups();
  if (parts_.events == nullptr) run_timers();
  parts_.service_host();
  keep_to_limit();
}

void Vcpu::run_timers() {
  parts_.clock.run_due();
  parts_.clock.rearm();
}

// The guest is where its timers are looked at, if events are counted.
void Vcpu::service_event() {
  counters().event_stops++;
  parts_.feed_guest();
  if (note_user_timer(parts_, state())) boundary_.continuation().forget();
  run_timers();
  parts_.feed_guest();  // a mark of a replay may have been before it
  if (state().activity != ActivityState::Halted) {
    parts_.events->go_on();
  } else {
    // No event has been come to: something may be due before the first one behind HLT, at this
    // count.
    (void)parts_.events->take_look();
    parts_.clock.rearm();
  }
  if (guide() != nullptr) guide()->after_event();
}

void Vcpu::wait_halted() {
  if ((state().eflags & kFlagIf) == 0) return request_stop(StopReason::Halted);
  counters().halts++;
  if (direct_ != nullptr) direct_->before_sleep();
  if (limit_timer_ != nullptr) limit_timer_->cancel();
  parts_.before_sleep();
  const Nanoseconds asleep_at = parts_.clock.now();
  sleep(parts_.clock.next_deadline());
  counters().halted_nanoseconds += static_cast<uint64_t>(parts_.clock.now() - asleep_at);
  service_attention();
  if (parts_.events != nullptr) service_event();
}

// Until then (nothing: without an end), or until attention is wanted.
void Vcpu::sleep(std::optional<Nanoseconds> deadline) {
  if (parts_.events != nullptr) {
    if (parts_.events->is_look_wanted()) return;
    const bool skips = parts_.event_clock->idle() == IdleTime::Skip;
    const bool is_told = parts_.events->input_count().has_value();
    if (is_told || (deadline && skips)) return parts_.event_clock->sleep_until(deadline);
  }
  if (!deadline) return parts_.attention.sleep_until(nullptr);
  const timespec host = parts_.clock.host_time_of(*deadline);
  const Nanoseconds asleep_at = HostClock::monotonic();
  parts_.clock.disarm();
  parts_.attention.sleep_until(&host);
  if (parts_.event_clock == nullptr) return;
  // Woken from outside, it has slept for as long as the host says; else until the deadline exactly.
  const Nanoseconds slept = HostClock::monotonic() - asleep_at;
  const bool was_woken = parts_.attention.is_raised();
  const Nanoseconds end = parts_.clock.now() + slept;
  parts_.event_clock->sleep_until(was_woken ? std::min(*deadline, end) : *deadline);
}

}  // namespace ringshift
