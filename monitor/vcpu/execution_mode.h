// Execution mode: the engine that may run the guest's next instruction, and why. Pure. Assumptions
// of translated code that are not in its key are checked here: no single-stepping, CPL 0 or 3.
// Keeps: T1. See docs/architecture.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "translator/code_mode.h"
#include "translator/guest_state.h"

namespace ringshift {

enum class Engine : uint8_t {
  Translate,
  Interpret,
  Trap,  // directly on the processor, trap and emulate: wrong by design (docs/lab.md)
};

enum class ModeReason : uint8_t {
  Translatable,
  RealMode,
  Virtual8086,
  SixteenBitCode,
  SegmentsNotFlat,
  MiddleRing,       // CPL 1 or 2
  SingleStep,       // TF
  Breakpoints,      // DR7 enables any
  InterruptShadow,  // the one instruction after STI or MOV SS
  AlignmentChecks,  // CPL 3 with CR0.AM and EFLAGS.AC
};

// Translatable: flat 32-bit code, in the usual mode. The first five are also modes that code may be
// translated in; translated_mode says whether it is.
[[nodiscard]] ModeReason execution_mode(const GuestState& state);
// The mode in which code is translated that goes on from here; nothing: it is interpreted.
[[nodiscard]] std::optional<CodeMode> translated_mode(const GuestState& state);
// Remembers the answer of translated_mode(), which is asked after each callout and is mostly the
// same as last time.
class ModeMemory {
 public:
  [[nodiscard]] const std::optional<CodeMode>& of(const GuestState& state);

 private:
  std::array<SegmentCache, kSegmentCount> segments_{};
  uint64_t rest_ = ~uint64_t{0};  // no state's: the first question is answered anew
  std::optional<CodeMode> mode_;
};
// FS or GS with a limit to check, or not to be written. Null, which they are in most kernels or
// most programs, is no mode of its own: the usual mode's code finds out when it uses them.
[[nodiscard]] bool needs_own_mode(const SegmentCache& fs_or_gs);
[[nodiscard]] const char* mode_reason_name(ModeReason reason);

}  // namespace ringshift
