#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "monitor/lab/census/census.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/page_texts.h"
#include "monitor/lab/parts/run_end.h"

namespace ringshift::lab {
namespace {

using NamedRow = std::pair<std::string, CensusRow>;

// Sorted by executions, then by occurrences in the code.
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
      "run for {}: {}; {} executions of the instructions below, {} other interpretations",
      duration_text(census.run.seconds), census.run.end, executed_in_all(census),
      census.run.other_interpreted);
}

std::string static_line(const Census& census) {
  return fmt::format(
      "{}: {}; {} instructions in {} bytes of code, {} bytes are padding, {} no instruction; {} "
      "instructions reached from the entry point by direct branches, {} with the addresses of code "
      "that these "
      "and the data hold",
      census.path, census.kind, census.linear_instructions, census.linear_bytes, census.padding,
      census.undecodable, census.reached_by_branches, census.reached_instructions);
}

// The treatment of all instructions, and of those below that executed.
struct TreatmentRow {
  Treatment treatment;
  uint64_t linear, reached, executed, left, cycles;
};

std::vector<TreatmentRow> treatment_rows(const Census& census) {
  std::vector<TreatmentRow> rows;
  for (size_t i = 0; i < kTreatments; ++i) {
    TreatmentRow total{static_cast<Treatment>(i),
                       census.linear_by_treatment[i],
                       census.reached_by_treatment[i],
                       0,
                       0,
                       0};
    for (const auto& [name, row] : census.rows) {
      if (row.treatment != total.treatment) continue;
      total.executed += row.executed;
      total.left += row.left;
      total.cycles += row.cycles;
    }
    rows.push_back(total);
  }
  return rows;
}

std::string translated_text(const Census& census, const std::string& name) {
  const auto found = census.costs.translated.find(name);
  return found == census.costs.translated.end() ? "" : fmt::format("{}", found->second);
}

std::string cost_line(const Census& census) {
  return fmt::format(
      "measured now, in loops of translated code: {} cycles for a callout to the interpreter and "
      "back (SMSW), the inline ones as under `inline`; a trap would be a host signal, {:.1f} us",
      census.costs.callout, static_cast<double>(census.costs.trap_nanoseconds) / 1000.0);
}

constexpr char kCostNote[] =
    "cycles: of the interpreter, for each execution while counting; inline: what the inline "
    "sequence costs otherwise; left: after how many executions translated code was left for the "
    "loop (the others came back from a callout)";

std::string treatments_as_html(const Census& census) {
  std::string body =
      "<h2>what becomes of all instructions</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n"
      "<tr><th>treatment</th><th class=\"n\">linear</th><th class=\"n\">share</th>"
      "<th class=\"n\">reached</th><th class=\"n\">executed, of those above</th>"
      "<th class=\"n\">left</th></tr>\n";
  for (const TreatmentRow& row : treatment_rows(census)) {
    body += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2f}%</td><td class=\"n\">{}</td>"
        "<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        treatment_name(row.treatment), row.linear, percent(row.linear, census.linear_instructions),
        row.reached, row.executed, row.left);
  }
  return body + "</table></div>\n";
}

