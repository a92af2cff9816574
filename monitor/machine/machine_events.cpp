// Machine, fifth part: the actions when the guest ends the run by a port, when its kernel says that
// it has panicked, and when its watchdog has not heard of it. All of it runs inside a device, and
// takes note. And the other listeners to inputs from outside of the processor and RAM.
#include <cstdio>

#include "monitor/machine/machine.h"
#include "monitor/vcpu/execution_control.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

void Machine::set_tap(BusTap* ports, BusTap* memory, BusTap* clock) {
  ports_.set_tap(ports);
  memory_bus_.set_tap(memory);
  CHECK(processor_->host_time_stamp() != nullptr);
  processor_->host_time_stamp()->set_tap(clock);
}

// The port hands over twice the written value, plus one.
void Machine::end_by_debug_exit(uint8_t code) {
  debug_exit_value_ = code >> 1;
  processor_->loop().request_stop(StopReason::DebugExit);
}

void Machine::pause_by_event() {
  if (config_.control == nullptr) return processor_->loop().request_stop(StopReason::Quit);
  config_.control->hold();
  attention().raise();
}

void Machine::tell_event(const GuestEvent& event) {
  if (on_event_) on_event_(event);
}

void Machine::on_panic(PanicEvent event) {
  if (event == PanicEvent::CrashLoaded) {
    std::fprintf(stderr, "ringshift: the guest's crash kernel has taken over\n");
    return tell_event({GuestEvent::Kind::CrashLoaded, "run"});
  }
  switch (config_.actions.panic) {
    case PanicAction::Shutdown:
      tell_event({GuestEvent::Kind::Panicked, "poweroff"});
      return processor_->loop().request_stop(StopReason::Panicked);
    case PanicAction::Pause:
      std::fprintf(stderr, "ringshift: the guest's kernel has panicked, and is paused\n");
      tell_event({GuestEvent::Kind::Panicked, "pause"});
      return pause_by_event();
    case PanicAction::None:
      std::fprintf(stderr, "ringshift: the guest's kernel has panicked\n");
      return tell_event({GuestEvent::Kind::Panicked, "run"});
  }
}

void Machine::on_watchdog() {
  config_.watchdog_has_fired = true;
  constexpr const char* kNames[] = {"reset", "shutdown", "poweroff", "pause", "debug", "none"};
  const WatchdogAction action = config_.actions.watchdog;
  const char* const name = kNames[static_cast<unsigned>(action)];
  std::fprintf(stderr, "ringshift: the guest's watchdog has run out (%s)\n", name);
  tell_event({GuestEvent::Kind::Watchdog, name});
  switch (action) {
    case WatchdogAction::Reset:
      return processor_->loop().request_stop(StopReason::Reset);
    case WatchdogAction::Shutdown:
      return pci_->press_power_button();
    case WatchdogAction::PowerOff:
      return processor_->loop().request_stop(StopReason::Halted);
    case WatchdogAction::Pause:
      return pause_by_event();
    case WatchdogAction::Debug:
    case WatchdogAction::None:
      return;
  }
}

}  // namespace ringshift
