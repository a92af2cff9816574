#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/lab/trap.h"

namespace ringshift::lab {
std::vector<Answer> answers_of(const TrapReport& report) {
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

std::string decisions_of(const EngineRun& run) {
  uint64_t refused = 0;
  std::string kinds;
  for (const auto& [name, count] : run.refused) {
    refused += count;
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, name);
  }
  std::string text = fmt::format("{} instructions emulated", run.interpreted - refused);
  return text + (refused == 0 ? "" : fmt::format(", {} refused ({})", refused, kinds));
}

std::string first_wrong_name(const TrapReport& report) {
  if (!report.first.found || report.first.suspects.size() != 1) return "";
  const std::string& suspect = report.first.suspects.front();
  return suspect.substr(0, suspect.rfind(" at "));
}

std::string trap_finding(const TrapReport& report) {
  if (!report.refused.empty()) return "Deprivileged code does not run here: " + report.refused;
  if (!report.first.found) {
    return fmt::format(
        "In step with the interpreter for {} instructions, trap-and-emulate was never wrong{}",
        report.figures.instructions,
        report.figures.time_was_up ? "; then time was up (--seconds)" : "");
  }
  const Difference& first = report.first;
  std::string text = fmt::format(
      "In step with the interpreter, trap-and-emulate is right for {} instructions and wrong {} "
      "later, after ",
      first.instruction, report.figures.instructions - first.instruction);
  text +=
      first.suspects.empty() ? fmt::format("{:08x}", first.from_eip) : joined(first.suspects, ", ");
  return text + ": " + first.what;
}

std::string trap_as_text(const TrapReport& report) {
  std::string out = report.image + "\n\n";
  const std::vector<Answer> all = answers_of(report);
  if (!all.empty()) {
    out += fmt::format("{:<56} {:<10} {:<10} {:<10}\n", "", "interpret", "trap", "translate");
    for (const Answer& answer : all) {
      out += fmt::format("{:<56} {:<10} {:<10} {:<10}{}{}\n", answer.question, answer.values[0],
                         answer.values[1], answer.values[2],
                         answer.trap_is_right() ? "" : " trap is wrong",
                         answer.translate_is_right() ? "" : " translate is wrong");
    }
    out += "\n";
  }
  for (const EngineRun& run : report.runs) {
    out += fmt::format("{:<10} {}; {}\n", run.engine, run.end, decisions_of(run));
    if (all.empty()) {
      out += fmt::format("           {} lines, the last: {}\n", count_lines(run.serial),
                         last_line(run.serial));
    }
  }
  return out + "\n" + trap_finding(report) + "\n";
}

namespace {

nlohmann::ordered_json moments_json(const EngineRun& run) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Moment& moment : run.moments) {
    nlohmann::ordered_json one = {{"eip", moment.eip},
                                  {"if", moment.interrupts_on},
                                  {"cpl", moment.ring},
                                  {"interrupts", moment.ticks}};
    if (!moment.is_mark) {
      one["if_by_pushf"] = moment.seen_on;
      one["ring_by_push_cs"] = moment.seen_ring;
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

std::string trap_as_json(const TrapReport& report) {
  nlohmann::ordered_json out;
  out["image"] = report.image;
  out["not_run_deprivileged"] = report.refused;
  out["answers"] = nlohmann::ordered_json::array();
  for (const Answer& answer : answers_of(report)) {
    out["answers"].push_back({{"question", answer.question},
                              {"interpret", answer.values[0]},
                              {"trap", answer.values[1]},
                              {"translate", answer.values[2]}});
  }
  for (const EngineRun& run : report.runs) {
    out["runs"][run.engine] = {{"end", run.end},
                               {"interpreted", run.interpreted},
                               {"refused", run.refused},
                               {"moments", moments_json(run)},
                               {"lines_printed", count_lines(run.serial)},
                               {"last_line", last_line(run.serial)}};
  }
  out["first_wrong"] = {
      {"found", report.first.found},
      {"right_for_instructions",
       report.first.found ? report.first.instruction : report.figures.instructions},
      {"instructions", report.figures.instructions},
      {"after_eip", report.first.from_eip},
      {"name", first_wrong_name(report)},
      {"sensitive_instructions_there", report.first.suspects},
      {"what", report.first.what}};
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace ringshift::lab
