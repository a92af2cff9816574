#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/three.h"

namespace ringshift::lab {
namespace {

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

uint64_t native(const LockstepFigures& figures) {
  uint64_t sum = figures.instructions;
  sum -= figures.by_treatment[static_cast<size_t>(Treatment::Interpret)];
  sum -= figures.by_treatment[static_cast<size_t>(Treatment::Callout)];
  sum -= figures.by_treatment[static_cast<size_t>(Treatment::Inline)];
  return sum;
}

uint64_t of(const LockstepFigures& figures, Treatment treatment) {
  return figures.by_treatment[static_cast<size_t>(treatment)];
}

// How much of the run the verdict is about.
std::vector<std::string> coverage_lines(const ThreeReport& report) {
  const LockstepFigures& f = report.figures;
  if (!f.began) return {"nothing: the guest ended before the comparison was to begin"};
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("covered: from {:08x} to {:08x} at CPL {}, {} instructions ({:.1f}% at CPL 3) in "
                  "{}{}",
                  f.first_eip, f.last_eip, f.last_cpl, f.instructions,
                  percent(f.user_instructions, f.instructions), duration_text(f.seconds),
                  f.time_was_up ? "; then time was up" : ""));
  lines.push_back(report.lines == 0
                      ? std::string("the guest has printed nothing")
                      : fmt::format("lines that the guest has printed: {}; the last: {}",
                                    report.lines, report.last_line));
  return lines;
}

std::vector<std::string> equivalence_lines(const ThreeReport& report) {
  const LockstepFigures& f = report.figures;
  std::vector<std::string> lines = coverage_lines(report);
  if (report.difference.found) {
    lines.push_back(fmt::format("DIFFERENT after {} instructions, between {:08x} and {:08x}: {}",
                                report.difference.instruction, report.difference.from_eip,
                                report.difference.to_eip, report.difference.what));
    for (const std::string& line : report.difference.path) lines.push_back("  after " + line);
  } else {
    lines.push_back(
        fmt::format("equal at {} boundaries over {} instructions, {} interrupts; at most {} "
                    "instructions from one to the next",
                    f.boundaries, f.instructions, f.interrupts, f.longest_way));
  }
  if (report.difference.gave_up) {
    lines.push_back(
        fmt::format("given up after {:08x}: the next boundary is too many instructions away",
                    report.difference.from_eip));
  }
  lines.push_back(fmt::format("RAM compared {} times; {} words unlike in accessed and dirty bits",
                              f.ram_comparisons, f.accessed_dirty_words));
  lines.push_back(fmt::format("{} boundaries with flags unlike that the manual leaves undefined",
                              f.undefined_flags));
  return lines;
}

// One line for each instruction that was refused.
std::vector<std::string> refusal_lines(const ThreeReport& report) {
  std::vector<std::string> lines;
  for (const Refusal& refusal : report.figures.refusals) {
    lines.push_back(fmt::format(
        "{:08x}  {}: {}{}{}", refusal.eip, refusal.tried, refusal.fault,
        refusal.fault.starts_with("#PF") ? fmt::format(" for {:08x}", refusal.address) : "",
        refusal.count == 1 ? "" : fmt::format(", {} times", refusal.count)));
  }
  return lines;
}

std::vector<std::string> control_lines(const ThreeReport& report) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format(
      "{} mappings of guest RAM in the guest's windows, {} of anything else, "
      "{} executable",
      report.audit.guest_ram_mappings, report.audit.other_mappings, report.audit.executable));
  lines.push_back(
      fmt::format("{} accesses to ports, {} to ports or addresses that nobody has: all "
                  "ones, or nothing",
                  report.port_accesses, report.unclaimed_accesses));
  std::string faults;
  for (const auto& [name, count] : report.figures.guest_faults) {
    faults += fmt::format("{}{} {}", faults.empty() ? "" : ", ", count, name);
  }
  lines.push_back("refused with a fault: " + (faults.empty() ? "nothing" : faults));
  for (const std::string& line : refusal_lines(report)) lines.push_back("  " + line);
  for (const std::string& line : neighbour_lines(report.neighbours)) lines.push_back(line);
  return lines;
}

std::vector<std::string> efficiency_lines(const ThreeReport& report) {
  const LockstepFigures& f = report.figures;
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("{:.2f}% of {} instructions ran as themselves or with an address or "
                  "branch adapted",
                  percent(native(f), f.instructions), f.instructions));
  lines.push_back(fmt::format(
      "identical {:.2f}%, memory {:.2f}%, branches {:.2f}%, inline {:.3f}%, callouts and exits "
      "to the interpreter {:.3f}%",
      percent(of(f, Treatment::Identical), f.instructions),
      percent(of(f, Treatment::Memory), f.instructions),
      percent(of(f, Treatment::DirectBranch) + of(f, Treatment::IndirectBranch), f.instructions),
      percent(of(f, Treatment::Inline), f.instructions),
      percent(of(f, Treatment::Callout) + of(f, Treatment::Interpret), f.instructions)));
  lines.push_back(fmt::format("interpreted in fact: {} ({:.3f}%)", f.interpreted,
                              percent(f.interpreted, f.instructions)));
  return lines;
}

