// GuestEvents: events that a guest's kernel, or its watchdog, reports, and the actions then. Values
// only; see docs/devices.md, "Panics and watchdogs".
#pragma once

#include <cstdint>

namespace ringshift {

enum class PanicAction : uint8_t { Shutdown, Pause, None };
enum class WatchdogAction : uint8_t { Reset, Shutdown, PowerOff, Pause, Debug, None };

struct EventActions {
  PanicAction panic = PanicAction::Shutdown;
  WatchdogAction watchdog = WatchdogAction::Reset;
};

struct GuestEvent {
  enum class Kind : uint8_t { Panicked, CrashLoaded, Watchdog };
  Kind kind = Kind::Panicked;
  const char* action = "";  // QMP's name of the action
};

}  // namespace ringshift
