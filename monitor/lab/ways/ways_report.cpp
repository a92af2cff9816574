#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "monitor/lab/ways/ways.h"

namespace ringshift::lab {
namespace {

// Landau, Ben-Yehuda and Gordon, SplitX, WIOV 2011, table 1: the cost of one exit by itself.
constexpr unsigned kCyclesOfAnExit = 2000;
constexpr const char* kSources =
    "exits: Intel SDM volume 3C, \"Instructions That Cause VM Exits\"; 2,000 cycles for one, "
    "without the work it is for: Landau, Ben-Yehuda and Gordon, \"SplitX: Split Guest/Hypervisor "
    "Execution on Multi-Core\", WIOV 2011 (KVM on a Xeon X5570 of 2009)";

bool is_waiting(size_t operation) {
  return std::string_view(kWaysOperations[operation].name) == "timer";
}

std::string number(double value) {
  return value < 10 && std::fabs(value - std::round(value)) > 0.05 ? fmt::format("{:.1f}", value)
                                                                   : fmt::format("{:.0f}", value);
}

std::string cell_text(const WaysCell& cell, size_t operation) {
  if (!cell.is_measured) return "-";
  if (!cell.is_right) return "wrong";
  const std::string entries = number(cell.entries);
  return is_waiting(operation) ? entries : fmt::format("{} / {:.0f}", entries, cell.cycles);
}

std::string cited_text(size_t operation) {
  const unsigned exits = cited_costs()[operation].exits;
  return is_waiting(operation) || exits == 0
             ? fmt::format("{}", exits)
             : fmt::format("{} / {}", exits, exits * kCyclesOfAnExit);
}

std::string engine_words(const Way& way) {
  return fmt::format("--engine {}{}", way.engine, way.calls ? " --paravirt ringshift" : "");
}

size_t count_wrong(const Way& way) {
  return static_cast<size_t>(
      std::count_if(way.cells.begin(), way.cells.end(),
                    [](const auto& cell) { return cell.is_measured && !cell.is_right; }));
}

const Way* find_way(const WaysReport& report, bool calls, std::string_view engine) {
  const auto found = std::find_if(report.ways.begin(), report.ways.end(), [&](const Way& way) {
    return way.calls == calls && way.engine == engine && way.problem.empty();
  });
  return found == report.ways.end() ? nullptr : &*found;
}

size_t operation_called(std::string_view name) {
  const auto* found = std::find_if(kWaysOperations.begin(), kWaysOperations.end(),
                                   [&](const auto& operation) { return operation.name == name; });
  return static_cast<size_t>(found - kWaysOperations.begin());
}

constexpr const char* kFills[] = {"reads", "goodfill", "warnfill", "badfill"};

// Entries to the monitor for one operation, as bars on a scale of powers of two.
Drawing entries_picture(const WaysReport& report) {
  constexpr double kLeft = 90, kTop = 40, kBar = 14, kGap = 14, kWidth = 560;
  constexpr double kMost = 10;  // 2^10
  const auto bars = static_cast<double>(report.ways.size());
  const double row = bars * kBar + kGap;
  const auto rows = static_cast<double>(kWaysOperations.size());
  Drawing out(kLeft + kWidth + 90, kTop + row * rows,
              "How often each operation comes to the monitor, in each way");
  double x = 0;
  for (size_t way = 0; way < report.ways.size(); ++way) {
    out.box({x, 8, 14, 14}, kFills[way], "line");
    out.text(x + 20, 20, report.ways[way].name, "ink", 12);
    x += 185;
  }
  for (size_t i = 0; i < kWaysOperations.size(); ++i) {
    const double y = kTop + row * static_cast<double>(i);
    out.text(0, y + row / 2, kWaysOperations[i].name, "ink", 14, "start", true);
    for (size_t way = 0; way < report.ways.size(); ++way) {
      const WaysCell& cell = report.ways[way].cells[i];
      const double top = y + kBar * static_cast<double>(way);
      const double width =
          cell.is_measured ? kWidth * std::min(1.0, std::log2(1 + cell.entries) / kMost) : 0;
      out.box({kLeft, top, std::max(width, 1.0), kBar - 2}, kFills[way], "line", 0,
              fmt::format("{}, {}: {}", kWaysOperations[i].name, report.ways[way].name,
                          cell_text(cell, i)));
      const std::string label = !cell.is_measured ? "not measured"
                                : cell.is_right   ? number(cell.entries)
                                                  : number(cell.entries) + ", wrong";
      out.text(kLeft + width + 6, top + 10, label, "faint", 11);
    }
  }
  return out;
}

std::string table_html(const WaysReport& report) {
  std::string out = "<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>operation</th>";
  for (const Way& way : report.ways) {
    out += fmt::format("<th>{}<br><code>--engine {}</code>{}</th>", escape(way.name), way.engine,
                       way.calls ? "<br><code>--paravirt ringshift</code>" : "");
  }
  out += "<th>hardware (cited)</th></tr>\n";
  for (size_t i = 0; i < kWaysOperations.size(); ++i) {
    out += fmt::format("<tr><td><b>{}</b><br>{}</td>", kWaysOperations[i].name,
                       escape(kWaysOperations[i].what));
    for (const Way& way : report.ways) {
      out += fmt::format("<td>{}</td>", cell_text(way.cells[i], i));
    }
    out += fmt::format("<td>{}<br>{}</td></tr>\n", cited_text(i), escape(cited_costs()[i].because));
  }
  return out + "</table></div>\n";
}

std::string problems_text(const WaysReport& report) {
  std::string out;
  for (const Way& way : report.ways) {
    if (!way.problem.empty()) out += fmt::format("{}: {}\n", way.name, way.problem);
  }
  return out;
}

constexpr const char* kReading =
    "entries to the monitor / cycles, for one operation; of the timer, which is waited for, only "
    "the entries. wrong: the guest did not find what it expects, or its interrupts were off "
    "afterwards";

}  // namespace

std::string ways_finding(const WaysReport& report) {
  const size_t map = operation_called("map");
  const Way* translated = find_way(report, false, "translate");
  const Way* calling = find_way(report, true, "translate");
  const Way* deprivileged = find_way(report, true, "trap");
  const Way* wrong = find_way(report, false, "trap");
  std::string out;
  if (translated != nullptr && calling != nullptr) {
    out = fmt::format(
        "64 entries of a page table come to the monitor {} times if they are written and "
        "invalidated, and {} times if a guest that knows hands them over together.",
        number(translated->cells[map].entries), number(calling->cells[map].entries));
  }
  if (deprivileged != nullptr && wrong != nullptr) {
    out += fmt::format(
        " Deprivileged, a guest that knows does {} of {} operations right, and one that does not "
        "know {}.",
        kWaysOperations.size() - count_wrong(*deprivileged), kWaysOperations.size(),
        kWaysOperations.size() - count_wrong(*wrong));
  } else {
    out += " Deprivileged code does not run here.";
  }
  return out;
}

std::string ways_as_text(const WaysReport& report) {
  std::string out = ways_finding(report) + "\n\n";
  out += fmt::format("{:<8}", "");
  for (const Way& way : report.ways) out += fmt::format(" {:>21}", way.name);
  out += fmt::format(" {:>16}\n", "hardware (cited)");
  for (size_t i = 0; i < kWaysOperations.size(); ++i) {
    out += fmt::format("{:<8}", kWaysOperations[i].name);
    for (const Way& way : report.ways) out += fmt::format(" {:>21}", cell_text(way.cells[i], i));
    out += fmt::format(" {:>16}\n", cited_text(i));
  }
  out += fmt::format("\n{}\n\n", kReading);
  for (size_t i = 0; i < kWaysOperations.size(); ++i) {
    out += fmt::format("{:<8} {}; hardware: {}\n", kWaysOperations[i].name, kWaysOperations[i].what,
                       cited_costs()[i].because);
  }
  for (const Way& way : report.ways) out += fmt::format("{:<22} {}\n", way.name, engine_words(way));
  return out + problems_text(report) + "hardware: " + kSources + "\n";
}

std::string ways_as_json(const WaysReport& report) {
  nlohmann::ordered_json out;
  out["finding"] = ways_finding(report);
  out["operations"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < kWaysOperations.size(); ++i) {
    nlohmann::ordered_json operation = {{"name", kWaysOperations[i].name},
                                        {"what", kWaysOperations[i].what},
                                        {"times", kWaysOperations[i].times}};
    for (const Way& way : report.ways) {
      const WaysCell& cell = way.cells[i];
      nlohmann::ordered_json one = nullptr;
      if (cell.is_measured) {
        one = {{"entries", cell.entries}, {"cycles", cell.cycles}, {"right", cell.is_right}};
      }
      operation["ways"][way.name] = one;
    }
    operation["hardware"] = {{"exits", cited_costs()[i].exits},
                             {"because", cited_costs()[i].because}};
    out["operations"].push_back(operation);
  }
  for (const Way& way : report.ways) {
    out["ways"].push_back({{"name", way.name},
                           {"engine", way.engine},
                           {"calls", way.calls},
                           {"problem", way.problem}});
  }
  out["hardware"] = {{"cycles_of_an_exit", kCyclesOfAnExit}, {"sources", kSources}};
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> ways_pictures(const WaysReport& report) {
  return {{"paravirt-entries", entries_picture(report)}};
}

std::string ways_as_html(const WaysReport& report, Company company) {
  Page page;
  page.name = "paravirt";
  page.title = "The ways past the theorem";
  page.introduction = fmt::format(
      "<p class=\"lead\">{}</p>\n<p>A monitor that may not wait for traps can translate the "
      "guest's "
      "code, the guest's authors can call the monitor instead, or the processor's makers can add a "
      "mode in which everything that matters traps, or need not. The same operations, in each "
      "way.</p>\n",
      escape(ways_finding(report)));
  page.body = entries_picture(report).for_page(640) + "<p class=\"faint\">" + escape(kReading) +
              "; the bars are on a scale of powers of two</p>\n" + table_html(report);
  const std::string problems = problems_text(report);
  if (!problems.empty()) page.body += "<pre>" + escape(problems) + "</pre>\n";
  page.body +=
      fmt::format("<p class=\"faint\">Hardware is not measured. {}.</p>\n", escape(kSources));
  page.data = ways_as_json(report);
  return html_page(page, company);
}

}  // namespace ringshift::lab