struct Section {
  const char* name;
  const char* meaning;
  std::vector<std::string> lines;
};

std::array<Section, 3> sections(const ThreeReport& report) {
  return {{{"equivalence", "as on the bare machine, timing aside", equivalence_lines(report)},
           {"resource control", "nothing but what it was given", control_lines(report)},
           {"efficiency", "most instructions run without the monitor", efficiency_lines(report)}}};
}

// The kinds of treatment as the picture shows them, from the processor's own to the monitor's.
struct Share {
  const char* name;
  const char* meaning;
  const char* colour;
  uint64_t count;
};

std::array<Share, 5> shares(const LockstepFigures& f) {
  return {{{"identical", "the instruction itself", "goodfill", of(f, Treatment::Identical)},
           {"memory", "its address adapted", "reads", of(f, Treatment::Memory)},
           {"branches", "its destination adapted", "writes",
            of(f, Treatment::DirectBranch) + of(f, Treatment::IndirectBranch)},
           {"inline", "a few instructions on virtual state", "warnfill", of(f, Treatment::Inline)},
           {"callouts and exits", "the interpreter", "badfill",
            of(f, Treatment::Callout) + of(f, Treatment::Interpret)}}};
}

// All instructions as one bar; below, the end of the bar, enlarged.
Drawing share_picture(const LockstepFigures& f) {
  constexpr double kWidth = 1000, kBar = 44, kTop = 52;
  Drawing out(kWidth, 374, "All executed instructions by what the translator made of them");
  out.text(0, 20, fmt::format("{} instructions executed, by treatment", f.instructions), "ink", 15,
           "start", true);
  const auto all = shares(f);
  const auto whole = static_cast<double>(f.instructions == 0 ? 1 : f.instructions);
  double x = 0, y = kTop + kBar + 34;
  for (const Share& share : all) {
    const double width = kWidth * static_cast<double>(share.count) / whole;
    out.box({x, kTop, width, kBar}, share.colour, "line", 0,
            fmt::format("{}: {}", share.name, share.count));
    x += width;
    out.box({0, y - 13, 22, 16}, share.colour, "line");
    out.text(34, y,
             fmt::format("{:<20}{:>8.3f}%", share.name, percent(share.count, f.instructions)),
             "ink", 14);
    out.text(330, y, fmt::format("{:>12}   {}", share.count, share.meaning), "faint", 14);
    y += 28;
  }
  // The part that is too thin to be seen above, enlarged.
  const uint64_t monitors = f.instructions - native(f);
  out.text(0, y + 18, fmt::format("of these, {} were not the processor's alone:", monitors), "ink",
           14);
  x = 0;
  for (const Share& share : {all[3], all[4]}) {
    const double width = kWidth * percent(share.count, monitors) / 100;
    out.box({x, y + 30, width, 24}, share.colour, "line", 0,
            fmt::format("{}: {}", share.name, share.count));
    if (width > 200)
      out.text(x + 8, y + 47, fmt::format("{} {}", share.name, share.count), "ink", 13);
    x += width;
  }
  y += 62;
  out.text(0, y + 18,
           fmt::format("the monitor itself has interpreted {} of them, {:.3f}%", f.interpreted,
                       percent(f.interpreted, f.instructions)),
           "ink", 14);
  return out;
}