// All instructions of the image: one bar by treatment. Below, the sensitive and the privileged ones
// by name, those there are most of first.
Drawing treatment_picture(const Census& census) {
  constexpr double kWidth = 1000, kLeft = 190, kBar = 18, kRow = 24;
  constexpr std::array<const char*, kTreatments> kColours = {
      "goodfill", "reads", "writes", "held", "warnfill", "badfill", "badfill"};
  std::vector<NamedRow> rows = sorted_rows(census, Concern::Sensitive);
  for (const NamedRow& row : sorted_rows(census, Concern::Privileged)) rows.push_back(row);
  const auto weight = [](const NamedRow& row) { return std::max(row.second.linear, uint64_t{1}); };
  std::stable_sort(rows.begin(), rows.end(), [&](const NamedRow& left, const NamedRow& right) {
    return weight(left) > weight(right);
  });
  constexpr size_t kRowsDrawn = 24;
  if (rows.size() > kRowsDrawn) rows.resize(kRowsDrawn);
  Drawing out(kWidth, 190 + kRow * static_cast<double>(rows.size()),
              "What becomes of an image's instructions, and how many sensitive ones there are");
  out.text(0, 20, fmt::format("{} instructions, by treatment", census.linear_instructions), "ink",
           15, "start", true);
  double x = 0, key = 0;
  for (const TreatmentRow& row : treatment_rows(census)) {
    const auto index = static_cast<size_t>(row.treatment);
    const double width = kWidth * percent(row.linear, census.linear_instructions) / 100;
    const char* stroke = row.treatment == Treatment::Interpret ? "bad" : "line";
    out.box({x, 34, width, 40}, kColours[index], stroke, 0,
            fmt::format("{}: {}", treatment_name(row.treatment), row.linear));
    x += width;
    const double column = 250 * std::fmod(key, 4), line = 98 + 24 * std::floor(key / 4);
    ++key;
    out.box({column, line - 12, 16, 14}, kColours[index], stroke);
    out.text(column + 24, line,
             fmt::format("{} {:.2f}%", treatment_name(row.treatment),
                         percent(row.linear, census.linear_instructions)));
  }
  out.text(0, 166, "those a monitor has to care about, in the image (logarithmic)", "ink", 15,
           "start", true);
  const double most = rows.empty() ? 1 : std::log10(1 + static_cast<double>(weight(rows.front())));
  double y = 182;
  for (const auto& [name, row] : rows) {
    const bool sensitive = row.concern == Concern::Sensitive;
    out.text(kLeft - 10, y + 13, name, "ink", 13, "end");
    const double width =
        (kWidth - kLeft - 260) * std::log10(1 + static_cast<double>(row.linear)) / most;
    out.box({kLeft, y, width, kBar}, sensitive ? "badfill" : "goodfill",
            sensitive ? "bad" : "good");
    out.text(kLeft + width + 8, y + 13,
             fmt::format("{}{}", row.linear, sensitive ? " sensitive, no trap" : " privileged"),
             "faint");
    y += kRow;
  }
  return out;
}

}  // namespace

std::string census_finding(const Census& census) {
  uint64_t sensitive = 0, privileged = 0;
  for (const auto& [name, row] : census.rows) {
    (row.concern == Concern::Sensitive ? sensitive : privileged) += row.linear;
  }
  std::string text = fmt::format(
      "Of {} instructions in the image {} are sensitive and unprivileged, {} privileged.",
      census.linear_instructions, sensitive, privileged);
  if (census.run.done) {
    text += fmt::format(" In {} {} of them were executed.", duration_text(census.run.seconds),
                        executed_in_all(census));
  }
  return text;
}

std::string census_as_text(const Census& census) {
  std::string out = static_line(census) + "\n";
  if (!census.remark.empty()) out += "note: " + census.remark + "\n";
  out += run_line(census) + "\n";
  const uint64_t all = executed_in_all(census);
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    out += fmt::format("\n{:<23} {:>9} {:>9} {:>11} {:>7} {:>9} {:>7} {:>7} {:>7}  {}\n",
                       concern_name(concern), "linear", "reached", "executed", "share", "left",
                       "cycles", "inline", "of run", "treatment");
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      out += fmt::format("{:<23} {:>9} {:>9} {:>11} {:>6.1f}% {:>9} {:>7} {:>7} {:>6.2f}%  {}\n",
                         name, row.linear, row.reached, row.executed, percent(row.executed, all),
                         row.left, cycles_each(row), translated_text(census, name),
                         percent(row.cycles, census.run.cycles), treatment_name(row.treatment));
    }
  }
  out += fmt::format("\n{:<23} {:>9} {:>9} {:>9} {:>11} {:>7} {:>9}\n", "all instructions",
                     "linear", "share", "reached", "executed*", "share", "left*");
  for (const TreatmentRow& row : treatment_rows(census)) {
    out += fmt::format("{:<23} {:>9} {:>8.2f}% {:>9} {:>11} {:>6.1f}% {:>9}\n",
                       treatment_name(row.treatment), row.linear,
                       percent(row.linear, census.linear_instructions), row.reached, row.executed,
                       percent(row.executed, all), row.left);
  }
  out += "* of the instructions above, which are all that was counted\n";
  if (census.run.done) out += fmt::format("\n{}\n{}\n", kCostNote, cost_line(census));
  return out;
}

