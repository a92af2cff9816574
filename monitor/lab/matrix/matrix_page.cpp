#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "monitor/lab/matrix/matrix_report.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/page_texts.h"

namespace ringshift::lab {
namespace {

constexpr double kCellWidth = 118, kCellHeight = 25;

// One area of the picture: instructions, in columns.
struct Area {
  std::string title;
  std::vector<const Row*> rows;
  int columns;
  double x, y;
  const char* colour;

  [[nodiscard]] double height() const {
    const int count = static_cast<int>(rows.size());
    return kCellHeight * std::max(1, (count + columns - 1) / columns);
  }
};

template <typename Belongs>
std::vector<const Row*> rows_of(const Matrix& matrix, Belongs belongs) {
  std::vector<const Row*> found;
  for (const Row& row : matrix.rows) {
    if (belongs(row)) found.push_back(&row);
  }
  return found;
}

bool is_sensitive(const Row& row) { return !row.changes.empty() || !row.depends.empty(); }

void draw_area(const Area& area, Drawing* out) {
  out->text(area.x, area.y - 16, fmt::format("{} {}", area.rows.size(), area.title), area.colour,
            14, "start", true);
  int place = 0;
  for (const Row* row : area.rows) {
    const double x = area.x + kCellWidth * (place % area.columns);
    const int down = place / area.columns;
    const double y = area.y + kCellHeight * down;
    ++place;
    const std::string anchor = matrix_anchor(row->name);
    out->begin_link("#" + anchor, row->name,
                    fmt::format("{}: {}", row->name, verdict_name(row->verdict)));
    out->circle(x + 6, y + 8, 5.5, area.colour);
    out->text(x + 17, y + 12.5, row->name);
    out->end_link();
  }
}

constexpr double kTop = 92, kWidth = 1180, kPad = 26, kFirst = kPad + 14;

// Where nothing could be run deprivileged, one set is known and the other is not.
Drawing half_venn(const Matrix& matrix) {
  Area sensitive = {"sensitive: whether they trap is not known here",
                    rows_of(matrix, is_sensitive),
                    9,
                    kFirst,
                    kTop,
                    "warn"};
  Area others = {"not sensitive",
                 rows_of(matrix, [](const Row& row) { return !is_sensitive(row); }),
                 9,
                 kFirst,
                 kTop + sensitive.height() + 2 * kPad + 30,
                 "faint"};
  Drawing out(kWidth, others.y + others.height() + 12,
              "Sensitive instructions as a set; which of them trap was not measured");
  out.box({8, kTop - 46, kWidth - 16, sensitive.height() + 2 * kPad + 16}, "none", "bad", 44);
  out.text(30, kTop - 58, "SENSITIVE", "bad", 15, "start", true);
  draw_area(sensitive, &out);
  draw_area(others, &out);
  return out;
}

// Two sets, and where each instruction lies. The theorem wants the left one inside the right one.
Drawing venn(const Matrix& matrix) {
  if (!matrix.no_silicon.empty()) return half_venn(matrix);
  const auto with = [&](Verdict verdict) {
    return rows_of(matrix, [&](const Row& row) { return row.verdict == verdict; });
  };
  const Area violators = {
      "outside: sensitive, and no trap", with(Verdict::Violates), 4, kFirst, kTop, "bad"};
  const Area held = {"sensitive, and they trap", with(Verdict::Holds), 3, 540, kTop, "good"};
  const Area trapping = {
      "trap, without need", with(Verdict::PrivilegedOnly), 2, 930, kTop, "accent"};
  const double height = std::max({violators.height(), held.height(), trapping.height()}) + 2 * kPad;
  std::vector<Area> areas = {violators, held, trapping};
  double bottom = kTop + height + 30;
  for (const auto& [title, verdict, colour] :
       {std::tuple{"in neither set", Verdict::Innocuous, "faint"},
        std::tuple{"on neither processor", Verdict::Absent, "faint"},
        std::tuple{"not measured here", Verdict::NotMeasured, "warn"}}) {
    if (with(verdict).empty()) continue;
    areas.push_back({title, with(verdict), 9, kFirst, bottom, colour});
    bottom += areas.back().height() + 40;
  }
  Drawing out(kWidth, bottom - 16,
              "Sensitive and privileged instructions as two sets; those that are sensitive and not "
              "privileged lie outside the privileged set");
  const double top = kTop - 46;
  out.box({8, top, 892, height + 16}, "none", "bad", 44);
  out.box({516, top - 10, 656, height + 36}, "none", "good", 44);
  out.text(30, top - 12, "SENSITIVE", "bad", 15, "start", true);
  out.text(1150, top - 20, "PRIVILEGED: traps when deprivileged", "good", 15, "end", true);
  for (const Area& area : areas) draw_area(area, &out);
  return out;
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

std::string cycles_text(const Row& row) {
  return row.cycles == 0 ? "" : fmt::format(" ({} cycles)", row.cycles);
}

std::string privileged_text(const Row& row) {
  if (row.deprivileged == DeprivilegedEffect::NotMeasured) return "?";
  return row.privileged ? "yes" : "no";
}

std::string html_row(const Row& row) {
  std::string out = fmt::format(
      "<tr id=\"{}\"><td><b>{}</b><br><code>{}</code><br><span class=\"faint\">{}</span></td>"
      "<td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td>",
      matrix_anchor(row.name), escape(row.name), escape(row.form), escape(row.purpose),
      privileged_text(row), escape(joined(row.changes, ", ")), escape(joined(row.depends, ", ")),
      escape(row.at_ring0));
  out += fmt::format("<td>{}<br><code>{}</code>{}</td>", deprivileged_name(row.deprivileged),
                     escape(row.deprived), cycles_text(row));
  out += fmt::format(
      "<td>{}, <span class=\"{}\">{}</span><details><summary>host code</summary>"
      "<pre tabindex=\"0\">{}</pre></details></td>",
      treatment_name(row.treatment), row.translation_agrees ? "good" : "bad",
      row.translation_agrees ? "as at CPL 0" : escape(row.translation_differs),
      escape(row.host_code));
  out += fmt::format("<td><span class=\"{}\">{}</span><br>{}</td></tr>\n",
                     verdict_class(row.verdict), verdict_name(row.verdict), escape(row.reason));
  return out;
}

constexpr char kExplanation[] =
    "<p>Popek and Goldberg (1974): a monitor that only waits for traps can be built if every "
    "<i>sensitive</i> instruction is <i>privileged</i>: if the left set lies inside the right one. "
    "Each dot is one instruction, measured when this page was made. Choose one to see what it "
    "did.</p>\n";

constexpr char kControls[] =
    "<div class=\"controls needs-script\"><button id=\"predict\">Predict first</button>"
    "<span class=\"faint\">guess what each instruction does before you see it</span></div>\n"
    "<section id=\"game\" class=\"panel needs-script\" hidden aria-live=\"polite\"></section>\n"
    "<section id=\"evidence\" class=\"panel needs-script\" hidden "
    "aria-live=\"polite\"></section>\n";

constexpr char kWords[] =
    "<p class=\"faint\"><b>Privileged</b>: runs at CPL 0 and traps deprivileged. "
    "<b>Control-sensitive</b> (changes): it changed control at CPL 0. <b>Behaviour-sensitive</b> "
    "(depends on): its visible result was another when one resource of control was. The "
    "interpreter of Ringshift at CPL 0 is the truth the others are held against.</p>\n";

}  // namespace

std::string matrix_anchor(std::string_view name) {
  std::string out = "i-";
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      out += c;
    } else if (out.back() != '-') {
      out += '-';
    }
  }
  return out;
}

