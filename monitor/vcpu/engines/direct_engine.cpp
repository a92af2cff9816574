#include "monitor/vcpu/engines/direct_engine.h"

#include <x86intrin.h>

#include <cstdio>
#include <string>

#include "monitor/vcpu/engines/direct_obstacle.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// On a page that may not run directly: so many instructions one by one, then translated code, which
// goes on until something stops it.
constexpr uint32_t kInterpretedOnSensitivePage = 64;

const char* stop_name(DirectStop::Kind kind) {
  switch (kind) {
    case DirectStop::Kind::PageFault:
      return "direct-fault";
    case DirectStop::Kind::Instruction:
      return "interpret";
    case DirectStop::Kind::SingleStep:
      return "direct-step";
    case DirectStop::Kind::Kicked:
      return "direct-preempted";
    case DirectStop::Kind::Escaped:
      return "direct-escape";
    case DirectStop::Kind::Gone:
      return "direct-lost";
  }
  UNREACHABLE();
}

}  // namespace

DirectEngine::DirectEngine(const EngineParts& parts, RunClock& clock, const DirectConfig& config)
    : parts_(parts),
      state_(parts.boundary.state()),
      config_(config),
      look_(clock, [](Nanoseconds) {}),
      clock_(clock) {}

bool DirectEngine::may_want(const UserPolicy& policy) const {
  if (!parts_.direct.offered() || config_.user == UserEngine::Translate) return false;
  if (policy.has_given_up()) return false;
  return policy.is_direct() || config_.user == UserEngine::Direct;
}

bool DirectEngine::wants_guest() const {
  if (!parts_.direct.offered() || config_.user == UserEngine::Translate) return false;
  const ExecutionControl* control = parts_.boundary.control();
  if (control != nullptr && control->has_points()) return false;
  if (execution_mode(state()) != ModeReason::Translatable) return false;
  if (direct_obstacle(state()) != DirectObstacle::None) return false;
  return may_want(parts_.spaces.enter(Privilege::User).policy);
}

Turn DirectEngine::run() {
  if (state().cpl != 3 || !wants_guest()) return Turn::Declined;
  parts_.spaces.enter(Privilege::User);
  if (parts_.spaces.has_pending_work()) parts_.spaces.apply(Boundary::safe_point());
  DirectSpace* space = parts_.direct.space();
  if (space == nullptr || !space->process().accepts(state())) return Turn::Declined;
  if (parts_.direct.is_known_sensitive(state().pointer())) return step_over_sensitive_page();
  sensitive_steps_ = 0;
  parts_.boundary.continuation().forget();
  map_user_fault();
  if (!bring_up_to_date(*space)) return Turn::Declined;
  if (!parts_.attention.enter(space->process().id())) return Turn::Done;
  handle(run_in(*space));
  (void)parts_.torture.after_exit(parts_.spaces, parts_.translator.cache(), Boundary::safe_point());
  return Turn::Done;
}

// False: the process is of no use any more, and translated code takes over.
bool DirectEngine::bring_up_to_date(DirectSpace& space) {
  const uint64_t now = __rdtsc();
  shared_cpu_.before_handing_over(&space.process().placement(), now);
  if (parts_.direct.cpuid_faults()) cpuid_faulting_.before_handing_over(now);
  std::string problem;
  if (space.bring_up_to_date(parts_.direct.time_stamp_trap(), &problem)) return true;
  std::fprintf(stderr, "ringshift: %s; user code goes on translated\n", problem.c_str());
  parts_.direct.end();
  return false;
}

// Pre: attention has been entered for the space's process.
DirectStop DirectEngine::run_in(DirectSpace& space) {
  const uint64_t before = __rdtsc();
  const DirectStop stop = space.process().run(&state());
  const uint64_t cycles = __rdtsc() - before;
  parts_.attention.leave();
  if (config_.is_metered) processor_time_ += space.process().take_processor_time();
  counters().direct_slices++;
  counters().direct_cycles += cycles;
  count(stop.kind);
  if (config_.trace_exits) {
    std::fprintf(stderr, "exit %s cpl=%u eip=%08x\n", stop_name(stop.kind),
                 static_cast<unsigned>(state().cpl), state().eip);
  }
  if (config_.user == UserEngine::Auto &&
      parts_.spaces.enter(Privilege::User).policy.note_slice(cycles)) {
    counters().direct_demotions++;
  }
  return stop;
}

