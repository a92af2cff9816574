#include "monitor/command/reports/run_report.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "shadowmmu/base/counters.h"

namespace ringshift {

ReportFile open_report(const RunOptions& options) {
  if (options.stats_path.empty()) return ReportFile(stderr);
  return ReportFile(std::fopen(options.stats_path.c_str(), "we"));
}

Nanoseconds program_began() {
  static const Nanoseconds began = HostClock::monotonic();
  return began;
}

ProcessFigures measure(Machine& machine, const RunMeter& meter) {
  const double wall = static_cast<double>(HostClock::monotonic() - meter.started) / 1e9;
  ProcessFigures figures = measure_process(wall, machine.memory().descriptor(), meter.memory);
  figures.start_seconds = static_cast<double>(meter.guest_began - program_began()) / 1e9;
  figures.held_seconds = static_cast<double>(machine.processor().loop().held()) / 1e9;
  const DiskTraffic disks = machine.config().media.traffic();
  figures.disk_read = disks.read;
  figures.disk_written = disks.written;
  if (NetworkLink* const link = machine.config().network_link) {
    figures.network_sent = link->traffic().sent_bytes.load();
    figures.network_received = link->traffic().taken_bytes.load();
  }
  figures.ticks_made_up = machine.clock().late_ticks().made_up;
  figures.ticks_dropped = machine.clock().late_ticks().dropped;
  figures.sandbox_filter = meter.confinement.system_calls ? 1 : 0;
  figures.sandbox_landlock = meter.confinement.landlock;
  return figures;
}

bool print_stats(const RunOptions& options, Machine& machine, const RunMeter& meter,
                 std::FILE* file) {
  if (options.stats == StatsFormat::None) return true;
  const ProcessFigures figures = measure(machine, meter);
  const bool all = options.stats == StatsFormat::AllText;
  const std::string text =
      options.stats == StatsFormat::Json
          ? statistics_as_json(counters(), figures)
          : statistics_as_text(counters(), figures,
                               all ? StatisticsDetail::All : StatisticsDetail::NonZero);
  const bool is_written = std::fputs(text.c_str(), file) >= 0 && std::fflush(file) == 0;
  if (is_written || file == stderr) return true;
  std::fprintf(stderr, "ringshift: --stats-file: cannot write %s: %s\n", options.stats_path.c_str(),
               std::strerror(errno));
  return false;
}

void begin_report_again(const RunOptions& options, std::FILE* file) {
  if (options.stats_path.empty()) return;
  std::rewind(file);
  (void)!ftruncate(fileno(file), 0);
}

}  // namespace ringshift
