#include "monitor/lab/three.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/lab/trap.h"
#include "shadowmmu/base/counters.h"

namespace ringshift::lab {
namespace {

// One line of /proc/self/maps: range, rights, offset, device, inode, name.
void audit_line(const std::string& line, Machine& machine, WindowAudit* audit) {
  std::istringstream words(line);
  uint64_t start = 0;
  char dash = 0;
  std::string end, rights, offset, device, inode, name;
  words >> std::hex >> start >> dash >> end >> rights >> offset >> device >> inode >> name;
  const bool is_window =
      machine.coherence().window_address(start, Privilege::Supervisor).has_value() ||
      machine.coherence().window_address(start, Privilege::User).has_value();
  if (!is_window || rights.substr(0, 3) == "---") return;
  if (rights[2] == 'x') ++audit->executable;
  if (name.rfind("/memfd:", 0) == 0) {
    ++audit->guest_ram_mappings;
  } else {
    ++audit->other_mappings;
  }
}

WindowAudit audit_windows(Machine& machine) {
  WindowAudit audit;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) audit_line(line, machine, &audit);
  return audit;
}

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
                  "{:.1f} s{}",
                  f.first_eip, f.last_eip, f.last_cpl, f.instructions,
                  percent(f.user_instructions, f.instructions), f.seconds,
                  f.time_was_up ? "; then time was up" : ""));
  lines.push_back(report.lines == 0 ? std::string("the guest has printed nothing")
                                    : fmt::format("the guest has printed {} lines, the last: {}",
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

}  // namespace

bool measure_three(const MachineConfig& config, const LockstepOptions& options, ThreeReport* report,
                   std::string* error) {
  // Some hundred thousand instructions of the leader's: often enough to say where a difference
  // began, seldom enough to let translated code run.
  constexpr Nanoseconds kComeBy = 500'000;
  LockstepOptions chosen = options;
  chosen.come_by = kComeBy;
  Lockstep lockstep(chosen);
  const SerialCapture serial;
  if (!serial.ok()) {
    *error = "no temporary file for the serial line";
    return false;
  }
  MachineConfig followed = config;
  serial.attach(&followed);
  followed.vcpu.observer = &lockstep;
  followed.translator.features.interpret_time = true;  // or the follower could not be told
  const uint64_t unclaimed = counters().io_unclaimed;
  const std::unique_ptr<Machine> machine = Machine::create(followed, error);
  if (machine == nullptr || !lockstep.attach(machine.get(), error)) return false;
  report->end = end_of(machine->run());
  lockstep.finish();
  report->difference = lockstep.difference();
  report->figures = lockstep.figures();
  report->audit = audit_windows(*machine);
  report->unclaimed_accesses = counters().io_unclaimed - unclaimed;
  report->port_accesses = lockstep.port_accesses();
  report->lines = count_lines(serial.text());
  report->last_line = last_line(serial.text());
  return true;
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
  out["efficiency"] = {{"native_percent", percent(native(f), f.instructions)},
                       {"interpreted", f.interpreted}};
  for (size_t i = 0; i < f.by_treatment.size(); ++i) {
    out["efficiency"][treatment_name(static_cast<Treatment>(i))] = f.by_treatment[i];
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string three_as_html(const ThreeReport& report) {
  std::string body = "<div class=\"cards\">";
  body += fmt::format("<div class=\"card\"><b class=\"{}\">{}</b>equivalence</div>",
                      report.difference.found ? "bad" : "good",
                      report.difference.found ? "different" : "equal");
  body +=
      fmt::format("<div class=\"card\"><b class=\"{}\">{}</b>foreign mappings in its windows</div>",
                  report.audit.other_mappings == 0 ? "good" : "bad", report.audit.other_mappings);
  body += fmt::format("<div class=\"card\"><b>{:.2f}%</b>ran natively</div></div>\n",
                      percent(native(report.figures), report.figures.instructions));
  for (const Section& section : sections(report)) {
    body += fmt::format("<h2>{}</h2>\n<p class=\"faint\">{}</p>\n<ul>\n", section.name,
                        section.meaning);
    for (const std::string& line : section.lines) {
      body += fmt::format("<li>{}</li>\n", escape(line));
    }
    body += "</ul>\n";
  }
  return html_page("Three properties, one run",
                   fmt::format("<p class=\"faint\">{}: the guest {}</p>\n", escape(report.image),
                               escape(report.end)),
                   body);
}

}  // namespace ringshift::lab
