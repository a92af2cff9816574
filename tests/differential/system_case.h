// SystemCase: a whole small machine with random system code: tables, handlers, pages, lines of
// code. Owns: values. Code is in lines of 16 bytes that no instruction crosses; a handler notes the
// exception and goes on at the next line, so that a case ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/differential/random.h"
#include "translator/guest_state.h"

namespace ringshift::differential {

// Guest-physical layout; linear is kSystemLinear above it. One directory and table for each of two
// address spaces.
namespace system_layout {
inline constexpr uint32_t kRam = 0x40000, kLinear = 0x400000;
inline constexpr uint32_t kDirectory = 0x1000, kTable = 0x2000, kOtherDirectory = 0x3000,
                          kOtherTable = 0x4000, kTablesEnd = 0x5000;
inline constexpr uint32_t kGdt = 0x5000, kIdt = 0x5800, kTss = 0x6000, kStack0 = 0x8000,
                          kHandlers = 0x8000, kLog = 0xa000, kLogEnd = 0xb000, kUserStack = 0xd000;
inline constexpr uint32_t kKernelCode = 0x10000, kUserCode = 0x12000, kCodeEnd = 0x14000,
                          kData = 0x20000, kDataEnd = 0x28000;
inline constexpr uint16_t kDevicePort = 0xe0;
}  // namespace system_layout

struct SystemCase {
  GuestState start;
  std::vector<uint8_t> ram;
};

// Shrinking makes steps NOPs: those that are `dropped`.
[[nodiscard]] SystemCase generate_system(uint64_t seed, const std::vector<bool>& dropped);
[[nodiscard]] std::string system_listing(const SystemCase& test);
[[nodiscard]] uint32_t step_count();

}  // namespace ringshift::differential
