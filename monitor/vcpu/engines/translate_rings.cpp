// TranslateEngine, another part: SYSENTER and SYSEXIT that generated code does by itself
// (docs/decisions/0040-rings-change-in-generated-code.md). The monitor says beforehand whether the
// view of the other ring could be entered with nothing to do, and catches up afterwards.
#include <utility>

#include "monitor/cpu/segments/descriptor_access.h"
#include "monitor/cpu/segments/segmentation.h"
#include "monitor/vcpu/engines/translate_engine.h"

namespace ringshift {
namespace {

uint32_t rights_of(const SegmentCache& cache) {
  constexpr unsigned kAttributesShift = 16;
  return cache.selector | uint32_t{cache.attributes} << kAttributesShift;
}

}  // namespace

// The conditions that do not depend on a view: the checks of the instructions, and nobody who has
// to look on.
bool TranslateEngine::may_change_rings() const {
  const GuestState& guest = state();
  if (!mode_.is_flat() || !can_call_fast(parts_.boundary.cpu())) return false;
  if (!nobody_looks_on()) return false;
  // Alignment is checked at CPL 3 only, and the page of a user's fault is mapped before it is asked
  // for.
  if ((guest.eflags & kFlagAc) != 0 && (guest.cr0 & kCr0Am) != 0) return false;
  return !parts_.boundary.user_fault().is_known;
}

// The question costs some 50 cycles, so it is asked for a while after each of these instructions.
void TranslateEngine::ask_for_rings() {
  constexpr uint8_t kQuestions = 16;
  ring_questions_ = kQuestions;
}

// Pre: ring_questions_ is not zero.
void TranslateEngine::open_rings() {
  RingView& supervisor = parts_.gate.frame().rings[static_cast<size_t>(Privilege::Supervisor)];
  RingView& user = parts_.gate.frame().rings[static_cast<size_t>(Privilege::User)];
  supervisor.is_open = user.is_open = 0;
  if (--ring_questions_ == 0 || !may_change_rings() ||
      !parts_.spaces.describe(Privilege::Supervisor, &supervisor) ||
      !parts_.spaces.describe(Privilege::User, &user) ||
      direct_.may_want(parts_.spaces.user_view()->policy)) {
    return;
  }
  const auto selector = static_cast<uint16_t>(state().sysenter_cs);
  if (with_rpl(selector, 0) != static_cast<uint16_t>(supervisor.cs)) {
    const FastCallSegments segments = fast_call_segments(state());
    supervisor.cs = rights_of(segments.cs0);
    supervisor.ss = rights_of(segments.ss0);
    user.cs = rights_of(segments.cs3);
    user.ss = rights_of(segments.ss3);
  }
  supervisor.is_open = user.is_open = 1;
}

void TranslateEngine::catch_up_with_ring() {
  if (parts_.gate.frame().rings[0].is_open == 0) return;
  parts_.gate.follow_ring();
  const uint32_t entries = std::exchange(slots_.kernel_entries, 0);
  if (entries != 0) ask_for_rings();
  direct_.follow(static_cast<Privilege>(slots_.ring), entries);
}

}  // namespace ringshift