std::string refusal_table(const ThreeReport& report) {
  if (report.figures.refusals.empty()) return "";
  std::string out =
      "<h3>What the guest tried, and was refused</h3>\n<div class=\"scroll\" "
      "tabindex=\"0\"><table>\n"
      "<tr><th>tried</th><th>at EIP</th><th>its fault</th><th>for the page of</th>"
      "<th class=\"n\">times</th></tr>\n";
  for (const Refusal& refusal : report.figures.refusals) {
    const bool paged = refusal.fault.starts_with("#PF");
    out += fmt::format(
        "<tr><td><code>{}</code></td><td><code>{:08x}</code></td><td>{}</td><td><code>{}</code></"
        "td>"
        "<td class=\"n\">{}</td></tr>\n",
        escape(refusal.tried), refusal.eip, escape(refusal.fault),
        paged ? fmt::format("{:08x}", refusal.address) : "", refusal.count);
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string three_finding(const ThreeReport& report) {
  const LockstepFigures& f = report.figures;
  if (!f.began) return "Nothing was compared: the guest ended before.";
  return fmt::format(
      "{} instructions in step with the interpreter, {}; {} mappings in its windows that are not "
      "its RAM; {:.2f} % of the instructions ran without the monitor.",
      f.instructions, report.difference.found ? "and then a difference" : "never a difference",
      report.audit.other_mappings, percent(native(f), f.instructions));
}

std::string three_as_text(const ThreeReport& report) {
  std::string out = fmt::format("{}: the guest {}\n", report.image, report.end);
  for (const Section& section : sections(report)) {
    out += fmt::format("\n{}: {}\n", section.name, section.meaning);
    for (const std::string& line : section.lines) out += "  " + line + "\n";
  }
  return out;
}

std::string three_as_json(const ThreeReport& report) {
  const LockstepFigures& f = report.figures;
  nlohmann::ordered_json out;
  out["image"] = report.image;
  out["end"] = report.end;
  out["equivalence"] = {{"equal", f.began && !report.difference.found},
                        {"instructions", f.instructions},
                        {"gave_up", report.difference.gave_up},
                        {"user_instructions", f.user_instructions},
                        {"seconds", f.seconds},
                        {"time_was_up", f.time_was_up},
                        {"first_eip", f.first_eip},
                        {"last_eip", f.last_eip},
                        {"last_cpl", f.last_cpl},
                        {"lines_printed", report.lines},
                        {"last_line", report.last_line},
                        {"boundaries", f.boundaries},
                        {"longest_way", f.longest_way},
                        {"interrupts", f.interrupts},
                        {"ram_comparisons", f.ram_comparisons},
                        {"accessed_dirty_words", f.accessed_dirty_words},
                        {"undefined_flags", f.undefined_flags},
                        {"resume_flags", f.resume_flags},
                        {"difference", report.difference.what}};
  out["resource_control"] = {{"guest_ram_mappings", report.audit.guest_ram_mappings},
                             {"other_mappings", report.audit.other_mappings},
                             {"executable_mappings", report.audit.executable},
                             {"port_accesses", report.port_accesses},
                             {"unclaimed_accesses", report.unclaimed_accesses},
                             {"guest_faults", f.guest_faults}};
  out["resource_control"]["refusals"] = nlohmann::ordered_json::array();
  for (const Refusal& refusal : f.refusals) {
    out["resource_control"]["refusals"].push_back({{"eip", refusal.eip},
                                                   {"tried", refusal.tried},
                                                   {"fault", refusal.fault},
                                                   {"address", refusal.address},
                                                   {"count", refusal.count}});
  }
  out["resource_control"]["neighbours"] = nlohmann::ordered_json::array();
  for (const NeighbourRun& run : report.neighbours) {
    out["resource_control"]["neighbours"].push_back({{"doing", run.doing},
                                                     {"limit_percent", run.limit},
                                                     {"seconds", run.seconds},
                                                     {"own_seconds", run.own},
                                                     {"neighbours_seconds", run.others},
                                                     {"rounds", run.rounds},
                                                     {"neighbours_rounds", run.others_rounds}});
  }
  out["efficiency"] = {{"native_percent", percent(native(f), f.instructions)},
                       {"interpreted", f.interpreted}};
  for (size_t i = 0; i < f.by_treatment.size(); ++i) {
    out["efficiency"][treatment_name(static_cast<Treatment>(i))] = f.by_treatment[i];
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> three_pictures(const ThreeReport& report) {
  std::vector<Picture> pictures{{"three-shares", share_picture(report.figures)}};
  if (!report.neighbours.empty()) {
    pictures.push_back({"three-neighbours", neighbour_picture(report.neighbours)});
  }
  return pictures;
}

std::string three_as_html(const ThreeReport& report, Company company) {
  Page page;
  page.name = "three";
  page.title = "Three properties, one run";
  page.introduction =
      fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}: the guest {}</p>\n",
                  escape(three_finding(report)), escape(report.image), escape(report.end));
  page.body = "<div class=\"cards\">";
  page.body += fmt::format("<div class=\"card\"><b class=\"{}\">{}</b>equivalence</div>",
                           report.difference.found ? "bad" : "good",
                           report.difference.found ? "different" : "equal");
  page.body +=
      fmt::format("<div class=\"card\"><b class=\"{}\">{}</b>foreign mappings in its windows</div>",
                  report.audit.other_mappings == 0 ? "good" : "bad", report.audit.other_mappings);
  page.body += fmt::format("<div class=\"card\"><b>{:.2f}%</b>ran natively</div></div>\n",
                           percent(native(report.figures), report.figures.instructions));
  page.body += share_picture(report.figures).for_page(760);
  for (const Section& section : sections(report)) {
    page.body += fmt::format("<h2>{}</h2>\n<p class=\"faint\">{}</p>\n<ul>\n", section.name,
                             section.meaning);
    for (const std::string& line : section.lines) {
      // Refusals and neighbours have tables of their own.
      if (line.starts_with("  ") || line.ends_with(":")) continue;
      page.body += fmt::format("<li>{}</li>\n", escape(line));
    }
    page.body += "</ul>\n";
    if (section.name == std::string_view("resource control")) {
      page.body += refusal_table(report) + neighbour_table(report.neighbours);
      if (!report.neighbours.empty()) {
        page.body += neighbour_picture(report.neighbours).for_page(760);
      }
    }
  }
  page.data = three_as_json(report);
  return html_page(page, company);
}

}  // namespace ringshift::lab
