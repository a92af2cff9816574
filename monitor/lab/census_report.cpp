#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "monitor/lab/census.h"
#include "monitor/lab/html.h"

namespace ringshift::lab {
namespace {

using NamedRow = std::pair<std::string, CensusRow>;

// What executes most first, then what there is most of.
std::vector<NamedRow> sorted_rows(const Census& census, Concern concern) {
  std::vector<NamedRow> rows;
  for (const auto& [name, row] : census.rows) {
    if (row.concern == concern) rows.emplace_back(name, row);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const NamedRow& left, const NamedRow& right) {
    const CensusRow& a = left.second;
    const CensusRow& b = right.second;
    if (a.executed != b.executed) return a.executed > b.executed;
    return std::max(a.linear, a.reached) > std::max(b.linear, b.reached);
  });
  return rows;
}

const char* concern_name(Concern concern) {
  return concern == Concern::Sensitive ? "sensitive, unprivileged" : "privileged";
}

uint64_t executed_in_all(const Census& census) {
  uint64_t sum = 0;
  for (const auto& [name, row] : census.rows) sum += row.executed;
  return sum;
}

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

uint64_t cycles_each(const CensusRow& row) {
  return row.executed == 0 ? 0 : row.cycles / row.executed;
}

std::string run_line(const Census& census) {
  if (!census.run.done) return "not run (--run SECONDS counts what executes)";
  return fmt::format(
      "run for {:.1f} s: {}; {} executions of the instructions below, {} other interpretations",
      census.run.seconds, census.run.end, executed_in_all(census), census.run.other_interpreted);
}

std::string static_line(const Census& census) {
  return fmt::format(
      "{}: {}; {} instructions in {} bytes of code, {} bytes are no instruction; {} instructions "
      "reached from the entry point by direct branches",
      census.path, census.kind, census.linear_instructions, census.linear_bytes, census.undecodable,
      census.reached_instructions);
}

constexpr char kCostNote[] =
    "cycles: of the interpreter, for each execution; inline ones are interpreted while counting, "
    "and cost a few cycles otherwise";

}  // namespace

std::string census_as_text(const Census& census) {
  std::string out = static_line(census) + "\n";
  if (!census.remark.empty()) out += "note: " + census.remark + "\n";
  out += run_line(census) + "\n";
  const uint64_t all = executed_in_all(census);
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    out += fmt::format("\n{:<14} {:>9} {:>9} {:>11} {:>7} {:>8} {:>7}  {}\n", concern_name(concern),
                       "linear", "reached", "executed", "share", "cycles", "of run", "treatment");
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      out +=
          fmt::format("{:<23} {:>9} {:>9} {:>11} {:>6.1f}% {:>8} {:>6.2f}%  {}\n", name, row.linear,
                      row.reached, row.executed, percent(row.executed, all), cycles_each(row),
                      percent(row.cycles, census.run.cycles), treatment_name(row.treatment));
    }
  }
  if (census.run.done) out += std::string("\n") + kCostNote + "\n";
  return out;
}

std::string census_as_json(const Census& census) {
  nlohmann::ordered_json out;
  out["image"] = census.path;
  out["kind"] = census.kind;
  out["remark"] = census.remark;
  out["linear"] = {{"instructions", census.linear_instructions},
                   {"bytes", census.linear_bytes},
                   {"undecodable", census.undecodable}};
  out["reached"] = {{"instructions", census.reached_instructions}};
  if (census.run.done) {
    out["run"] = {{"seconds", census.run.seconds},
                  {"cycles", census.run.cycles},
                  {"end", census.run.end},
                  {"executed", executed_in_all(census)},
                  {"other_interpreted", census.run.other_interpreted}};
  }
  out["instructions"] = nlohmann::ordered_json::array();
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      out["instructions"].push_back({{"name", name},
                                     {"class", concern_name(concern)},
                                     {"treatment", treatment_name(row.treatment)},
                                     {"linear", row.linear},
                                     {"reached", row.reached},
                                     {"executed", row.executed},
                                     {"cycles", row.cycles}});
    }
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string census_as_html(const Census& census) {
  std::string introduction =
      fmt::format("<p class=\"faint\">{}</p>\n", escape(static_line(census)));
  if (!census.remark.empty()) {
    introduction += fmt::format("<p class=\"warn\">{}</p>\n", escape(census.remark));
  }
  introduction += fmt::format("<p><b>{}</b></p>\n", escape(run_line(census)));
  std::string body;
  const uint64_t all = executed_in_all(census);
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    body += fmt::format(
        "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<tr><th>instruction</th>"
        "<th class=\"n\">linear</th><th class=\"n\">reached</th><th class=\"n\">executed</th>"
        "<th>share</th><th class=\"n\">cycles each</th><th class=\"n\">of the run</th>"
        "<th>treatment</th></tr>\n",
        concern_name(concern));
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      const double share = percent(row.executed, all);
      body += fmt::format(
          "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
          "<td class=\"n\">{}</td><td><svg width=\"160\" height=\"12\"><rect width=\"{:.1f}\" "
          "height=\"12\" fill=\"var(--accent)\"/></svg> {:.1f}%</td><td class=\"n\">{}</td>"
          "<td class=\"n\">{:.2f}%</td><td>{}</td></tr>\n",
          escape(name), row.linear, row.reached, row.executed, share * 1.6, share, cycles_each(row),
          percent(row.cycles, census.run.cycles), treatment_name(row.treatment));
    }
    body += "</table></div>\n";
  }
  if (census.run.done) body += fmt::format("<p class=\"faint\">{}</p>\n", kCostNote);
  return html_page("A census of sensitive instructions", introduction, body);
}

}  // namespace ringshift::lab
