// The census as areas, on its page: a tree at a time, and the same as a table.
#include <fmt/format.h>

#include <numeric>

#include "monitor/lab/census/census.h"

namespace ringshift::lab {
namespace {

std::string section_row(const CensusSection& section) {
  uint64_t all = 0;
  std::string cells;
  for (const auto& names : section.instructions) {
    uint64_t sum = 0;
    for (const auto& [name, number] : names) sum += number;
    all += sum;
    cells += fmt::format("<td class=\"n\">{}</td>", sum);
  }
  return fmt::format(
      "<tr><td><code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td>{}</tr>\n",
      escape(section.name), section.bytes, all, cells);
}

}  // namespace

std::string census_trees_as_html(const Census& census) {
  const std::vector<CensusTree> trees = census_trees(census);
  std::string body =
      "<h2>where they are, and what becomes of them</h2>\n<p>Areas are numbers of instructions. "
      "<b>identical</b>, <b>memory</b> and the branches run as themselves, with an address or a "
      "destination adapted; in the others the monitor has a hand. Click on a section to see "
      "what it is made of.</p>\n<div class=\"controls needs-script\">";
  for (const CensusTree& tree : trees) {
    body += fmt::format("<button data-tree=\"{}\" aria-pressed=\"false\">{}</button>", tree.id,
                        escape(tree.title));
  }
  body += "</div>\n";
  for (const CensusTree& tree : trees) {
    body += fmt::format("<section class=\"tree\" id=\"{}\">\n{}</section>\n", tree.id,
                        tree.picture.drawing.for_page(760));
  }
  return body;
}

std::string census_sections_as_html(const Census& census) {
  std::string body =
      "<h2>by section</h2>\n<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>section</th>"
      "<th class=\"n\">bytes</th><th class=\"n\">instructions</th>";
  for (size_t i = 0; i < kTreatments; ++i) {
    body += fmt::format("<th class=\"n\">{}</th>", treatment_name(static_cast<Treatment>(i)));
  }
  body += "</tr>\n";
  for (const CensusSection& section : census.sections) body += section_row(section);
  return body + "</table></div>\n";
}

}  // namespace ringshift::lab
