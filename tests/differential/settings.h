// Settings: the number of cases and the seed, from the environment or the command line.
// RINGSHIFT_SEED, RINGSHIFT_CASES, RINGSHIFT_CASE (one case only), RINGSHIFT_LONG=1.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

namespace ringshift::differential {

inline std::optional<uint64_t> setting(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  return std::strtoull(text, nullptr, 0);
}

struct Settings {
  uint64_t seed = 0;
  uint64_t first = 0;
  uint64_t end = 0;

  // usual: cases of an ordinary run; a long one has fifty times as many.
  static Settings read(uint64_t usual) {
    constexpr uint64_t kDefaultSeed = 20240229, kLongFactor = 50;
    Settings settings;
    settings.seed = setting("RINGSHIFT_SEED").value_or(kDefaultSeed);
    const bool is_long = setting("RINGSHIFT_LONG").value_or(0) != 0;
    settings.end = setting("RINGSHIFT_CASES").value_or(is_long ? usual * kLongFactor : usual);
    if (const auto only = setting("RINGSHIFT_CASE")) {
      settings.first = *only;
      settings.end = *only + 1;
    }
    return settings;
  }
  [[nodiscard]] std::string replay(const char* test, uint64_t index) const {
    return std::string("test_differential --gtest_filter=") + test + " --seed " +
           std::to_string(seed) + " --case " + std::to_string(index);
  }
};

}  // namespace ringshift::differential