std::string census_as_json(const Census& census) {
  nlohmann::ordered_json out;
  out["image"] = census.path;
  out["kind"] = census.kind;
  out["remark"] = census.remark;
  out["linear"] = {{"instructions", census.linear_instructions},
                   {"bytes", census.linear_bytes},
                   {"padding", census.padding},
                   {"undecodable", census.undecodable}};
  out["reached"] = {{"instructions", census.reached_instructions},
                    {"by_direct_branches", census.reached_by_branches}};
  if (census.run.done) {
    out["run"] = {{"seconds", census.run.seconds},
                  {"cycles", census.run.cycles},
                  {"end", census.run.end},
                  {"executed", executed_in_all(census)},
                  {"other_interpreted", census.run.other_interpreted}};
    out["costs"] = {{"callout_cycles", census.costs.callout},
                    {"trap_nanoseconds", census.costs.trap_nanoseconds},
                    {"inline_cycles", census.costs.translated}};
  }
  for (const TreatmentRow& row : treatment_rows(census)) {
    out["treatments"][treatment_name(row.treatment)] = {{"linear", row.linear},
                                                        {"reached", row.reached},
                                                        {"executed", row.executed},
                                                        {"left", row.left},
                                                        {"cycles", row.cycles}};
  }
  out["sections"] = nlohmann::ordered_json::array();
  for (const CensusSection& section : census.sections) {
    nlohmann::ordered_json treatments;
    for (size_t i = 0; i < kTreatments; ++i) {
      treatments[treatment_name(static_cast<Treatment>(i))] = section.instructions[i];
    }
    out["sections"].push_back(
        {{"name", section.name}, {"bytes", section.bytes}, {"instructions", treatments}});
  }
  const uint64_t all = executed_in_all(census);
  out["instructions"] = nlohmann::ordered_json::array();
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      out["instructions"].push_back({{"name", name},
                                     {"class", concern_name(concern)},
                                     {"treatment", treatment_name(row.treatment)},
                                     {"linear", row.linear},
                                     {"reached", row.reached},
                                     {"executed", row.executed},
                                     {"share", percent(row.executed, all)},
                                     {"left", row.left},
                                     {"cycles", row.cycles}});
    }
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> census_pictures(const Census& census) {
  std::vector<Picture> pictures;
  for (CensusTree& tree : census_trees(census)) pictures.push_back(std::move(tree.picture));
  pictures.push_back({"census-treatments", treatment_picture(census)});
  return pictures;
}

std::string census_as_html(const Census& census, Company company) {
  Page page;
  page.name = "census";
  page.title = "A census of sensitive instructions";
  std::string& introduction = page.introduction;
  introduction = fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}</p>\n",
                             escape(census_finding(census)), escape(static_line(census)));
  if (!census.remark.empty()) {
    introduction += fmt::format("<p class=\"warn\">{}</p>\n", escape(census.remark));
  }
  introduction += fmt::format("<p><b>{}</b></p>\n", escape(run_line(census)));
  std::string& body = page.body;
  body = census_trees_as_html(census);
  body += treatment_picture(census).for_page(760);
  const uint64_t all = executed_in_all(census);
  for (const Concern concern : {Concern::Sensitive, Concern::Privileged}) {
    body += fmt::format(
        "<h2>{}</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>instruction</th>"
        "<th class=\"n\">linear</th><th class=\"n\">reached</th><th class=\"n\">executed</th>"
        "<th>share</th><th class=\"n\">left</th><th class=\"n\">cycles each</th>"
        "<th class=\"n\">inline</th><th class=\"n\">of the run</th>"
        "<th>treatment</th></tr>\n",
        concern_name(concern));
    for (const auto& [name, row] : sorted_rows(census, concern)) {
      const double share = percent(row.executed, all);
      body += fmt::format(
          "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td>"
          "<td class=\"n\">{}</td><td><svg width=\"160\" height=\"12\"><rect width=\"{:.1f}\" "
          "height=\"12\" fill=\"var(--accent)\"/></svg> {:.1f}%</td><td class=\"n\">{}</td>"
          "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2f}%</td>"
          "<td>{}</td></tr>\n",
          escape(name), row.linear, row.reached, row.executed, share * 1.6, share, row.left,
          cycles_each(row), translated_text(census, name), percent(row.cycles, census.run.cycles),
          treatment_name(row.treatment));
    }
    body += "</table></div>\n";
  }
  body += treatments_as_html(census) + census_sections_as_html(census);
  if (census.run.done) {
    body +=
        fmt::format("<p class=\"faint\">{}</p>\n<p>{}</p>\n", kCostNote, escape(cost_line(census)));
  }
  page.data = census_as_json(census);
  page.script = census_script();
  return html_page(page, company);
}

}  // namespace ringshift::lab
