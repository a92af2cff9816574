#include <fmt/format.h>

#include <algorithm>

#include "monitor/lab/neighbours/neighbours.h"
#include "monitor/lab/parts/html.h"

namespace ringshift::lab {
namespace {

double share_of(double used, const NeighbourRun& run) {
  return run.seconds > 0 ? 100 * used / run.seconds : 0;
}

double rate_of(const NeighbourRun& run) {
  return run.seconds > 0 ? static_cast<double>(run.rounds) / run.seconds : 0;
}

// The machine's work in a second, in per cent of its work when it is alone.
double work_of(const NeighbourRun& run, const NeighbourRun& alone) {
  return rate_of(alone) > 0 ? 100 * rate_of(run) / rate_of(alone) : 0;
}

std::string limit_of(const NeighbourRun& run) {
  return run.limit != 0 ? fmt::format("{} %", run.limit) : std::string("none");
}

}  // namespace

std::vector<std::string> neighbour_lines(const std::vector<NeighbourRun>& runs) {
  std::vector<std::string> lines;
  if (runs.empty()) return lines;
  lines.emplace_back("beside a neighbour on the same CPU of the host:");
  for (const NeighbourRun& run : runs) {
    lines.push_back(fmt::format(
        "  it {}: {:.1f}% of the CPU for this machine, {:.1f}% for the neighbour{}; {:.1f}% of the "
        "work that is done alone",
        run.doing == "nothing" ? "is not there" : run.doing, share_of(run.own, run),
        share_of(run.others, run), run.limit != 0 ? fmt::format(" (at most {})", run.limit) : "",
        work_of(run, runs.front())));
  }
  return lines;
}

std::string neighbour_table(const std::vector<NeighbourRun>& runs) {
  if (runs.empty()) return "";
  std::string out =
      "<h3>Beside a neighbour on the same CPU of the host</h3>\n<div class=\"scroll\" "
      "tabindex=\"0\"><table>\n"
      "<tr><th>the neighbour</th><th class=\"n\">its limit</th><th class=\"n\">this machine</th>"
      "<th class=\"n\">the neighbour</th><th class=\"n\">work, of that alone</th></tr>\n";
  for (const NeighbourRun& run : runs) {
    out += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1f} %</td><td class=\"n\">{:.1f} "
        "%</td><td class=\"n\">{:.1f} %</td></tr>\n",
        escape(run.doing), limit_of(run), share_of(run.own, run), share_of(run.others, run),
        work_of(run, runs.front()));
  }
  return out + "</table></div>\n";
}

Drawing neighbour_picture(const std::vector<NeighbourRun>& runs) {
  constexpr double kWidth = 1000, kBars = 330, kRow = 34, kTop = 46, kBar = 22;
  Drawing out(kWidth, kTop + kRow * static_cast<double>(runs.size()) + 10,
              "How a CPU of the host is shared by two machines, by what the second one does");
  out.text(0, 20, "One CPU of the host: this machine, and a neighbour that ...", "ink", 15, "start",
           true);
  double y = kTop;
  for (const NeighbourRun& run : runs) {
    const double scale = (kWidth - kBars) / 100;
    const double own = std::min(share_of(run.own, run), 100.0) * scale;
    const double others = std::min(share_of(run.others, run) * scale, kWidth - kBars - own);
    out.text(0, y + 16, run.doing == "nothing" ? "is not there" : run.doing, "ink", 14);
    out.box({kBars, y, kWidth - kBars, kBar}, "none", "line");
    out.box({kBars, y, own, kBar}, "goodfill", "line", 0,
            fmt::format("this machine: {:.1f} %", share_of(run.own, run)));
    out.box({kBars + own, y, others, kBar}, "warnfill", "line", 0,
            fmt::format("the neighbour: {:.1f} %", share_of(run.others, run)));
    if (own > 60) out.text(kBars + 8, y + 16, fmt::format("{:.0f} %", share_of(run.own, run)));
    if (others > 60) {
      out.text(kBars + own + 8, y + 16, fmt::format("{:.0f} %", share_of(run.others, run)));
    }
    y += kRow;
  }
  return out;
}

}  // namespace ringshift::lab
