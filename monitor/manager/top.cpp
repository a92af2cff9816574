// Machine table, second part: top, which looks once a second.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

#include "monitor/host/exit_codes.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/manager/asker.h"
#include "monitor/manager/machines/machine_figures.h"
#include "monitor/manager/machines/machine_table.h"
#include "monitor/manager/machines/signal_inlet.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr int kLook = 1000;  // ms

struct Row {
  std::string name, state;
  int64_t process = 0;
};

// The statistics asked for now are read at the next look.
int look(const RunFolder& folder, std::vector<Row>* rows) {
  Asker asker;
  std::string problem;
  if (!asker.connect(folder, &problem)) {
    std::fprintf(stderr, "ringshift: %s\n", problem.c_str());
    return kExitUsage;
  }
  rows->clear();
  asker.say(Object{{"do", "ps"}, {"figures", true}});
  return asker.listen([&](const JsonValue& machine) {
    const bool is_there = text_of(machine, "end").empty();
    rows->push_back({text_of(machine, "name"), text_of(machine, "state"),
                     is_there ? number_of(machine, "process") : 0});
    return true;
  });
}

std::string text_of_figure(const std::optional<double>& figure, int digits) {
  return figure ? fmt::format("{:.{}f}", *figure, digits) : "-";
}

std::string line_of(const Row& row, const MachineRates& rates) {
  return fmt::format("{:<16} {:<9} {:>8} {:>7.1f} {:>7} {:>9} {:>10} {:>10} {:>10}\n", row.name,
                     row.state, row.process, rates.processor_percent,
                     text_of_figure(rates.held_percent, 1), text_of_figure(rates.memory_mib, 1),
                     text_of_figure(rates.exits_per_s, 0), text_of_figure(rates.disk_kib_per_s, 0),
                     text_of_figure(rates.network_kib_per_s, 0));
}

std::string heading() {
  return fmt::format("{:<16} {:<9} {:>8} {:>7} {:>7} {:>9} {:>10} {:>10} {:>10}\n", "NAME", "STATE",
                     "PROCESS", "CPU %", "HELD %", "MiB", "EXITS/s", "DISK KiB/s", "NET KiB/s");
}

}  // namespace

int show_top(const RunFolder& folder, bool once) {
  SignalInlet signals;
  if (!signals.open({SIGINT, SIGTERM, SIGHUP})) return kExitHost;
  const bool is_screen = !once && isatty(STDOUT_FILENO) != 0;
  std::map<std::string, MachineFigures> before;
  std::vector<Row> rows;
  for (int looks = 0;; ++looks) {
    // Read before they are asked for again: a machine writes them anew in place.
    std::map<std::string, std::string> statistics;
    for (const Row& row : rows) {
      statistics[row.name] = read_whole(folder.machine(row.name).statistics()).value_or("");
    }
    const int exit_code = look(folder, &rows);
    if (exit_code != 0) return exit_code;
    const ProcessTimes times;
    std::string table = heading();
    std::map<std::string, MachineFigures> now;
    for (const Row& row : rows) {
      MachineFigures figures;
      figures.at = HostClock::monotonic();
      figures.processor_s = row.process != 0 ? times.of_tree(row.process) : 0;
      const auto old = before.find(row.name);
      // Half a file is none: the newest whole one counts.
      if (!read_statistics(statistics[row.name], &figures) && old != before.end()) {
        const auto [at, processor] = std::pair(figures.at, figures.processor_s);
        figures = old->second;
        figures.at = at;
        figures.processor_s = processor;
      }
      if (row.process != 0 && old != before.end()) {
        table += line_of(row, rates_of(old->second, figures));
      }
      now[row.name] = figures;
    }
    before = std::move(now);
    // The first look has nothing to compare with; the second one's statistics are the first.
    constexpr int kFirstShown = 1, kOnce = 3;
    if (looks >= (once ? kOnce : kFirstShown)) {
      if (is_screen) std::fputs("\x1b[H\x1b[J", stdout);
      std::fputs(table.c_str(), stdout);
      if (std::fflush(stdout) != 0) return kExitHost;
      if (once) return kExitPowerOff;
    }
    pollfd waiting{signals.descriptor(), POLLIN, 0};
    if (poll(&waiting, 1, kLook) > 0 && signals.take() != 0) return kExitPowerOff;
  }
}

}  // namespace ringshift::manager
