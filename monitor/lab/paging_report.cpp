#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "monitor/lab/paging.h"
#include "monitor/lab/parts/page_texts.h"

namespace ringshift::lab {
namespace {

constexpr size_t kRowsDrawn = 40;
constexpr uint32_t kPage = 4096;

uint64_t pages_in(const std::vector<PageRun>& runs) {
  uint64_t sum = 0;
  for (const PageRun& run : runs) sum += run.pages;
  return sum;
}

const PageRun* find_page(const std::vector<PageRun>& runs, uint32_t linear) {
  for (const PageRun& run : runs) {
    if (linear >= run.linear && (linear - run.linear) / kPage < run.pages) return &run;
  }
  return nullptr;
}

bool has_page(PagingEventKind kind) { return kind != PagingEventKind::Flush; }

std::string range(const PageRun& run) {
  return fmt::format("{:08x}-{:08x}", run.linear,
                     run.linear + static_cast<uint64_t>(run.pages) * kPage);
}

std::string run_text(const PageRun& run) {
  return fmt::format("{} -> {:08x}  {:>6} pages  {}", range(run), run.physical, run.pages,
                     run.writable ? "rw" : "r");
}

// The shadow's entry for the page of an event, after it.
std::string outcome_text(const PagingEvent& event) {
  if (!has_page(event.kind)) return fmt::format("{} pages in the shadow", pages_in(event.shadow));
  const PageRun* run = find_page(event.shadow, event.address);
  if (run == nullptr) return "not in the shadow";
  const uint32_t page = event.address & ~(kPage - 1);
  return fmt::format("{:08x} -> {:08x} {}", page, run->physical + (page - run->linear),
                     run->writable ? "rw" : "r");
}

char letter(PagingEventKind kind) {
  switch (kind) {
    case PagingEventKind::Hidden:
      return 'H';
    case PagingEventKind::Trace:
      return 'W';
    case PagingEventKind::TrueFault:
      return 'T';
    case PagingEventKind::CodeWrite:
      return 'C';
    case PagingEventKind::Invalidate:
      return 'I';
    case PagingEventKind::Flush:
      return 'F';
  }
  return '?';
}

// The pages something happened to, lowest first.
std::vector<uint32_t> pages_of_interest(const PagingReport& report) {
  std::set<uint32_t> pages;
  for (const PagingEvent& event : report.events) {
    if (has_page(event.kind)) pages.insert(event.address & ~(kPage - 1));
  }
  std::vector<uint32_t> sorted(pages.begin(), pages.end());
  if (sorted.size() > kRowsDrawn) sorted.resize(kRowsDrawn);
  return sorted;
}

// Rows: pages. Columns: events. A cell is the shadow's entry of the page after the event.
Drawing shadow_picture(const PagingReport& report) {
  constexpr double kLeft = 270, kTop = 30, kCell = 24;
  const std::vector<uint32_t> rows = pages_of_interest(report);
  Drawing out(kLeft + kCell * static_cast<double>(report.events.size()) + 10,
              kTop + kCell * static_cast<double>(rows.size()) + 10,
              "The shadow over time: a row for each page, a column for each event");
  out.text(0, 16, "page      guest tables at the end", "faint");
  for (size_t row = 0; row < rows.size(); ++row) {
    const double y = kTop + kCell * static_cast<double>(row);
    const PageRun* guest = find_page(report.guest, rows[row]);
    const std::string maps =
        guest == nullptr ? "not present"
                         : fmt::format("{:08x} {}{}", guest->physical + (rows[row] - guest->linear),
                                       guest->writable ? "rw" : "r", guest->dirty ? " D" : "");
    out.text(0, y + 16, fmt::format("{:08x}  {}", rows[row], maps));
    for (size_t i = 0; i < report.events.size(); ++i) {
      const PagingEvent& event = report.events[i];
      const PageRun* run = find_page(event.shadow, rows[row]);
      const char* fill = run == nullptr ? "none" : run->writable ? "writes" : "reads";
      const double x = kLeft + kCell * static_cast<double>(i);
      out.box({x, y, kCell, kCell}, fill, "line");
      const bool here = has_page(event.kind) && (event.address & ~(kPage - 1)) == rows[row];
      if (here || event.kind == PagingEventKind::Flush) {
        out.text(x + kCell / 2, y + 16, std::string(1, letter(event.kind)), "ink", 14, "middle",
                 here);
      }
    }
  }
  for (size_t i = 0; i < report.events.size(); ++i) {
    const PagingEvent& event = report.events[i];
    const double x = kLeft + kCell * static_cast<double>(i);
    out.begin_link("#now", std::to_string(i),
                   fmt::format("event {}: {}", i + 1, paging_event_name(event.kind)));
    out.box({x + 1, 5, kCell - 2, 21}, "paper", "none", 4);
    out.text(x + kCell / 2, 20, std::to_string(i + 1), "accent", 12, "middle");
    out.end_link();
  }
  return out;
}

constexpr char kStepper[] =
    "<section class=\"needs-script\" aria-label=\"the shadow, step by step\">\n"
    "<div class=\"controls needs-script\"><button id=\"before\" aria-label=\"the event before\">"
    "\u2190</button><input type=\"range\" id=\"step\" min=\"0\" value=\"0\" "
    "aria-label=\"event\"><button id=\"after\" aria-label=\"the event after\">\u2192</button>"
    "<span id=\"place\" class=\"faint\"></span></div>\n"
    "<div id=\"now\" class=\"panel\" aria-live=\"polite\"></div>\n</section>\n"
    "<h2>The shadow over time</h2>\n";

constexpr char kLegend[] =
    "<p><b>H</b> hidden fault: the guest's tables allow the access, the shadow lacked it, now it "
    "is "
    "filled (read-only until the guest's D bit is set). <b>T</b> true fault: the guest's tables "
    "refuse, the guest's handler runs. <b>W</b> trace fault: the page is write-protected because "
    "code was translated from it; the store is interpreted. <b>C</b> that store has changed "
    "translated bytes: their translations are gone. <b>I</b> INVLPG. <b>F</b> flush. Pale cell: "
    "mapped for reading; strong: for writing too.</p>\n";

std::string run_table(const char* title, const std::vector<PageRun>& runs) {
  std::string out = fmt::format("<h2>{}</h2>\n<pre>", title);
  for (const PageRun& run : runs) out += escape(run_text(run)) + "\n";
  return out + "</pre>\n";
}

nlohmann::ordered_json run_json(const std::vector<PageRun>& runs) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const PageRun& run : runs) {
    out.push_back({{"linear", run.linear},
                   {"pages", run.pages},
                   {"physical", run.physical},
                   {"writable", run.writable}});
  }
  return out;
}

