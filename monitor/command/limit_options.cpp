#include "monitor/command/limit_options.h"

#include "monitor/command/options/option_items.h"
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

bool parse_shares(const std::string& text, unsigned* shares) {
  uint32_t number = 0;
  if (!parse_number(text, &number) || number < 1 || number > 100) return false;
  *shares = number;
  return true;
}

// Bytes a second. Guests give up on a disk that is slower than the least.
bool parse_rate(const std::string& text, uint64_t* rate) {
  constexpr uint64_t kLeast = uint64_t{256} << 10, kMost = uint64_t{16} << 30;
  return parse_size(text, 1, rate) && *rate >= kLeast && *rate <= kMost;
}

bool parse_memory(const std::string& text, uint64_t* bytes) {
  constexpr uint64_t kMiB = uint64_t{1} << 20, kMost = uint64_t{1} << 40;
  return parse_size(text, kMiB, bytes) && *bytes >= kMiB && *bytes <= kMost;
}

}  // namespace

bool apply_limit(const std::string& text, VcpuConfig* vcpu, ResourceLimits* limits,
                 std::string* problem) {
  if (text.empty()) return true;
  for (const std::string& item : split_at_commas(text)) {
    const auto [key, value] = split_item(item);
    if (key == "cpu" && parse_percent(value, &vcpu->cpu_percent)) continue;
    if (key == "shares" && parse_shares(value, &limits->shares)) continue;
    if (key == "memory" && parse_memory(value, &limits->memory_bytes)) continue;
    if (key == "memory-min" && parse_memory(value, &limits->memory_min)) continue;
    if (key == "disk" && parse_rate(value, &limits->disk_rate)) continue;
    if (key == "network" && parse_rate(value, &limits->network_rate)) continue;
    if (key == "group" && (value == "off" || value.starts_with('/'))) {
      limits->group = value;
      continue;
    }
    *problem =
        "--limit: cannot use '" + item +
        "' (cpu=1% to cpu=100%, shares=1 to shares=100, memory=SIZE, memory-min=SIZE, disk=RATE, "
        "network=RATE, group=off or group=/FOLDER; RATE is 256K to 16G bytes a second)";
    return false;
  }
  return true;
}

}  // namespace ringshift
