// Report: the differences between outcomes, and a failure as text for a person. FIP, FDP and FOP of
// the FXSAVE area are not compared (docs/limitations.md), nor reserved bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/differential/case.h"

namespace ringshift::differential {

struct Run {
  std::string name;
  Outcome outcome;
};

// Nothing differs that the manual defines.
[[nodiscard]] bool same(const Expected& expected, const Outcome& actual);

// Start state and every end state side by side, `*` at what differs from the first column.
[[nodiscard]] std::string table(const Case& test, const Expected& expected,
                                const std::vector<Run>& runs);

}  // namespace ringshift::differential
