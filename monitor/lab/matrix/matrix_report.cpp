#include "monitor/lab/matrix/matrix_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "monitor/lab/parts/effects.h"

namespace ringshift::lab {
namespace {

size_t count(const Matrix& matrix, Verdict verdict) {
  return static_cast<size_t>(std::count_if(matrix.rows.begin(), matrix.rows.end(),
                                           [&](const Row& row) { return row.verdict == verdict; }));
}

size_t count_agreeing(const Matrix& matrix) {
  return static_cast<size_t>(std::count_if(matrix.rows.begin(), matrix.rows.end(),
                                           [](const Row& row) { return row.translation_agrees; }));
}

std::string yes(bool answer) { return answer ? "yes" : "no"; }

std::string privileged_text(const Row& row) {
  return row.deprivileged == DeprivilegedEffect::NotMeasured ? "?" : yes(row.privileged);
}

std::string sensitive_text(const Row& row) {
  std::string text;
  if (!row.changes.empty()) text += "C";
  if (!row.depends.empty()) text += "B";
  return text.empty() ? "-" : text;
}

// A column of the terminal's table.
std::string cut(const std::string& text, size_t columns) {
  return text.size() <= columns ? text : text.substr(0, columns - 2) + "..";
}

}  // namespace

std::string matrix_finding(const Matrix& matrix) {
  const size_t violating = count(matrix, Verdict::Violates);
  std::string text;
  if (!matrix.no_silicon.empty()) {
    text = "Nothing was run deprivileged on this machine (" + matrix.no_silicon +
           "), so the theorem's condition is not decided here. ";
  } else if (violating != 0) {
    text = fmt::format(
        "{} of {} instructions are sensitive and do not trap: the theorem's condition does not "
        "hold on this processor, and no monitor that only waits for traps is right. ",
        violating, matrix.rows.size());
  } else {
    text = "Every sensitive instruction traps: the theorem's condition holds for these. ";
  }
  return text +
         fmt::format("Translated, {} of {} leave the machine exactly as the interpreter does.",
                     count_agreeing(matrix), matrix.rows.size());
}

std::string matrix_as_text(const Matrix& matrix) {
  std::string out = fmt::format("{}, {}, {}\n\n", matrix.processor, matrix.kernel,
                                matrix.umip ? "UMIP" : "no UMIP");
  out += fmt::format("{:<10} {:<4} {:<4} {:<36} {:<13} {:<36} {:<13} {:<4} {}\n", "", "priv",
                     "sens", "at CPL 0", "deprivileged", "", "translated", "same", "verdict");
  Group group = Group::Innocuous;
  bool first = true;
  for (const Row& row : matrix.rows) {
    if (first || row.group != group) out += fmt::format("-- {}\n", group_name(row.group));
    first = false;
    group = row.group;
    out += fmt::format("{:<10} {:<4} {:<4} {:<36} {:<13} {:<36} {:<13} {:<4} {}\n", row.name,
                       privileged_text(row), sensitive_text(row), cut(row.at_ring0, 36),
                       deprivileged_name(row.deprivileged), cut(row.deprived, 36),
                       treatment_name(row.treatment), yes(row.translation_agrees),
                       verdict_name(row.verdict));
  }
  out +=
      "\nsens: C changes control, B its result depends on control (--json and --html say which)\n";
  return out + matrix_finding(matrix) + "\n";
}

std::string matrix_as_json(const Matrix& matrix) {
  nlohmann::ordered_json out;
  out["processor"] = matrix.processor;
  out["kernel"] = matrix.kernel;
  out["umip"] = matrix.umip;
  out["not_run_deprivileged"] = matrix.no_silicon;
  out["conclusion"] = matrix_finding(matrix);
  out["instructions"] = nlohmann::ordered_json::array();
  for (const Row& row : matrix.rows) {
    nlohmann::ordered_json one;
    one["name"] = row.name;
    one["form"] = row.form;
    one["purpose"] = row.purpose;
    one["bytes"] = row.bytes;
    one["group"] = group_name(row.group);
    if (row.deprivileged == DeprivilegedEffect::NotMeasured) {
      one["privileged"] = nullptr;
    } else {
      one["privileged"] = row.privileged;
    }
    one["changes"] = row.changes;
    one["depends"] = row.depends;
    one["at_ring_0"] = row.at_ring0;
    one["deprivileged"] = deprivileged_name(row.deprivileged);
    one["deprivileged_effects"] = row.deprived;
    one["cycles"] = row.cycles;
    one["treatment"] = treatment_name(row.treatment);
    one["translation_agrees"] = row.translation_agrees;
    one["translation_differs"] = row.translation_differs;
    one["host_code"] = row.host_code;
    one["verdict"] = verdict_name(row.verdict);
    one["reason"] = row.reason;
    out["instructions"].push_back(std::move(one));
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace ringshift::lab
