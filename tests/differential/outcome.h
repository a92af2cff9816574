// Outcome: the visible state of a run when it has stopped, by whatever engine it ran. Owns: values
// only. Vectors are the architecture's (SDM 3A 6.3.1); kStopped says that the code ran to its end.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "translator/guest_state.h"

namespace ringshift::differential {

inline constexpr uint32_t kStopped = 256;  // the code's own end
inline constexpr uint32_t kNotRun = 257;   // Outcome::message says why
inline constexpr uint32_t kCodeBase = 0x10000000;
inline constexpr uint32_t kCodeBytes = 0x2000;
inline constexpr uint32_t kDataBase = 0x20000000;
inline constexpr uint32_t kDataBytes = 0x10000;
inline constexpr uint32_t kDataMiddle = kDataBase + kDataBytes / 2;
// Inside the data area: a page that is not there and one that cannot be written.
inline constexpr uint32_t kHole = kDataBase + 0xd000;
inline constexpr uint32_t kReadOnly = kDataBase + 0xe000;
inline constexpr uint32_t kFlagsCompared = kFlagsArithmetic | kFlagDf;

// A case ends with OUT 0xf4, AL. A machine's port stops it, a processor at CPL 3 raises #GP.
inline constexpr std::array<uint8_t, 2> kEndBytes = {0xe6, 0xf4};

struct Outcome {
  uint32_t vector = kNotRun;
  uint32_t error_code = 0;
  uint32_t cr2 = 0;  // for #PF
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint32_t, kGprCount> gpr{};
  alignas(16) std::array<uint8_t, 512> fxsave{};
  std::vector<uint8_t> data;  // kDataBytes
  std::string message;
};

enum class Segments : uint8_t {
  Flat,
  NarrowStack,  // SS is a 16-bit segment, its base and limit the data area's
  ReadOnlyEs,
  Limited,     // all begin at 0 and end behind code and data
  Based,       // DS is kDataShift off, without a limit; ES is null
  NarrowCode,  // 16-bit code, data and stack, each in its area; EIP is an offset in the code's
};
inline constexpr uint32_t kDataShift = 0x1000;
inline constexpr uint32_t kCodeEndPage = 0x1ffff;  // of Limited: the last in each segment
inline constexpr uint32_t kDataEndPage = 0x2ffff;
inline constexpr uint32_t code_base(Segments segments) {
  return segments == Segments::NarrowCode ? kCodeBase : 0;
}

// Where a case starts. The code itself is in memory by then.
struct Start {
  Segments segments = Segments::Flat;
  std::array<uint32_t, kGprCount> gpr{};
  uint32_t eip = 0;
  uint32_t eflags = 0;
  alignas(16) std::array<uint8_t, 512> fxsave{};
};

}  // namespace ringshift::differential
