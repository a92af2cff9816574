#include "monitor/vcpu/engines/translate_engine.h"

#include <signal.h>

#include <cstdio>

#include "monitor/host/lost_memory.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

constexpr uint32_t kPageFaultTrap = 14, kDivideErrorTrap = 0;

void count(ExitReason reason) {
  Counters& count = counters();
  switch (reason) {
    case ExitReason::Unlinked:
      count.exit_unlinked++;
      return;
    case ExitReason::IndirectMiss:
      count.exit_indirect++;
      return;
    case ExitReason::Interpret:
      count.exit_interpret++;
      return;
    case ExitReason::SoftMiss:
      count.exit_soft_miss++;
      return;
    case ExitReason::EnsureFpu:
      count.exit_ensure_fpu++;
      return;
    case ExitReason::EventWindow:
      count.exit_event_window++;
      return;
    case ExitReason::HostFault:
      count.exit_host_fault++;
      return;
    case ExitReason::Callout:
      count.exit_callout++;
      return;
  }
  UNREACHABLE();
}

// A descriptor was read there, and cannot be any more: its page has become the user's, say.
void forget_descriptors_at(Gate& gate, uint64_t host_address) {
  for (LoadedDescriptor& entry : gate.frame().descriptors) {
    if (entry.address == host_address) entry = LoadedDescriptor{};
  }
  gate.forget_far_targets();
}

}  // namespace

TranslateEngine::TranslateEngine(const EngineParts& parts, DirectEngine& direct,
                                 const TranslateConfig& config)
    : parts_(parts),
      state_(parts.boundary.state()),
      slots_(parts.gate.frame().slots),
      direct_(direct),
      config_(config),
      descriptors_(parts.gate, parts.boundary.cpu().memory, parts.data),
      cpuid_(parts.gate.frame().cpuid, parts.boundary.cpu()) {
  if (!config_.make_callouts) return;
  parts_.gate.set_callout(
      [](void* engine) { return static_cast<TranslateEngine*>(engine)->answer_callout(); }, this);
}

Turn TranslateEngine::run() {
  const Privilege privilege = state().privilege();
  const std::optional<CodeMode>& mode = modes_.of(state());
  if (!mode) return Turn::Declined;
  mode_ = *mode;
  if (interpret_until_verified(privilege)) return Turn::Done;
  parts_.spaces.enter(privilege);
  if (parts_.spaces.has_pending_work()) {
    continuation().resume_pc = 0;
    parts_.spaces.apply(Boundary::safe_point());
  }
  if (privilege == Privilege::User) map_user_fault();
  const uint64_t entry = entry_point(privilege);
  prepare_slots(privilege);  // after translating, which may have replaced the view
  continuation().forget();
  if (entry == 0) {
    // Code that is not in RAM, as a BIOS's often is, goes on for a while.
    if (mode_.is_flat()) {
      parts_.boundary.interpret();
    } else {
      parts_.boundary.interpret_on();
    }
    return Turn::Done;
  }
  // Walks since then have set A or D in what is code besides, perhaps in this very code.
  if (parts_.spaces.has_pending_work()) return Turn::Done;
  if (!parts_.attention.enter()) return Turn::Done;  // looked up again afterwards
  const Exit exit = parts_.gate.run(entry, parts_.translator.cache());
  parts_.attention.leave();
  if (exit.reason != ExitReason::Callout) follow_ring();  // a callout has begun with it
  follow_mode();
  count(exit.reason);
  if (config_.trace_exits) {
    std::fprintf(stderr, "exit %s cpl=%u eip=%08x\n", exit_reason_name(exit.reason),
                 static_cast<unsigned>(state().cpl), exit.eip.value());
  }
  handle(exit, state().privilege());  // callouts may have changed rings meanwhile
  const bool is_changed = parts_.spaces.has_pending_work();  // which the next call may apply
  const bool dropped =
      parts_.torture.after_exit(parts_.spaces, parts_.translator.cache(), Boundary::safe_point());
  if (dropped || is_changed) continuation().resume_pc = 0;
  return Turn::Done;
}

// True if the instruction at EIP has been interpreted because the supervisor's window and code are
// not yet verified against the tables of the moment.
bool TranslateEngine::interpret_until_verified(Privilege privilege) {
  constexpr uint32_t kInterpretedBeforeVerifying = 48;
  if (privilege == Privilege::User || !parts_.spaces.supervisor_needs_verification()) {
    interpreted_unverified_ = 0;
    return false;
  }
  if (++interpreted_unverified_ < kInterpretedBeforeVerifying) {
    continuation().forget();
    parts_.boundary.interpret();
    return true;
  }
  interpreted_unverified_ = 0;
  parts_.spaces.verify_supervisor();
  return false;
}

