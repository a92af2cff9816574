// The part of Vcpu that runs user code untranslated.
#include <x86intrin.h>

#include <cstdio>

#include "monitor/vcpu/vcpu.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

// On a page that may not run directly: so many instructions one by one, then translated code, which
// goes on until something stops it.
constexpr uint32_t kInterpretedOnSensitivePage = 64;

}  // namespace

// Should the user code at EIP run untranslated now?
bool Vcpu::wants_direct() {
  if (!parts_.coherence->offers_direct() || config_.user == UserEngine::Translate) return false;
  if (parts_.control != nullptr && parts_.control->has_points()) return false;
  const GuestState& state = parts_.cpu.state;
  if (direct_obstacle(state) != DirectObstacle::None) return false;
  const UserPolicy& policy = parts_.coherence->user_policy();
  if (policy.has_given_up()) return false;
  return policy.is_direct() || config_.user == UserEngine::Direct;
}

// False: translated code has to take this one.
bool Vcpu::run_direct() {
  GuestState& state = parts_.cpu.state;
  Coherence& coherence = *parts_.coherence;
  coherence.prepare_view(Privilege::User);
  if (coherence.has_pending_work()) {
    const SafePoint safe;
    coherence.apply(safe);
  }
  DirectSpace* space = coherence.direct_space();
  if (space == nullptr || !space->process().accepts(state)) return false;
  if (coherence.is_known_sensitive(state.eip)) return step_over_sensitive_page();
  sensitive_steps_ = 0;
  forget_continuation();
  if (has_prefault_) {
    has_prefault_ = false;
    (void)coherence.fill_direct(prefault_address_, state.eip);
  }
  DirectProcess& process = space->process();
  const uint64_t now = __rdtsc();
  shared_cpu_.before_handing_over(&process.placement(), now);
  if (coherence.cpuid_faults_directly()) cpuid_faulting_.before_handing_over(now);
  std::string problem;
  if (!space->bring_up_to_date(coherence.direct_time_stamp_trap(), &problem)) {
    std::fprintf(stderr, "ringshift: %s; user code goes on translated\n", problem.c_str());
    coherence.end_direct();
    return false;
  }
  if (!parts_.attention.enter(process.id())) return true;
  const Exit exit = run_directly(*space, &state);
  parts_.attention.leave();
  count(exit);
  if (config_.trace_exits) trace(exit);
  handle_direct(exit);
  torture();
  return true;
}

// False: too many of its instructions in a row; translated code takes over.
bool Vcpu::step_over_sensitive_page() {
  if (++sensitive_steps_ > kInterpretedOnSensitivePage) return false;
  forget_continuation();
  interpret_one();
  return true;
}

void Vcpu::handle_direct(const Exit& exit) {
  if (config_.user == UserEngine::Auto &&
      parts_.coherence->user_policy().note_slice(exit.host_cycles)) {
    counters().direct_demotions++;
  }
  switch (exit.reason) {
    case ExitReason::DirectFault:
      if (parts_.coherence->fill_direct(GuestVirtual(exit.address), exit.eip) ==
          Coherence::DirectMiss::Interpret) {
        interpret_one();
      }
      return;
    case ExitReason::Interpret:
      return interpret_one();
    case ExitReason::DirectStep:
      return deliver_single_step();
    case ExitReason::DirectPreempted:
      return;
    case ExitReason::DirectEscape:
      return punish_escape();
    case ExitReason::DirectLost:
      message_ = "the process that ran guest user code was killed from outside";
      return request_stop(StopReason::HostFailure);
    default:
      UNREACHABLE();
  }
}

// A trap: it comes after the instruction that follows the one that set TF (SDM 3A 17.3.1.4).
void Vcpu::deliver_single_step() {
  constexpr uint32_t kDr6SingleStep = 1U << 14;
  GuestFault fault = GuestFault::simple(Vector::Debug);
  fault.dr6_bits = kDr6SingleStep;
  counters().events_exceptions++;
  deliver_event(Event::from_fault(fault, parts_.cpu.state.eip), parts_.cpu.state.eip);
}

// The code reached, by way of bytes that were no instruction when its page was examined, a far
// transfer, a segment load or a host system call. What it did in its process stays there, with the
// process; the guest sees the #GP that most such instructions would have raised.
void Vcpu::punish_escape() {
  counters().direct_escapes++;
  if (counters().direct_escapes == 1) {
    std::fprintf(stderr,
                 "ringshift: guest user code at %08x tried to leave 32-bit user mode; it gets #GP "
                 "and runs translated from now on\n",
                 parts_.cpu.state.eip);
  }
  parts_.coherence->end_direct();
  counters().events_exceptions++;
  const uint32_t eip = parts_.cpu.state.eip;
  deliver_event(Event::from_fault(GuestFault::general_protection(0), eip), eip);
}

// Translated user code has been found at work by attention: by the guest's timer, most often.
void Vcpu::note_user_tick() {
  constexpr uint64_t kWorkOfTick = 1000;
  const bool is_look = look_.armed() && look_.deadline() <= parts_.clock.now();
  if (!is_look) {
    note_user_work(kWorkOfTick);
    parts_.coherence->note_user_tick();
  }
  if (config_.user != UserEngine::Auto || !parts_.coherence->offers_direct()) return;
  UserPolicy& policy = parts_.coherence->user_policy();
  if (policy.is_direct() || policy.has_given_up()) return;
  if (policy.note_tick(__rdtsc())) counters().direct_promotions++;
  // A short program may have ended before the guest's timer has found it twice.
  constexpr Nanoseconds kSoon = 1'000'000;
  if (policy.asks_for_a_look()) look_.arm(parts_.clock.now() + kSoon);
}

void Vcpu::note_privilege(Privilege now) {
  if (now == last_privilege_) return;
  last_privilege_ = now;
  if (now == Privilege::Supervisor && parts_.coherence != nullptr) {
    parts_.coherence->user_policy().note_kernel_entry();
  }
}

}  // namespace ringshift
