// Ways guest: a small kernel that does the same operations in two ways: as on a bare processor, and
// by calls of Ringshift's interface. Its command line says which. Before an operation it writes its
// number with bit 7 set to port 0x80, and afterwards the number, with bit 6 if it found what it
// expects. See docs/lab.md, docs/paravirt.md.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace ringshift::lab {

// A Multiboot image that loads at 1 MiB.
[[nodiscard]] std::span<const uint8_t> ways_guest();

inline constexpr const char* kNativeWay = "native";
inline constexpr const char* kCallingWay = "calls";

// The operations, by their numbers, and how often each is done between the marks.
struct WaysOperation {
  const char* name;
  const char* what;  // one of them is
  uint32_t times;
};
inline constexpr std::array<WaysOperation, 6> kWaysOperations = {{
    {"mask", "interrupts masked and unmasked, as around a lock", 1000},
    {"call", "a user program calls its kernel, and goes on", 1000},
    {"map", "64 entries of a page table changed, and each page read", 32},
    {"switch", "another address space loaded, and a page of it read", 256},
    {"timer", "the timer set, waited for, and its interrupt taken", 32},
    {"print", "64 characters printed", 32},
}};

}  // namespace ringshift::lab
