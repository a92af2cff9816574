// TestReport: the result of a test, as JUnit's XML for programs that show results. See docs/ci.md.
#pragma once

#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

struct TestResult {
  std::string name;
  int exit_code = 0;
  std::string failure;  // one line; empty: it passed
  std::string output;
  Nanoseconds duration = 0;
};

[[nodiscard]] std::string junit_text(const std::string& suite,
                                     const std::vector<TestResult>& results);

}  // namespace ringshift
