// CodeMode: the processor's mode as a translation assumes it: the base and limit of the code
// segment, the widths of code and stack, and for each segment the kind of check that an access
// through it needs. The usual mode, flat 32-bit code, is the default value and costs nothing. Part
// of the key (T1). See docs/translator.md, "Modes".
#pragma once

#include <cstdint>

#include "translator/decode.h"
#include "translator/guest_state.h"

namespace ringshift {

// The work that an access through a segment needs.
enum class SegmentKind : uint8_t {
  Flat,      // nothing: offsets are linear addresses, and any may be written
  Based,     // the base added: any offset may be written
  Large,     // the same, and a limit to check from 64 KiB less one on
  Checked,   // the same with any limit
  Readable,  // Checked, and writes are for the interpreter
  Odd,       // unusable, execute-only: each access is for the interpreter
  Down,      // expand-down: offsets above the limit, to the end of 64 KiB or 4 GiB
};

struct CodeMode {
  uint32_t base = 0;            // of CS
  uint32_t limit = 0xffffffff;  // of CS, in bytes: the last that can be fetched
  uint32_t bits = 0;            // read by the functions below

  bool operator==(const CodeMode&) const = default;
  [[nodiscard]] bool is_flat() const { return *this == CodeMode{}; }
  [[nodiscard]] GuestVirtual linear(Eip eip) const { return GuestVirtual(base + eip.value()); }
  [[nodiscard]] bool holds(Eip eip) const { return eip.value() <= limit; }

  [[nodiscard]] bool has_narrow_code() const { return (bits & kNarrowCode) != 0; }
  [[nodiscard]] bool has_narrow_stack() const { return (bits & kNarrowStack) != 0; }
  // Real or virtual-8086 mode: selectors are bases, whatever descriptors say.
  [[nodiscard]] bool has_real_selectors() const { return (bits & (kReal | kVirtual8086)) != 0; }
  [[nodiscard]] bool is_virtual_8086() const { return (bits & kVirtual8086) != 0; }
  [[nodiscard]] DecodeMode decode_mode() const {
    if (!has_narrow_code()) return DecodeMode::Bits32;
    return (bits & kReal) != 0 ? DecodeMode::Real16 : DecodeMode::Bits16;
  }
  [[nodiscard]] SegmentKind kind(SegmentRegister segment) const {
    return static_cast<SegmentKind>((bits >> shift_of(segment)) & kKindMask);
  }
  [[nodiscard]] bool may_access(SegmentRegister segment, bool is_write) const {
    const SegmentKind found = kind(segment);
    return found != SegmentKind::Odd && !(is_write && found == SegmentKind::Readable);
  }
  // Stack instructions of 32 bits are the same as in the usual mode.
  [[nodiscard]] bool has_plain_stack() const {
    return kind(SegmentRegister::Ss) == SegmentKind::Flat && !has_narrow_stack();
  }

  static constexpr uint32_t kKindBits = 3;
  static constexpr uint32_t kKindMask = (1U << kKindBits) - 1;
  static constexpr uint32_t kNarrowCode = 1U << 18;
  static constexpr uint32_t kNarrowStack = 1U << 19;
  static constexpr uint32_t kReal = 1U << 20;
  static constexpr uint32_t kVirtual8086 = 1U << 21;
  [[nodiscard]] static constexpr uint32_t shift_of(SegmentRegister segment) {
    return static_cast<uint32_t>(segment) * kKindBits;
  }
};

// The mode of code that is to go on from this state. Pre: CS, SS, DS or ES is not flat, or code or
// stack have 16 bits: anything else runs in the usual mode, whatever FS and GS are.
[[nodiscard]] CodeMode code_mode_of(const GuestState& state);
// The kind of a segment that was loaded from a descriptor.
[[nodiscard]] SegmentKind segment_kind(const SegmentCache& cache);

}  // namespace ringshift
