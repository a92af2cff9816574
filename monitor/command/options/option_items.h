// Option items: options whose value is a list of key=value items, each taken into its field. An
// item that cannot be used is named, with those that could be. See docs/usage.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/machine/machine.h"

namespace ringshift {

// "on", "yes" and "true", or their opposites. False: the text is none of them.
[[nodiscard]] bool parse_on_off(const std::string& text, bool* value);

// Apart at single commas; a double one is a comma. One piece at least.
[[nodiscard]] std::vector<std::string> split_at_commas(const std::string& text);

struct KeyValue {
  std::string key;
  std::string value;
};
// Apart at the first `=`; without one the value is empty.
[[nodiscard]] KeyValue split_item(const std::string& text);

// --cpu, --machine, --translator. False with one line in *problem.
[[nodiscard]] bool apply_cpu(const std::vector<std::string>& items, CpuModel* cpu,
                             std::string* problem);
[[nodiscard]] bool apply_parts(const std::vector<std::string>& items, MachineConfig* machine,
                               std::string* problem);
[[nodiscard]] bool apply_translator(const std::vector<std::string>& items, MachineConfig* machine,
                                    std::string* problem);

}  // namespace ringshift
