// Doctor: says of a host which facilities will be used, which are slower than they could be, and
// which are missing. Pure: facts in, findings out. See docs/usage.md, "doctor".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "monitor/command/reports/host_facts.h"

namespace ringshift {

enum class Verdict : uint8_t {
  Ok,       // there
  Slower,   // Ringshift works, with something worse in its place
  Missing,  // not there; see Finding::needed
};
[[nodiscard]] const char* verdict_name(Verdict verdict);

struct Finding {
  std::string name;  // stable: a script may look for it
  Verdict verdict = Verdict::Ok;
  bool needed = false;  // no guest runs without it
  std::string value;    // what the host says
  std::string note;     // what it means for us
};

// Always the same findings in the same order.
[[nodiscard]] std::vector<Finding> examine(const HostFacts& facts);

// Is everything needed there?
[[nodiscard]] bool is_usable(const std::vector<Finding>& findings);

// One line a finding, and one line that sums up.
[[nodiscard]] std::string findings_as_text(const std::vector<Finding>& findings);
[[nodiscard]] std::string findings_as_json(const std::vector<Finding>& findings);

}  // namespace ringshift
