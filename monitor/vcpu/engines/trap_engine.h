// TrapEngine: the classical trap-and-emulate engine in the loop: runs the guest directly on the
// processor, and interprets instructions that trap. Wrong by design (docs/lab.md). Does not own:
// the runner.
#pragma once

#include "monitor/trap/deprivileged_runner.h"
#include "monitor/vcpu/boundary.h"
#include "monitor/vcpu/engines/execution_engine.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {

class TrapEngine final : public ExecutionEngine {
 public:
  TrapEngine(Boundary& boundary, DeprivilegedRunner& runner)
      : boundary_(boundary), runner_(runner) {}

  [[nodiscard]] Turn run() override {
    counters().trap_stops++;
    switch (runner_.run(boundary_.state())) {
      case DeprivilegedRunner::Stop::Resume:
        break;
      case DeprivilegedRunner::Stop::Interpret:
        boundary_.interpret();
        runner_.after_interpreted(boundary_.state());
        break;
      case DeprivilegedRunner::Stop::GiveUp:
        boundary_.stop().request(StopReason::Unimplemented, runner_.message());
        break;
    }
    return Turn::Done;
  }

 private:
  Boundary& boundary_;
  DeprivilegedRunner& runner_;
};

}  // namespace ringshift