// User code goes on where its last page fault was.
void TranslateEngine::map_user_fault() {
  UserFault& fault = parts_.boundary.user_fault();
  if (!fault.is_known) return;
  fault.is_known = false;
  // An access that may not come would leave its mark in the guest's tables.
  if (parts_.boundary.events() != nullptr) return;
  if (!parts_.data.has_window(Privilege::User)) return;
  counters().shadow_prefaults++;
  (void)parts_.data.fill_window(fault.address, fault.is_write, Privilege::User);
}

// Where translated code for the current EIP begins; 0 if the interpreter must find out why not.
uint64_t TranslateEngine::entry_point(Privilege privilege) {
  const Continuation from = continuation();
  if (from.resume_pc != 0) return from.resume_pc;
  const std::optional<TranslationKey> key =
      parts_.code.key_for(state().pointer(), privilege, mode_);
  if (!key) return 0;
  const SafePoint safe = Boundary::safe_point();
  Fragment* fragment = parts_.translator.ensure(*key, safe);
  if (fragment == nullptr) return 0;
  const auto connection = parts_.translator.connect(from.link, *fragment, safe);
  if (connection == Translator::Connection::ThroughTable || from.pending_jump) {
    parts_.spaces.set_jump(*fragment);
  }
  return fragment->body();
}

void TranslateEngine::prepare_slots(Privilege privilege) {
  const GuestState& guest = state();
  parts_.spaces.select(privilege, mode_);
  slots_.interrupt_waiting = parts_.boundary.interrupt_is_pending() ? kFlagIf : 0;
  slots_.allow_fpu(guest.cr0, guest.cr4);
  slots_.time_stamp_denied = guest.cr4 & kCr4Tsd;
  descriptors_.check_table();
  cpuid_.check();
  // Descriptor tables are read as the supervisor reads, which may be out of date until it is back.
  const bool is_untold =
      privilege == Privilege::User && parts_.spaces.supervisor_needs_verification();
  slots_.untold_descriptors = is_untold ? kNoTag : 0;
  slots_.fs_probe = segment_probe(guest.seg(SegmentRegister::Fs));
  slots_.gs_probe = segment_probe(guest.seg(SegmentRegister::Gs));
  if (!mode_.is_flat()) prepare_mode();
  if (ring_questions_ != 0) open_rings();  // otherwise they are closed
}

// Far transfers in generated code change it without a word.
void TranslateEngine::follow_mode() {
  if (const std::optional<CodeMode>& now = modes_.of(state())) mode_ = *now;
}

void TranslateEngine::prepare_mode() {
  constexpr uint64_t kNarrowEnd = uint64_t{1} << 16;
  constexpr uint64_t kWideEnd = uint64_t{1} << 32;
  for (size_t i = 0; i < kSegmentCount; ++i) {
    const SegmentCache& cache = state().segment[i];
    const uint64_t beyond_limit = uint64_t{cache.limit} + 1;
    slots_.segment_room[i] = beyond_limit;
    if (!cache.is_expand_down()) continue;
    slots_.segment_room[i] = cache.default_32() ? kWideEnd : kNarrowEnd;
    slots_.segment_floor_negated[i] = 0 - beyond_limit;
  }
}

// ---- exits ----

void TranslateEngine::handle(const Exit& exit, Privilege privilege) {
  switch (exit.reason) {
    case ExitReason::Unlinked:
      continuation().link = {exit.link, parts_.translator.cache().epoch()};
      return;
    case ExitReason::IndirectMiss:
      continuation().pending_jump = true;
      return;
    case ExitReason::Interpret:
      if (privilege == Privilege::User) note_user_work(1);
      return parts_.boundary.interpret();
    case ExitReason::SoftMiss:
      return handle_soft_miss(exit, privilege);
    case ExitReason::EnsureFpu:
      return handle_ensure_fpu();
    case ExitReason::EventWindow:
      if (exit.link != 0) state().interrupt_shadow = 1;  // STI
      return;
    case ExitReason::HostFault:
      return handle_host_fault(exit.fault, privilege);
    case ExitReason::Callout:
      return give_up_device_site(privilege);
  }
  UNREACHABLE();
}

// The same instruction again, in the same fragment: at its first host instruction.
void TranslateEngine::resume_at_boundary(uint64_t host_pc) {
  const Fragment* fragment = parts_.translator.cache().fragment_at(host_pc);
  CHECK(fragment != nullptr);
  const auto offset = static_cast<uint32_t>(host_pc - fragment->code.address);
  continuation().resume_pc =
      fragment->code.address + resume_offset(fragment->shape->recovery, offset);
}

