#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/lab/trap.h"

namespace ringshift::lab {
namespace {

// A question of the guest's, and the answer under each engine.
struct Answer {
  std::string question;
  std::array<std::string, 3> values;
  [[nodiscard]] bool trap_is_right() const { return values[0].empty() || values[0] == values[1]; }
  [[nodiscard]] bool translate_is_right() const {
    return values[0].empty() || values[0] == values[2];
  }
};

std::vector<Answer> answers(const TrapReport& report) {
  std::vector<Answer> all;
  for (size_t i = 0; i < report.runs.size(); ++i) {
    std::istringstream lines(report.runs[i].serial);
    for (std::string line; std::getline(lines, line);) {
      const size_t equals = line.rfind('=');
      if (equals == std::string::npos) return {};
      const std::string question = line.substr(0, equals);
      auto found = std::find_if(all.begin(), all.end(),
                                [&](const Answer& answer) { return answer.question == question; });
      if (found == all.end()) found = all.insert(all.end(), Answer{question, {}});
      found->values[i] = line.substr(equals + 1);
    }
  }
  return all;
}

std::string first_line(const TrapReport& report) {
  if (!report.refused.empty()) return "deprivileged code does not run here: " + report.refused;
  if (!report.first.found) {
    return fmt::format(
        "in step with the interpreter for {} instructions, trap-and-emulate was never wrong{}",
        report.figures.instructions,
        report.figures.time_was_up ? "; then time was up (--seconds)" : "");
  }
  const Difference& first = report.first;
  std::string text = fmt::format(
      "in step with the interpreter, trap-and-emulate is right for {} instructions and wrong {} "
      "later, after ",
      first.instruction, report.figures.instructions - first.instruction);
  text +=
      first.suspects.empty() ? fmt::format("{:08x}", first.from_eip) : joined(first.suspects, ", ");
  return text + ": " + first.what;
}

// Where an instruction traps the monitor decides: emulate it, or give the guest its own fault.
std::string decisions(const EngineRun& run) {
  uint64_t refused = 0;
  std::string kinds;
  for (const auto& [name, count] : run.refused) {
    refused += count;
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, name);
  }
  std::string text = fmt::format("{} instructions emulated", run.interpreted - refused);
  return text + (refused == 0 ? "" : fmt::format(", {} refused ({})", refused, kinds));
}

}  // namespace

std::string trap_as_text(const TrapReport& report) {
  std::string out = report.image + "\n\n";
  const std::vector<Answer> all = answers(report);
  if (!all.empty()) {
    out += fmt::format("{:<48} {:<10} {:<10} {:<10}\n", "", "interpret", "trap", "translate");
    for (const Answer& answer : all) {
      out += fmt::format("{:<48} {:<10} {:<10} {:<10}{}{}\n", answer.question, answer.values[0],
                         answer.values[1], answer.values[2],
                         answer.trap_is_right() ? "" : " trap is wrong",
                         answer.translate_is_right() ? "" : " translate is wrong");
    }
    out += "\n";
  }
  for (const EngineRun& run : report.runs) {
    out += fmt::format("{:<10} {}; {}\n", run.engine, run.end, decisions(run));
    if (all.empty()) {
      out += fmt::format("           {} lines, the last: {}\n", count_lines(run.serial),
                         last_line(run.serial));
    }
  }
  return out + "\n" + first_line(report) + "\n";
}

std::string trap_as_json(const TrapReport& report) {
  nlohmann::ordered_json out;
  out["image"] = report.image;
  out["not_run_deprivileged"] = report.refused;
  out["answers"] = nlohmann::ordered_json::array();
  for (const Answer& answer : answers(report)) {
    out["answers"].push_back({{"question", answer.question},
                              {"interpret", answer.values[0]},
                              {"trap", answer.values[1]},
                              {"translate", answer.values[2]}});
  }
  for (const EngineRun& run : report.runs) {
    out["runs"][run.engine] = {{"end", run.end},
                               {"interpreted", run.interpreted},
                               {"refused", run.refused},
                               {"lines_printed", count_lines(run.serial)},
                               {"last_line", last_line(run.serial)}};
  }
  out["first_wrong"] = {
      {"found", report.first.found},
      {"right_for_instructions",
       report.first.found ? report.first.instruction : report.figures.instructions},
      {"instructions", report.figures.instructions},
      {"after_eip", report.first.from_eip},
      {"sensitive_instructions_there", report.first.suspects},
      {"what", report.first.what}};
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string trap_as_html(const TrapReport& report) {
  std::string introduction = fmt::format("<p class=\"faint\">{}</p>\n<p><b>{}</b></p>\n",
                                         escape(report.image), escape(first_line(report)));
  introduction +=
      "<p>The same guest three times: interpreted (the truth), deprivileged on this processor with "
      "only its traps emulated, and translated.</p>\n";
  std::string body = "<div class=\"scroll\"><table>\n<tr><th></th>";
  for (const EngineRun& run : report.runs) body += fmt::format("<th>{}</th>", escape(run.engine));
  body += "</tr>\n";
  for (const Answer& answer : answers(report)) {
    body += fmt::format("<tr><td>{}</td><td><code>{}</code></td>", escape(answer.question),
                        escape(answer.values[0]));
    body += fmt::format("<td class=\"{}\"><code>{}</code></td>",
                        answer.trap_is_right() ? "good" : "bad", escape(answer.values[1]));
    body += fmt::format("<td class=\"{}\"><code>{}</code></td></tr>\n",
                        answer.translate_is_right() ? "good" : "bad", escape(answer.values[2]));
  }
  body += "<tr><td>how it ended</td>";
  for (const EngineRun& run : report.runs) body += fmt::format("<td>{}</td>", escape(run.end));
  body += "</tr>\n<tr><td>what came to the monitor</td>";
  for (const EngineRun& run : report.runs) {
    body += fmt::format("<td>{}</td>", escape(decisions(run)));
  }
  body += "</tr>\n<tr><td>last line printed</td>";
  for (const EngineRun& run : report.runs) {
    body += fmt::format("<td>{}</td>", escape(last_line(run.serial)));
  }
  body += "</tr>\n</table></div>\n";
  return html_page("Trap and emulate, and why it fails", introduction, body);
}

}  // namespace ringshift::lab
