#include "monitor/lab/matrix/matrix_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/html.h"

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

// The theorem: every sensitive instruction is privileged => a trap-and-emulate monitor exists.
std::string conclusion(const Matrix& matrix) {
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

std::string yes(bool answer) { return answer ? "yes" : "no"; }

std::string privileged_text(const Row& row) {
  return row.deprivileged == Deprivileged::NotMeasured ? "?" : yes(row.privileged);
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

std::string cycles_text(const Row& row) {
  return row.cycles == 0 ? "" : fmt::format(" ({} cycles)", row.cycles);
}

const char* verdict_class(Verdict verdict) {
  switch (verdict) {
    case Verdict::Violates:
      return "bad";
    case Verdict::NotMeasured:
      return "warn";
    default:
      return "good";
  }
}

std::string html_row(const Row& row) {
  std::string out = fmt::format(
      "<tr><td><b>{}</b><br><code>{}</code><br><span class=\"faint\">{}</span></td><td>{}</td>"
      "<td>{}</td><td>{}</td><td><code>{}</code></td>",
      escape(row.name), escape(row.form), escape(row.purpose), privileged_text(row),
      escape(joined(row.changes, ", ")), escape(joined(row.depends, ", ")), escape(row.at_ring0));
  out += fmt::format("<td>{}<br><code>{}</code>{}</td>", deprivileged_name(row.deprivileged),
                     escape(row.deprived), cycles_text(row));
  out += fmt::format(
      "<td>{}, <span class=\"{}\">{}</span><details><summary>host code</summary><pre>{}</pre>"
      "</details></td>",
      treatment_name(row.treatment), row.translation_agrees ? "good" : "bad",
      row.translation_agrees ? "as at CPL 0" : escape(row.translation_differs),
      escape(row.host_code));
  out += fmt::format("<td><span class=\"{}\">{}</span><br>{}</td></tr>\n",
                     verdict_class(row.verdict), verdict_name(row.verdict), escape(row.reason));
  return out;
}

constexpr char kExplanation[] =
    "<p>Popek and Goldberg (1974): a monitor that only waits for traps can be built if every "
    "<i>sensitive</i> instruction is <i>privileged</i>. Privileged: runs at CPL 0 and traps "
    "deprivileged. Control-sensitive: it changed control at CPL 0. Behaviour-sensitive: its "
    "visible "
    "result was another when one resource of control was. All of it was measured when this page "
    "was made; the interpreter of Ringshift at CPL 0 is the truth.</p>\n";

}  // namespace

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
  return out + conclusion(matrix) + "\n";
}

std::string matrix_as_json(const Matrix& matrix) {
  nlohmann::ordered_json out;
  out["processor"] = matrix.processor;
  out["kernel"] = matrix.kernel;
  out["umip"] = matrix.umip;
  out["not_run_deprivileged"] = matrix.no_silicon;
  out["conclusion"] = conclusion(matrix);
  out["instructions"] = nlohmann::ordered_json::array();
  for (const Row& row : matrix.rows) {
    nlohmann::ordered_json one;
    one["name"] = row.name;
    one["form"] = row.form;
    one["group"] = group_name(row.group);
    if (row.deprivileged == Deprivileged::NotMeasured) {
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

std::string matrix_as_html(const Matrix& matrix) {
  std::string introduction = fmt::format(
      "<p class=\"faint\">{}, {}, {}</p>\n<p><b>{}</b></p>\n", escape(matrix.processor),
      escape(matrix.kernel), matrix.umip ? "UMIP" : "no UMIP", escape(conclusion(matrix)));
  introduction += kExplanation;
  introduction += "<div class=\"cards\">";
  for (const Verdict verdict : {Verdict::Violates, Verdict::Holds, Verdict::PrivilegedOnly,
                                Verdict::Innocuous, Verdict::Absent, Verdict::NotMeasured}) {
    introduction +=
        fmt::format("<div class=\"card\"><b class=\"{}\">{}</b>{}</div>", verdict_class(verdict),
                    count(matrix, verdict), verdict_name(verdict));
  }
  introduction += "</div>\n";
  std::string body;
  for (const Group group :
       {Group::RobinIrvine, Group::Later, Group::Privileged, Group::Innocuous}) {
    body += fmt::format(
        "<h2>{}</h2>\n<div class=\"scroll\"><table>\n<tr><th>instruction</th><th>privileged</th>"
        "<th>changes</th><th>depends on</th><th>at CPL 0</th><th>deprivileged here</th>"
        "<th>translated</th><th>verdict</th></tr>\n",
        group_name(group));
    for (const Row& row : matrix.rows) {
      if (row.group == group) body += html_row(row);
    }
    body += "</table></div>\n";
  }
  return html_page("The Popek-Goldberg matrix", introduction, body);
}

}  // namespace ringshift::lab
