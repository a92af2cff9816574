#include "monitor/command/reports/statistics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;
constexpr double kMiB = 1048576.0;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

std::optional<uint64_t> allocated_bytes(int descriptor) {
  constexpr uint64_t kStatBlock = 512;
  struct stat facts {};
  if (!describe_descriptor(descriptor, &facts)) return std::nullopt;
  return static_cast<uint64_t>(facts.st_blocks) * kStatBlock;
}

// A figure that follows from the others. `name` is "group.figure".
struct Figure {
  std::string_view name;
  double value;
  int digits;
  std::string_view unit;
};

void visit_ratio(const std::function<void(const Figure&)>& visit, std::string_view name,
                 uint64_t numerator, uint64_t denominator, std::string_view unit) {
  if (denominator == 0) return;
  visit({name, static_cast<double>(numerator) / static_cast<double>(denominator), 3, unit});
}

uint64_t all_exits(const Counters& c) {
  return c.exit_unlinked + c.exit_indirect + c.exit_interpret + c.exit_soft_miss +
         c.exit_host_fault + c.exit_event_window + c.exit_ensure_fpu + c.exit_callout;
}

void for_each_figure(const Counters& c, const ProcessFigures& process,
                     const std::function<void(const Figure&)>& visit) {
  visit({"time.wall_s", process.wall_seconds, 3, "s"});
  visit({"time.start_s", process.start_seconds, 4, "s"});
  visit({"time.user_s", process.user_seconds, 3, "s"});
  visit({"time.system_s", process.system_seconds, 3, "s"});
  visit({"time.children_s", process.children_seconds, 3, "s"});
  visit({"time.held_s", process.held_seconds, 3, "s"});
  visit(
      {"time.halted_s", static_cast<double>(c.halted_nanoseconds) / kNanosecondsPerSecond, 3, "s"});
  if (process.guest_ram_resident_bytes) {
    visit({"memory.guest_ram_resident_mib",
           static_cast<double>(*process.guest_ram_resident_bytes) / kMiB, 1, "MiB"});
  }
  if (process.monitor_bytes) {
    visit({"memory.monitor_mib", static_cast<double>(*process.monitor_bytes) / kMiB, 1, "MiB"});
  }
  visit({"disk.bytes_read", static_cast<double>(process.disk_read), 0, ""});
  visit({"disk.bytes_written", static_cast<double>(process.disk_written), 0, ""});
  visit({"network.bytes_sent", static_cast<double>(process.network_sent), 0, ""});
  visit({"network.bytes_received", static_cast<double>(process.network_received), 0, ""});
  visit({"timers.late_ticks_made_up", static_cast<double>(process.ticks_made_up), 0, ""});
  visit({"timers.late_ticks_dropped", static_cast<double>(process.ticks_dropped), 0, ""});
  visit({"sandbox.system_call_filter", static_cast<double>(process.sandbox_filter), 0, ""});
  visit({"sandbox.landlock", static_cast<double>(process.sandbox_landlock), 0, ""});
  visit_ratio(visit, "derived.host_cycles_per_translated_instruction", c.translate_cycles,
              c.instructions_translated, "cycles");
  visit_ratio(visit, "derived.instructions_per_unit", c.instructions_translated, c.units_translated,
              "");
  visit_ratio(visit, "derived.hidden_faults_per_true_fault", c.faults_hidden, c.faults_true, "");
  visit({"derived.exits", static_cast<double>(all_exits(c)), 0, ""});
  visit_ratio(visit, "derived.interpreted_per_exit", c.interpreted_instructions, all_exits(c), "");
}

std::string_view group_of(std::string_view name) { return name.substr(0, name.find('.')); }
std::string_view within_group(std::string_view name) { return name.substr(name.find('.') + 1); }

// Lines of "group", then its members indented.
class GroupedText {
 public:
  void line(std::string_view name, const std::string& value, std::string_view unit) {
    if (group_of(name) != group_) {
      group_ = group_of(name);
      text_ += fmt::format("{}\n", group_);
    }
    text_ += fmt::format("  {:<42} {:>16}{}{}\n", within_group(name), value,
                         unit.empty() ? "" : " ", unit);
  }
  [[nodiscard]] std::string text() const { return text_; }

 private:
  std::string group_;
  std::string text_;
};

}  // namespace

MemoryCount::MemoryCount() : descriptor_(open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC)) {}

MemoryCount::~MemoryCount() {
  if (descriptor_ >= 0) close(descriptor_);
}

// Pss counts a page once however often it is mapped, and guest RAM is mapped again by each window.
std::optional<uint64_t> MemoryCount::proportional_set_bytes() const {
  std::array<char, 4096> text{};
  if (descriptor_ < 0 || lseek(descriptor_, 0, SEEK_SET) != 0) return std::nullopt;
  const ssize_t count = read(descriptor_, text.data(), text.size());
  std::istringstream rollup(std::string(text.data(), count > 0 ? static_cast<size_t>(count) : 0));
  for (std::string word; rollup >> word;) {
    uint64_t kilobytes = 0;
    if (word == "Pss:" && (rollup >> kilobytes)) return kilobytes * 1024;
  }
  return std::nullopt;
}

ProcessFigures measure_process(double wall_seconds, int guest_ram, const MemoryCount& memory) {
  ProcessFigures figures;
  figures.wall_seconds = wall_seconds;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    figures.user_seconds = seconds(usage.ru_utime);
    figures.system_seconds = seconds(usage.ru_stime);
  }
  if (getrusage(RUSAGE_CHILDREN, &usage) == 0) {
    figures.children_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  figures.guest_ram_resident_bytes = allocated_bytes(guest_ram);
  const std::optional<uint64_t> all = memory.proportional_set_bytes();
  if (all && figures.guest_ram_resident_bytes && *all >= *figures.guest_ram_resident_bytes) {
    figures.monitor_bytes = *all - *figures.guest_ram_resident_bytes;
  }
  return figures;
}

std::string statistics_as_text(const Counters& counters, const ProcessFigures& figures,
                               StatisticsDetail detail) {
  GroupedText out;
  for_each_counter(counters, [&](std::string_view name, uint64_t value) {
    if (value == 0 && detail == StatisticsDetail::NonZero) return;
    out.line(name, fmt::format("{}", value), "");
  });
  for_each_figure(counters, figures, [&](const Figure& figure) {
    out.line(figure.name, fmt::format("{:.{}f}", figure.value, figure.digits), figure.unit);
  });
  return out.text();
}

std::string statistics_as_json(const Counters& counters, const ProcessFigures& figures) {
  nlohmann::ordered_json out;
  for_each_counter(
      counters, [&out](std::string_view name, uint64_t value) { out[std::string(name)] = value; });
  for_each_figure(counters, figures, [&out](const Figure& figure) {
    if (figure.digits == 0) {
      out[std::string(figure.name)] = static_cast<uint64_t>(figure.value);
    } else {
      out[std::string(figure.name)] = figure.value;
    }
  });
  return out.dump(2) + "\n";
}

}  // namespace ringshift