// Numbers in a page are exact up to 53 bits: NX (bit 63) and the ignored bits below it are left
// out.
constexpr uint64_t kExact = 0x000f'ffff'ffff'ffff;

// For each page: the guest's own tables and the shadow, after the event.
nlohmann::ordered_json pages_json(const PagingEvent& event, const std::vector<uint32_t>& pages) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const uint32_t page : pages) {
    const PageEntries entries = event.tables.entries_of(page);
    nlohmann::ordered_json one = {{"levels", entries.levels},
                                  {"directory", entries.directory & kExact},
                                  {"table", entries.table & kExact}};
    if (entries.frame) one["frame"] = *entries.frame;
    const PageRun* run = find_page(event.shadow, page);
    if (run != nullptr) {
      one["shadow"] = run->physical + (page - run->linear);
      one["writable"] = run->writable;
    }
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

std::string paging_finding(const PagingReport& report) {
  std::map<std::string, size_t> kinds;
  for (const PagingEvent& event : report.events) ++kinds[paging_event_name(event.kind)];
  return fmt::format(
      "{} faults the guest never saw, {} that were its own, {} on pages watched for writes; the "
      "shadow ends with {} pages.",
      kinds["hidden fault"], kinds["true fault"], kinds["trace fault"], pages_in(report.shadow));
}

std::string paging_as_text(const PagingReport& report) {
  std::string out =
      fmt::format("{}: the guest {}\n\n{:>4} {:<13} {:<9} {:<9} {:<6} {}\n", report.image,
                  report.end, "", "event", "eip", "address", "", "shadow");
  for (size_t i = 0; i < report.events.size(); ++i) {
    const PagingEvent& event = report.events[i];
    out +=
        fmt::format("{:>4} {:<13} {:08x}  {:08x}  {:<6} {}\n", i + 1, paging_event_name(event.kind),
                    event.eip, event.address, event.is_write ? "write" : "", outcome_text(event));
  }
  if (report.events_left_out != 0) out += fmt::format("     and {} more\n", report.events_left_out);
  out += "\nguest page tables at the end\n";
  for (const PageRun& run : report.guest) out += "  " + run_text(run) + "\n";
  out += "\nshadow at the end, as the host's kernel lists it\n";
  for (const PageRun& run : report.shadow) out += "  " + run_text(run) + "\n";
  out += "\nguest-physical pages traced for writes\n ";
  for (const uint64_t page : report.traced) out += fmt::format(" {:08x}", page);
  return out + "\n";
}

std::string paging_as_json(const PagingReport& report) {
  nlohmann::ordered_json out;
  out["image"] = report.image;
  out["end"] = report.end;
  const std::vector<uint32_t> pages = pages_of_interest(report);
  out["pages"] = pages;
  out["events"] = nlohmann::ordered_json::array();
  for (const PagingEvent& event : report.events) {
    const PageRun* run = find_page(event.shadow, event.address);
    out["events"].push_back({{"kind", paging_event_name(event.kind)},
                             {"eip", event.eip},
                             {"instruction", event.instruction},
                             {"address", event.address},
                             {"write", event.is_write},
                             {"shadow_pages", pages_in(event.shadow)},
                             {"mapped", run != nullptr},
                             {"writable", run != nullptr && run->writable},
                             {"state", pages_json(event, pages)}});
  }
  out["events_left_out"] = report.events_left_out;
  out["guest_tables"] = run_json(report.guest);
  out["shadow"] = run_json(report.shadow);
  out["traced"] = report.traced;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> paging_pictures(const PagingReport& report) {
  return {{"paging-shadow", shadow_picture(report)}};
}

std::string paging_as_html(const PagingReport& report, Company company) {
  Page page;
  page.name = "paging";
  page.title = "Shadow page tables at work";
  page.introduction =
      fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}: the guest {}</p>\n",
                  escape(paging_finding(report)), escape(report.image), escape(report.end));
  std::string& body = page.body;
  body = kStepper;
  body += shadow_picture(report).for_page(900);
  body += kLegend;
  body +=
      "<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th class=\"n\"></th><th>event</th>"
      "<th>at EIP</th><th>address</th><th></th><th>the shadow afterwards</th></tr>\n";
  for (size_t i = 0; i < report.events.size(); ++i) {
    const PagingEvent& event = report.events[i];
    body += fmt::format(
        "<tr><td class=\"n\">{}</td><td>{}</td><td><code>{:08x}</code></td><td><code>{:08x}</code>"
        "</td><td>{}</td><td><code>{}</code></td></tr>\n",
        i + 1, paging_event_name(event.kind), event.eip, event.address,
        event.is_write ? "write" : "", escape(outcome_text(event)));
  }
  body += "</table></div>\n";
  if (report.events_left_out != 0) {
    body += fmt::format("<p class=\"faint\">and {} more events</p>\n", report.events_left_out);
  }
  body += run_table("Guest page tables at the end", report.guest);
  body += run_table("Shadow at the end, as the host's kernel lists it", report.shadow);
  page.data = paging_as_json(report);
  page.script = paging_script();
  return html_page(page, company);
}

}  // namespace ringshift::lab
