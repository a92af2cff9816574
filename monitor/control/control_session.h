// ControlSession: one client of a control socket, whatever language it speaks. Implemented by
// qmp_session and monitor_session. See docs/control.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "monitor/control/json_value.h"
#include "monitor/debug/control_target.h"

namespace ringshift::control {

using debug::ControlTarget;

// An event that clients are told of, no matter who caused it.
struct ControlEvent {
  const char* name;  // "STOP", "RESET"...
  JsonValue::Object data;
  int64_t seconds = 0, microseconds = 0;  // since 1970, when it happened
};

class ControlSession {
 public:
  using Send = std::function<void(std::string_view)>;

  virtual ~ControlSession() = default;
  // The client has connected.
  virtual void begin() = 0;
  // Takes bytes off the front, up to the end of one request at most, and answers that. False: all
  // have been taken, and no request has come to its end.
  [[nodiscard]] virtual bool take(std::span<const uint8_t>* bytes, ControlTarget& target) = 0;
  virtual void tell(const ControlEvent& event) = 0;
};

}  // namespace ringshift::control
