#include "monitor/command/limit_options.h"

#include "monitor/command/option_items.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

bool parse_percent(std::string text, unsigned* percent) {
  if (text.ends_with('%')) text.pop_back();
  uint32_t number = 0;
  if (!parse_number(text, &number) || number < 1 || number > 100) return false;
  *percent = number;
  return true;
}

}  // namespace

bool apply_limit(const std::string& text, VcpuConfig* vcpu, std::string* problem) {
  if (text.empty()) return true;
  for (const std::string& item : split_at_commas(text)) {
    const auto [key, value] = split_item(item);
    if (key == "cpu" && parse_percent(value, &vcpu->cpu_percent)) continue;
    *problem = "--limit: cannot use '" + item + "' (cpu=1% to cpu=100%)";
    return false;
  }
  return true;
}

}  // namespace ringshift
