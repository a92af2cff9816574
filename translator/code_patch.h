// Code patch: numbers in generated code, read and written where they stand. Pure. Code is written
// through the arena's writable view only (CodeWriteView). See docs/translator.md.
#pragma once

#include <cstdint>
#include <cstring>

namespace ringshift {

[[nodiscard]] inline uint32_t load32(const uint8_t* at) {
  uint32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

inline void store32(uint8_t* at, uint32_t value) { std::memcpy(at, &value, sizeof(value)); }

}  // namespace ringshift
