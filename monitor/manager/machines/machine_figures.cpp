#include "monitor/manager/machines/machine_figures.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <sstream>

#include "monitor/control/json_value.h"
#include "monitor/control/message_reader.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;

std::optional<double> figure(const JsonValue& statistics, const char* name) {
  const JsonValue* const member = statistics.find(name);
  if (member == nullptr) return std::nullopt;
  if (const int64_t* whole = member->as_integer()) return static_cast<double>(*whole);
  if (const double* number = member->as_number()) return *number;
  return std::nullopt;
}

// The sum of two figures; nothing if one of them is missing.
std::optional<double> sum(std::optional<double> a, std::optional<double> b) {
  if (!a || !b) return std::nullopt;
  return *a + *b;
}

std::optional<double> rate(std::optional<double> before, std::optional<double> now,
                           std::optional<double> seconds) {
  if (!before || !now || !seconds || *seconds <= 0) return std::nullopt;
  return std::max(0.0, *now - *before) / *seconds;
}

}  // namespace

// proc(5): the fields behind the name, which may have brackets and blanks in it.
ProcessTimes::ProcessTimes() {
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir("/proc"), closedir);
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  while (const dirent* entry = all != nullptr ? readdir(all.get()) : nullptr) {
    const int64_t number = std::strtoll(entry->d_name, nullptr, 10);
    if (number <= 0) continue;
    const std::string path = std::string("/proc/") + entry->d_name + "/stat";
    const std::optional<std::string> text = read_whole(path);
    const size_t end = text ? text->rfind(')') : std::string::npos;
    if (end == std::string::npos) continue;
    std::istringstream fields(text->substr(end + 1));
    std::string state, skipped;
    Process process;
    double user = 0, system = 0;
    constexpr int kBetween = 9;
    fields >> state >> process.parent;
    for (int i = 0; i < kBetween; ++i) fields >> skipped;
    if (!(fields >> user >> system)) continue;
    process.seconds = (user + system) / ticks;
    processes_[number] = process;
  }
}

double ProcessTimes::of_tree(int64_t process) const {
  double sum = 0;
  for (const auto& [number, one] : processes_) {
    int64_t above = number;
    // Parents are found in a snapshot that may be torn: a circle ends.
    for (size_t steps = 0; above != process && above > 1 && steps < processes_.size(); ++steps) {
      const auto found = processes_.find(above);
      above = found != processes_.end() ? found->second.parent : 0;
    }
    if (above == process) sum += one.seconds;
  }
  return sum;
}

bool read_statistics(const std::string& text, MachineFigures* figures) {
  control::MessageReader reader;
  std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  const std::optional<control::Message> message = reader.take(&bytes);
  JsonValue statistics;
  size_t at = 0;
  if (!message || !message->problem.empty() || !parse_json(message->text, &statistics, &at)) {
    return false;
  }
  figures->wall_s = figure(statistics, "time.wall_s");
  figures->held_s = figure(statistics, "time.held_s");
  figures->exits = figure(statistics, "derived.exits");
  figures->disk_bytes =
      sum(figure(statistics, "disk.bytes_read"), figure(statistics, "disk.bytes_written"));
  figures->network_bytes =
      sum(figure(statistics, "network.bytes_sent"), figure(statistics, "network.bytes_received"));
  figures->memory_mib = figure(statistics, "memory.guest_ram_resident_mib");
  const std::optional<double> monitor = figure(statistics, "memory.monitor_mib");
  if (figures->memory_mib && monitor) *figures->memory_mib += *monitor;
  return true;
}

MachineRates rates_of(const MachineFigures& before, const MachineFigures& now) {
  constexpr double kSecond = 1e9, kPercent = 100;
  MachineRates rates;
  const double seconds = static_cast<double>(now.at - before.at) / kSecond;
  if (seconds > 0) {
    rates.processor_percent =
        std::max(0.0, now.processor_s - before.processor_s) / seconds * kPercent;
  }
  std::optional<double> wall;
  if (before.wall_s && now.wall_s) wall = *now.wall_s - *before.wall_s;
  rates.held_percent = rate(before.held_s, now.held_s, wall);
  if (rates.held_percent) *rates.held_percent *= kPercent;
  rates.exits_per_s = rate(before.exits, now.exits, wall);
  constexpr double kKibibyte = 1024;
  rates.disk_kib_per_s = rate(before.disk_bytes, now.disk_bytes, wall);
  if (rates.disk_kib_per_s) *rates.disk_kib_per_s /= kKibibyte;
  rates.network_kib_per_s = rate(before.network_bytes, now.network_bytes, wall);
  if (rates.network_kib_per_s) *rates.network_kib_per_s /= kKibibyte;
  rates.memory_mib = now.memory_mib;
  return rates;
}

}  // namespace ringshift::manager
