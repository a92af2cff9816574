// Number text: numbers as people type them, on the command line and at the prompt. See
// docs/usage.md.
#pragma once

#include <cstdint>
#include <string>

namespace ringshift {

// "4096". False if it is none or needs more than 32 bits.
[[nodiscard]] bool parse_number(const std::string& text, uint32_t* value);

// "0xc0100000" or "4096". False if it is none or needs more than 32 bits.
[[nodiscard]] bool parse_address(const std::string& text, uint32_t* address);

// "64K", "256M", "1G", "4096" (without a suffix: times unit_without_suffix). False if it is none.
[[nodiscard]] bool parse_size(const std::string& text, uint64_t unit_without_suffix,
                              uint64_t* bytes);

}  // namespace ringshift
