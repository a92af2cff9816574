// ExecutionGuide: leads the guest of a replay to a position, or to the last point before one. Asked
// by the loop between two instructions; while it leads, breakpoints and watched data are told to it
// and stop nothing. Implemented by TimeTravel (monitor/replay). See docs/debugging-backwards.md.
#pragma once

#include "monitor/vcpu/stop_request.h"

namespace ringshift {

struct DebugStop;

class ExecutionGuide {
 public:
  virtual ~ExecutionGuide() = default;
  // Before the first instruction of a run.
  virtual void begin() = 0;
  // At a boundary, while it leads (ExecutionControl::is_leading). True: the guest is somewhere else
  // now, or stands.
  [[nodiscard]] virtual bool lead() = 0;
  // While it leads: the guest stands at a breakpoint, or its last instruction has touched watched
  // data.
  virtual void on_point(const DebugStop& point) = 0;
  // While it leads: the interpreter is about to execute an instruction.
  virtual void before_instruction() = 0;
  // The timers have been looked at, and the guest has got the tape's inputs for this position.
  virtual void after_event() = 0;
  // The run is to end for this reason. True: the guest stands instead, and may be led back.
  [[nodiscard]] virtual bool keeps_from_ending(StopReason reason) = 0;
  // Called when somebody has let the guest go. True: there is nothing behind this position, and it
  // stands again.
  [[nodiscard]] virtual bool is_at_end() = 0;
};

}  // namespace ringshift