void TranslateEngine::handle_soft_miss(const Exit& exit, Privilege privilege) {
  constexpr uint32_t kRepeatsBeforeInterpreting = 2;
  const GuestVirtual address = exit.address;
  soft_miss_repeats_ = exit.eip == soft_miss_eip_ ? soft_miss_repeats_ + 1 : 0;
  soft_miss_eip_ = exit.eip;
  if (soft_miss_repeats_ >= kRepeatsBeforeInterpreting) {
    soft_miss_repeats_ = 0;
    return parts_.boundary.interpret();
  }
  if (parts_.data.fill_soft(address, exit.is_write, privilege) == Miss::Interpret) {
    interpret_missed();
    // A soft site needs no window to go on.
    if (privilege == Privilege::User) parts_.boundary.user_fault().is_known = false;
    return;
  }
  if (ExecutionObserver* observer = parts_.boundary.observer()) {
    observer->on_host_fault(FaultKind::Soft, address, exit.is_write, state());
  }
  resume_at_boundary(parts_.gate.frame().slots.exit_pc - 1);
  if (parts_.data.would_serve_plainly(address, exit.is_write, privilege)) {
    note_needless_miss(exit.eip, privilege);
  }
  if (privilege == Privilege::User) note_user_work(1);
}

void TranslateEngine::handle_ensure_fpu() {
  const GuestState& guest = state();
  const bool sse = (guest.cr4 & kCr4Osfxsr) != 0;
  const bool already = slots_.x87_live != 0 && (slots_.sse_live != 0 || !sse);
  // Already loaded and still asked for: SSE without CR4.OSFXSR. The interpreter raises #UD or #NM.
  if (already || (guest.cr0 & (kCr0Ts | kCr0Em)) != 0) return parts_.boundary.interpret();
  slots_.fpu_loaded = 1;
  slots_.allow_fpu(guest.cr0, guest.cr4);
}

void TranslateEngine::handle_host_fault(const HostFault& fault, Privilege privilege) {
  if (parts_.gate.is_poll(fault.address)) {
    if (EventPositions* events = parts_.boundary.events(); events != nullptr) {
      // Below what can be read, or it has been made unreadable: both may be.
      if (events->counter().is_due() && fault.address < parts_.gate.event_floor()) {
        return events->arrive();
      }
    }
    // Attention; nothing was committed. A raise() on another thread that we overtook may have
    // protected the page after its word was taken: set it again, so that take() sees to the page.
    parts_.attention.raise();
    // Where events are counted the guest's own timers tell what is at work (Vcpu::service_event).
    if (privilege == Privilege::User && parts_.boundary.events() == nullptr) note_user_tick();
    return;
  }
  if (handle_return_fault(fault, privilege)) return;
  if (parts_.gate.is_limit_guard(fault.address)) return parts_.boundary.interpret();
  if (fault.signal == SIGBUS && fault.trap_number == kPageFaultTrap) {
    return parts_.boundary.stop().request(StopReason::HostFailure, lost_memory_text());
  }
  if (fault.trap_number == kPageFaultTrap && !progress_.is_stuck(state()) &&
      fill_window(fault, privilege)) {
    return resume_at_boundary(fault.host_pc);
  }
  if (fault.trap_number == kPageFaultTrap || fault.trap_number == kDivideErrorTrap) soften_site();
  parts_.boundary.interpret();
}

// False: the window has nothing for this address.
bool TranslateEngine::fill_window(const HostFault& fault, Privilege privilege) {
  auto linear = parts_.data.window_address(fault.address, privilege);
  Privilege as = privilege;
  if (!linear && !fault.is_write) {  // user code has read a descriptor
    as = Privilege::Supervisor;
    linear = parts_.data.window_address(fault.address, as);
  }
  if (!linear) return false;
  const bool filled = parts_.data.fill_window(*linear, fault.is_write, as) == Miss::Filled;
  if (ExecutionObserver* observer = parts_.boundary.observer()) {
    observer->on_host_fault(filled ? FaultKind::Hidden : FaultKind::Traced, *linear, fault.is_write,
                            state());
  }
  if (!filled) counters().faults_traced++;
  if (!filled && as == Privilege::Supervisor && !fault.is_write) {
    forget_descriptors_at(parts_.gate, fault.address);
  }
  return filled;
}

// ---- user code at work ----

void TranslateEngine::note_user_work(uint64_t amount) {
  if (parts_.spaces.note_user_work(amount)) continuation().resume_pc = 0;
}

// Translated user code has been found at work by attention: by the guest's timer, most often.
void TranslateEngine::note_user_tick() {
  constexpr uint64_t kWorkOfTick = 1000;
  if (!direct_.is_look_due()) {
    note_user_work(kWorkOfTick);
    parts_.spaces.note_user_tick();
  }
  direct_.note_translated_tick();
}

}  // namespace ringshift
