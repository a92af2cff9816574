#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "monitor/lab/matrix/instructions.h"
#include "monitor/lab/matrix/matrix_report.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/page_texts.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/lab/trap.h"
#include "monitor/lab/trap_pictures.h"

namespace ringshift::lab {
namespace {

// "PUSH CS (the kernel's is 8)" with 23: a question that ends in "?" is answered by yes or no.
std::string answer_text(const Answer& answer, const std::string& value) {
  if (value.empty()) return "no answer";
  if (answer.question.ends_with('?')) return value == "00000000" ? "no" : "yes";
  const size_t digits = value.find_first_not_of('0');
  return digits == std::string::npos ? "0" : value.substr(digits);
}

std::string answer_table(const TrapReport& report) {
  std::string body = "<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th></th>";
  for (const EngineRun& run : report.runs) body += fmt::format("<th>{}</th>", escape(run.engine));
  body += "</tr>\n";
  for (const Answer& answer : answers_of(report)) {
    body += fmt::format("<tr><td>{}</td><td><code>{}</code></td>", escape(answer.question),
                        escape(answer_text(answer, answer.values[0])));
    body += fmt::format("<td class=\"{}\"><code>{}</code></td>",
                        answer.trap_is_right() ? "good" : "bad",
                        escape(answer_text(answer, answer.values[1])));
    body += fmt::format("<td class=\"{}\"><code>{}</code></td></tr>\n",
                        answer.translate_is_right() ? "good" : "bad",
                        escape(answer_text(answer, answer.values[2])));
  }
  const auto row = [&](const char* what, auto&& text) {
    body += fmt::format("<tr><td>{}</td>", what);
    for (const EngineRun& run : report.runs) body += fmt::format("<td>{}</td>", escape(text(run)));
    body += "</tr>\n";
  };
  row("how it ended", [](const EngineRun& run) { return run.end; });
  row("what came to the monitor", [](const EngineRun& run) { return decisions_of(run); });
  row("last line printed", [](const EngineRun& run) { return last_line(run.serial); });
  return body + "</table></div>\n";
}

// The census's name of an instruction, as the matrix calls one like it; empty if it has none.
std::string matrix_name(const std::string& name) {
  static const std::map<std::string, std::string> kOthers = {
      {"POPFD", "POPF"},           {"PUSHFD", "PUSHF"},    {"IRETD", "IRET"},
      {"PUSH Sreg", "PUSH CS"},    {"POP Sreg", "POP DS"}, {"MOV Sreg, r", "MOV DS, r"},
      {"MOV r, Sreg", "MOV r, CS"}};
  const auto other = kOthers.find(name);
  const std::string wanted = other == kOthers.end() ? name : other->second;
  for (const Instruction& instruction : instructions()) {
    if (instruction.name == wanted) return instruction.name;
  }
  return "";
}

// The first wrong instruction: its effect, why nobody noticed, and where it was measured alone.
std::string first_wrong(const TrapReport& report, Company company) {
  if (!report.first.found) return "";
  const std::string name = first_wrong_name(report);
  std::string out =
      "<section class=\"panel\" id=\"first\">\n<h2>The first wrong instruction</h2>\n";
  out += fmt::format(
      "<p>After {} right instructions: <code class=\"bad\">{}</code>. Deprivileged it did not "
      "trap, "
      "so the monitor was not asked. Held against what the interpreter left, it left otherwise: "
      "<code>{}</code>.</p>\n",
      report.first.instruction,
      escape(report.first.suspects.empty() ? fmt::format("at {:08x}", report.first.from_eip)
                                           : joined(report.first.suspects, ", ")),
      escape(report.first.what));
  const std::string row = matrix_name(name);
  if (!row.empty() && company == Company::Folder) {
    out += fmt::format("<p><a href=\"matrix.html#{}\">{} in the matrix</a></p>\n",
                       matrix_anchor(row), escape(row));
  } else if (!row.empty()) {
    out += fmt::format("<p>Its row in the matrix (<code>ringshift lab matrix</code>): {}</p>\n",
                       escape(row));
  }
  return out + "</section>\n";
}

constexpr char kLanes[] =
    "<p>Three lanes, one program: the same place in the program is at the same place in each. "
    "<b>IF</b>: are interrupts on, as the monitor has it; a ring: what PUSHF shows. <b>Ring</b>: "
    "CPL, and from the first answer on what PUSH CS shows. <b>Clock</b>: a dot for each interrupt "
    "delivered. Red: not what the interpreter has.</p>\n";

constexpr char kControls[] =
    "<div class=\"controls needs-script\" role=\"group\" aria-label=\"rows of the picture\">"
    "<button data-row=\"if\" aria-pressed=\"true\">IF</button>"
    "<button data-row=\"ring\" aria-pressed=\"true\">ring</button>"
    "<button data-row=\"clock\" aria-pressed=\"true\">clock</button>"
    "<button data-row=\"answer\" aria-pressed=\"true\">answers</button></div>\n"
    "<div class=\"controls needs-script\"><label for=\"moment\">moment</label>"
    "<input type=\"range\" id=\"moment\" min=\"0\" value=\"0\">"
    "<span><kbd>\u2190</kbd> <kbd>\u2192</kbd></span></div>\n"
    "<section id=\"now\" class=\"panel needs-script\" aria-live=\"polite\"></section>\n";

}  // namespace

std::vector<Picture> trap_pictures(const TrapReport& report) {
  if (has_lanes(report)) return {{"trap-lanes", lanes_picture(report)}};
  if (!report.way.empty()) return {{"trap-way", way_picture(report)}};
  return {};
}

std::string trap_as_html(const TrapReport& report, Company company) {
  Page page;
  page.name = "trap";
  page.title = "Trap and emulate, and why it fails";
  page.introduction = fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}</p>\n",
                                  escape(trap_finding(report)), escape(report.image));
  page.introduction +=
      "<p>The same guest three times: interpreted (the truth), deprivileged on this processor with "
      "only its traps emulated, and translated.</p>\n";
  for (const Picture& picture : trap_pictures(report)) {
    page.body += picture.drawing.for_page(has_lanes(report) ? 1000 : 760);
  }
  if (has_lanes(report)) {
    page.body += kControls;
    page.body += kLanes;
    page.script = trap_script();
  }
  page.body += first_wrong(report, company);
  page.body += "<h2>What the guest asked, and was told</h2>\n";
  page.body += answer_table(report);
  page.data = trap_as_json(report);
  return html_page(page, company);
}

}  // namespace ringshift::lab
