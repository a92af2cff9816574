// DirectEngine: runs guest user code on the processor itself, in the sandboxed process of its
// address space, and decides when that is worth it. Owns: how the vCPU thread shares its host CPU
// with those processes, and the look at programs that are new. See docs/direct-execution.md.
#pragma once

#include <cstdint>

#include "monitor/direct/user_policy.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/shared_cpu.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/vcpu/engines/execution_engine.h"

namespace ringshift {

struct DirectConfig {
  UserEngine user = UserEngine::Auto;
  bool trace_exits = false;
  bool is_metered = false;  // processor_time() is asked for
};

class DirectEngine final : public ExecutionEngine {
 public:
  DirectEngine(const EngineParts& parts, RunClock& clock, const DirectConfig& config);

  [[nodiscard]] Turn run() override;
  // Should the guest at EIP run untranslated now?
  [[nodiscard]] bool wants_guest() const;
  // Would user code of this view run untranslated, whatever else its state is?
  [[nodiscard]] bool may_want(const UserPolicy& policy) const;

  // The guest is at this privilege now: entries into the kernel speak against direct execution.
  void note_privilege(Privilege now);
  // The same where the guest has changed rings by itself: it has entered the kernel so often.
  void follow(Privilege now, uint32_t kernel_entries);
  // Attention has found translated user code at work. May promote it, or ask for a look at it soon.
  void note_translated_tick();
  // Is attention wanted only for a look at a program that is new?
  [[nodiscard]] bool is_look_due() const;

  // The vCPU thread is at work by itself (`now`: the host's TSC), about to sleep, or done.
  void while_alone(uint64_t now);
  void before_sleep() { look_.cancel(); }
  // The processor time of the processes that have run guest code: nanoseconds, up to their last
  // stops.
  [[nodiscard]] Nanoseconds processor_time() const { return processor_time_; }
  void end() { cpuid_faulting_.end(); }

 private:
  [[nodiscard]] GuestState& state() const { return state_; }
  [[nodiscard]] bool bring_up_to_date(DirectSpace& space);
  [[nodiscard]] DirectStop run_in(DirectSpace& space);
  [[nodiscard]] Turn step_over_sensitive_page();
  void map_user_fault();
  void handle(const DirectStop& stop);
  void count(DirectStop::Kind kind) const;
  void punish_escape();

  EngineParts parts_;
  GuestState& state_;
  DirectConfig config_;
  SharedCpu shared_cpu_;
  CpuidFaulting cpuid_faulting_;
  ClockTimer look_;  // at a program that is new: it only raises attention
  RunClock& clock_;
  Privilege last_privilege_ = Privilege::Supervisor;
  uint32_t sensitive_steps_ = 0;
  Nanoseconds processor_time_ = 0;
};

}  // namespace ringshift