std::vector<Picture> matrix_pictures(const Matrix& matrix) {
  return {{"matrix-sets", venn(matrix)}};
}

std::string matrix_as_html(const Matrix& matrix, Company company) {
  Page page;
  page.name = "matrix";
  page.title = "Is every sensitive instruction privileged?";
  page.introduction = fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}, {}, {}</p>\n",
                                  escape(matrix_finding(matrix)), escape(matrix.processor),
                                  escape(matrix.kernel), matrix.umip ? "UMIP" : "no UMIP");
  page.introduction += kExplanation;
  page.body = kControls;
  page.body += "<div id=\"answers\">\n" + venn(matrix).for_page(900);
  page.body += "<h2>Everything that was measured</h2>\n";
  page.body += kWords;
  for (const Group group :
       {Group::RobinIrvine, Group::Later, Group::Privileged, Group::Innocuous}) {
    page.body += fmt::format(
        "<h3>{}</h3>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>instruction</th>"
        "<th>privileged</th><th>changes</th><th>depends on</th><th>at CPL 0</th>"
        "<th>deprivileged here</th><th>translated</th><th>verdict</th></tr>\n",
        group_name(group));
    for (const Row& row : matrix.rows) {
      if (row.group == group) page.body += html_row(row);
    }
    page.body += "</table></div>\n";
  }
  page.body += "</div>\n";
  page.data = matrix_as_json(matrix);
  page.script = matrix_script();
  return html_page(page, company);
}

}  // namespace ringshift::lab