// User code goes on where its last page fault was.
void DirectEngine::map_user_fault() {
  UserFault& fault = parts_.boundary.user_fault();
  if (!fault.is_known) return;
  fault.is_known = false;
  (void)parts_.direct.fill(fault.address, state().pointer());
}

// Declined: too many of its instructions in a row; translated code takes over.
Turn DirectEngine::step_over_sensitive_page() {
  if (++sensitive_steps_ > kInterpretedOnSensitivePage) return Turn::Declined;
  parts_.boundary.continuation().forget();
  parts_.boundary.interpret();
  return Turn::Done;
}

void DirectEngine::count(DirectStop::Kind kind) const {
  switch (kind) {
    case DirectStop::Kind::PageFault:
      counters().exit_direct_fault++;
      return;
    case DirectStop::Kind::Instruction:
      counters().exit_interpret++;
      return;
    case DirectStop::Kind::SingleStep:
    case DirectStop::Kind::Kicked:
    case DirectStop::Kind::Escaped:
    case DirectStop::Kind::Gone:
      counters().exit_direct_stop++;
      return;
  }
  UNREACHABLE();
}

void DirectEngine::handle(const DirectStop& stop) {
  switch (stop.kind) {
    case DirectStop::Kind::PageFault:
      if (parts_.direct.fill(stop.address, state().pointer()) == DirectSpaces::Miss::Interpret) {
        parts_.boundary.interpret();
      }
      return;
    case DirectStop::Kind::Instruction:
      return parts_.boundary.interpret();
    case DirectStop::Kind::SingleStep: {
      // A trap: it comes after the instruction that follows the one that set TF (SDM 3A 17.3.1.4).
      constexpr uint32_t kDr6SingleStep = 1U << 14;
      GuestFault fault = GuestFault::simple(Vector::Debug);
      fault.dr6_bits = kDr6SingleStep;
      return parts_.boundary.raise(fault);
    }
    case DirectStop::Kind::Kicked:
      return;
    case DirectStop::Kind::Escaped:
      return punish_escape();
    case DirectStop::Kind::Gone:
      return parts_.boundary.stop().request(
          StopReason::HostFailure, "the process that ran guest user code was killed from outside");
  }
  UNREACHABLE();
}

// The code reached, by way of bytes that were no instruction when its page was examined, a far
// transfer, a segment load or a host system call. Its effects stay in its process, which ends; the
// guest sees the #GP that most such instructions would have raised.
void DirectEngine::punish_escape() {
  counters().direct_escapes++;
  if (counters().direct_escapes == 1) {
    std::fprintf(stderr,
                 "ringshift: guest user code at %08x tried to leave 32-bit user mode; it gets #GP "
                 "and runs translated from now on\n",
                 state().eip);
  }
  parts_.direct.end();
  parts_.boundary.raise(GuestFault::general_protection(0));
}

// ---- when it is worth it ----

void DirectEngine::note_privilege(Privilege now) {
  if (now == last_privilege_) return;
  last_privilege_ = now;
  if (now == Privilege::Supervisor) {
    parts_.spaces.enter(Privilege::User).policy.note_kernel_entries(1);
  }
}

void DirectEngine::follow(Privilege now, uint32_t kernel_entries) {
  last_privilege_ = now;
  if (kernel_entries == 0) return;
  parts_.spaces.enter(Privilege::User).policy.note_kernel_entries(kernel_entries);
}

bool DirectEngine::is_look_due() const { return look_.armed() && look_.deadline() <= clock_.now(); }

void DirectEngine::note_translated_tick() {
  if (config_.user != UserEngine::Auto || !parts_.direct.offered()) return;
  UserPolicy& policy = parts_.spaces.enter(Privilege::User).policy;
  if (policy.is_direct() || policy.has_given_up()) return;
  if (policy.note_tick(__rdtsc())) counters().direct_promotions++;
  // A short program may have ended before the guest's timer has found it twice.
  constexpr Nanoseconds kSoon = 1'000'000;
  if (policy.asks_for_a_look()) look_.arm(clock_.now() + kSoon);
}

void DirectEngine::while_alone(uint64_t now) {
  shared_cpu_.while_alone(now);
  cpuid_faulting_.while_alone(now);
}

}  // namespace ringshift
