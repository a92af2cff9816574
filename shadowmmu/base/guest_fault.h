// GuestFault: an architectural exception as a value, before anybody delivers it (V1). A function
// that can fault returns MaybeFault and has changed no architectural state when it returns one,
// unless its comment says which (SDM 3A 6.5: faults are restartable).
#pragma once

#include <cstdint>
#include <optional>

namespace ringshift {

// Exception vectors, SDM 3A table 6-1.
enum class Vector : uint8_t {
  DivideError = 0,
  Debug = 1,
  Nmi = 2,
  Breakpoint = 3,
  Overflow = 4,
  BoundRange = 5,
  InvalidOpcode = 6,
  DeviceNotAvailable = 7,
  DoubleFault = 8,
  InvalidTss = 10,
  SegmentNotPresent = 11,
  StackFault = 12,
  GeneralProtection = 13,
  PageFault = 14,
  FloatingPoint = 16,
  AlignmentCheck = 17,
  MachineCheck = 18,
  SimdFloatingPoint = 19,
};

// Page-fault error code bits, SDM 3A 4.7.
inline constexpr uint32_t kPageFaultPresent = 1U << 0;
inline constexpr uint32_t kPageFaultWrite = 1U << 1;
inline constexpr uint32_t kPageFaultUser = 1U << 2;
inline constexpr uint32_t kPageFaultReserved = 1U << 3;
inline constexpr uint32_t kPageFaultFetch = 1U << 4;

struct GuestFault {
  Vector vector = Vector::InvalidOpcode;
  bool has_error_code = false;
  uint32_t error_code = 0;
  uint32_t cr2 = 0;       // faulting linear address; meaningful for #PF only
  uint32_t dr6_bits = 0;  // bits to set in DR6; meaningful for #DB only
  // For FloatingPoint only: there is no exception, but a signal on the FERR# pin, at which the
  // processor waits for an interrupt (SDM 1 8.7.2).
  bool is_external = false;

  [[nodiscard]] static GuestFault simple(Vector vector) { return {vector, false, 0, 0, 0, false}; }
  [[nodiscard]] static GuestFault with_code(Vector vector, uint32_t code) {
    return {vector, true, code, 0, 0, false};
  }
  [[nodiscard]] static GuestFault invalid_opcode() { return simple(Vector::InvalidOpcode); }
  [[nodiscard]] static GuestFault general_protection(uint32_t code) {
    return with_code(Vector::GeneralProtection, code);
  }
  [[nodiscard]] static GuestFault page_fault(uint32_t linear, uint32_t code) {
    return {Vector::PageFault, true, code, linear, 0, false};
  }
  bool operator==(const GuestFault&) const = default;
};

using MaybeFault = std::optional<GuestFault>;
inline constexpr std::nullopt_t kNoFault = std::nullopt;

}  // namespace ringshift

// Returns the fault of `expression` from the calling function, if it has one.
#define RETURN_IF_FAULT(expression)              \
  do {                                           \
    if (auto fault_ = (expression)) [[unlikely]] \
      return fault_;                             \
  } while (false)
