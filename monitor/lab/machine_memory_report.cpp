#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "monitor/lab/machine_memory.h"

namespace ringshift::lab {
namespace {

constexpr uint64_t kKibibyte = 1024, kPage = 4096;
constexpr MemoryKind kKinds[] = {MemoryKind::Shared, MemoryKind::Copied, MemoryKind::Fresh,
                                 MemoryKind::Zero};

const char* fill_of(MemoryKind kind) {
  constexpr const char* kFills[] = {"reads", "warnfill", "goodfill", "none"};
  return kFills[static_cast<size_t>(kind)];
}

const char* meaning_of(MemoryKind kind) {
  constexpr const char* kMeanings[] = {
      "the first machine's, as of the moment it was cloned: both read it, nobody writes it",
      "was shared until the clone wrote to it, and is its own since",
      "was zeros then, and is the clone's own", "zeros: the host keeps no memory for it"};
  return kMeanings[static_cast<size_t>(kind)];
}

uint64_t pages_of(const MemoryReport& report, MemoryKind kind) {
  return report.pages[static_cast<size_t>(kind)];
}

// A part of the guest's linear space whose pages lie together, with one kind of memory behind them.
struct Way {
  PageRun run;
  MemoryKind kind = MemoryKind::Zero;
};

std::vector<Way> ways_of(const MemoryReport& report) {
  std::vector<Way> ways;
  for (const PageRun& run : report.guest) {
    uint32_t done = 0;
    while (done < run.pages) {
      const uint64_t physical = run.physical + done * kPage;
      const MemoryKind kind = kind_of(report, physical);
      uint32_t count = 1;
      while (done + count < run.pages && kind_of(report, physical + count * kPage) == kind) ++count;
      PageRun part = run;
      part.linear = static_cast<uint32_t>(run.linear + done * kPage);
      part.physical = physical;
      part.pages = count;
      ways.push_back({part, kind});
      done += count;
    }
  }
  return ways;
}

std::string way_text(const Way& way) {
  const PageRun& run = way.run;
  return fmt::format("{:08x}-{:08x} -> {:08x} {:>6} pages {} {} -> {}", run.linear,
                     run.linear + run.pages * kPage, run.physical, run.pages,
                     run.writable ? "rw" : "r ", run.user ? "user  " : "kernel",
                     memory_kind_name(way.kind));
}

// RAM as squares, a grain each; lines of 32.
Drawing grains_picture(const MemoryReport& report) {
  constexpr size_t kInLine = 32, kMostDrawn = 2048;
  constexpr double kCell = 26, kLeft = 90, kTop = 60;
  const size_t drawn = std::min(report.grains.size(), kMostDrawn);
  const auto lines = static_cast<double>((drawn + kInLine - 1) / kInLine);
  Drawing out(
      kLeft + kCell * kInLine + 10, kTop + kCell * lines + 10,
      "Guest-physical memory, a square for each grain, coloured by whose memory is behind it");
  double x = 0;
  for (const MemoryKind kind : kKinds) {
    out.box({x, 8, 18, 18}, fill_of(kind), "line");
    out.text(x + 24, 22, fmt::format("{} {}", pages_of(report, kind), memory_kind_name(kind)));
    x += 190;
  }
  out.text(0, 48,
           fmt::format("physical   pages; a square is {} KiB", report.grain_bytes / kKibibyte),
           "faint");
  for (size_t i = 0; i < drawn; ++i) {
    const double column = static_cast<double>(i % kInLine), line = static_cast<double>(i / kInLine);
    if (i % kInLine == 0) {
      out.text(0, kTop + kCell * line + 18, fmt::format("{:08x}", i * report.grain_bytes), "faint");
    }
    out.box({kLeft + kCell * column, kTop + kCell * line, kCell, kCell}, fill_of(report.grains[i]),
            "line", 0,
            fmt::format("{:08x}: {}", i * report.grain_bytes, memory_kind_name(report.grains[i])));
  }
  return out;
}

// Three columns: the pages that the guest's tables map, RAM, and the memfds behind it.
Drawing ways_picture(const MemoryReport& report) {
  constexpr size_t kMostDrawn = 40;
  constexpr double kRow = 24, kTop = 40, kWidth = 300, kSecond = 390, kThird = 780;
  const std::vector<Way> ways = ways_of(report);
  const size_t drawn = std::min(ways.size(), kMostDrawn);
  Drawing out(kThird + kWidth + 10, kTop + kRow * static_cast<double>(drawn) + 10,
              "From linear address to physical page to the host's memory");
  out.text(0, 22, "linear: the guest's tables", "ink", 14, "start", true);
  out.text(kSecond, 22, "physical", "ink", 14, "start", true);
  out.text(kThird, 22, "machine", "ink", 14, "start", true);
  for (size_t i = 0; i < drawn; ++i) {
    const Way& way = ways[i];
    const double y = kTop + kRow * static_cast<double>(i);
    const double middle = y + kRow / 2;
    out.box({0, y + 1, kWidth, kRow - 2}, "band");
    out.text(8, y + 17,
             fmt::format("{:08x} {:>5} pages {}", way.run.linear, way.run.pages,
                         way.run.user ? "user" : ""));
    out.line(kWidth, middle, kSecond, middle, "faint");
    out.box({kSecond, y + 1, kWidth, kRow - 2}, "band");
    out.text(kSecond + 8, y + 17, fmt::format("{:08x}", way.run.physical));
    out.line(kSecond + kWidth, middle, kThird, middle, "faint", 1, way.kind == MemoryKind::Zero);
    out.box({kThird, y + 1, kWidth, kRow - 2}, fill_of(way.kind), "line");
    out.text(kThird + 8, y + 17, memory_kind_name(way.kind));
  }
  return out;
}

std::string kib(uint64_t bytes) { return fmt::format("{} KiB", bytes / kKibibyte); }

std::string balloon_text(const MemoryReport& report) {
  if (!report.ballooned) return "there is no balloon in this machine";
  return kib(*report.ballooned) + " given back by the guest's balloon";
}

std::string copies_table(const MemoryReport& report) {
  std::string out =
      "<h2>What became its own, and by which instruction</h2>\n<div class=\"scroll\" "
      "tabindex=\"0\"><table>\n<tr><th class=\"n\"></th><th>at EIP</th><th>instruction</th>"
      "<th>grain</th></tr>\n";
  for (size_t i = 0; i < report.copies.size(); ++i) {
    const CopyEvent& copy = report.copies[i];
    out += fmt::format(
        "<tr><td class=\"n\">{}</td><td><code>{:08x}</code></td><td><code>{}</code></td>"
        "<td><code>{:08x}</code></td></tr>\n",
        i + 1, copy.eip, escape(copy.instruction), copy.physical);
  }
  out += "</table></div>\n";
  if (report.copies_left_out != 0) {
    out += fmt::format("<p class=\"faint\">and {} more</p>\n", report.copies_left_out);
  }
  return out;
}

}  // namespace

std::string memory_finding(const MemoryReport& report) {
  return fmt::format(
      "Of {} pages of RAM a cloned machine shares {} with the one it comes from, has copied {}, "
      "has "
      "{} that were zeros before, and {} are zeros and take nothing.",
      report.ram_bytes / kPage, pages_of(report, MemoryKind::Shared),
      pages_of(report, MemoryKind::Copied), pages_of(report, MemoryKind::Fresh),
      pages_of(report, MemoryKind::Zero));
}

std::string memory_as_text(const MemoryReport& report) {
  std::string out = fmt::format("{}: the clone's guest {}\n", report.image, report.end);
  out += fmt::format("the first machine stood {} us while it was cloned\n\n",
                     report.pause_microseconds);
  out += fmt::format("RAM: {} pages, in grains of {}\n", report.ram_bytes / kPage,
                     kib(report.grain_bytes));
  for (const MemoryKind kind : kKinds) {
    out += fmt::format("{:>8} pages {:<7} {}\n", pages_of(report, kind), memory_kind_name(kind),
                       meaning_of(kind));
  }
  out += fmt::format("\nthe host has {} for the clone alone, {} for both, {} for the first alone\n",
                     kib(report.own_bytes), kib(report.shared_bytes), kib(report.first_bytes));
  out += fmt::format("its kernel lists {} pages of the clone's RAM as shared, {} as its own\n",
                     report.mapped_shared, report.mapped_own);
  out += "balloon: " + balloon_text(report) + "\n\nlinear -> physical -> machine\n";
  for (const Way& way : ways_of(report)) out += "  " + way_text(way) + "\n";
  out += "\nwhat became its own\n";
  for (const CopyEvent& copy : report.copies) {
    out +=
        fmt::format("  {:08x}  {:<32} grain {:08x}\n", copy.eip, copy.instruction, copy.physical);
  }
  if (report.copies_left_out != 0) out += fmt::format("  and {} more\n", report.copies_left_out);
  return out;
}

std::string memory_as_json(const MemoryReport& report) {
  nlohmann::ordered_json out;
  out["image"] = report.image;
  out["end"] = report.end;
  out["ram_pages"] = report.ram_bytes / kPage;
  out["grain_bytes"] = report.grain_bytes;
  out["pause_us"] = report.pause_microseconds;
  for (const MemoryKind kind : kKinds)
    out["pages"][memory_kind_name(kind)] = pages_of(report, kind);
  out["host"] = {{"own_bytes", report.own_bytes},
                 {"shared_bytes", report.shared_bytes},
                 {"first_bytes", report.first_bytes},
                 {"mapped_shared", report.mapped_shared},
                 {"mapped_own", report.mapped_own}};
  out["ballooned_bytes"] = nullptr;
  if (report.ballooned) out["ballooned_bytes"] = *report.ballooned;
  out["grains"] = nlohmann::ordered_json::array();
  for (const MemoryKind kind : report.grains) out["grains"].push_back(memory_kind_name(kind));
  out["ways"] = nlohmann::ordered_json::array();
  for (const Way& way : ways_of(report)) {
    out["ways"].push_back({{"linear", way.run.linear},
                           {"pages", way.run.pages},
                           {"physical", way.run.physical},
                           {"writable", way.run.writable},
                           {"user", way.run.user},
                           {"machine", memory_kind_name(way.kind)}});
  }
  out["copies"] = nlohmann::ordered_json::array();
  for (const CopyEvent& copy : report.copies) {
    out["copies"].push_back(
        {{"eip", copy.eip}, {"instruction", copy.instruction}, {"grain", copy.physical}});
  }
  out["copies_left_out"] = report.copies_left_out;
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> memory_pictures(const MemoryReport& report) {
  return {{"memory-grains", grains_picture(report)}, {"memory-ways", ways_picture(report)}};
}

std::string memory_as_html(const MemoryReport& report, Company company) {
  Page page;
  page.name = "memory";
  page.title = "Whose memory is behind a physical page";
  page.introduction = fmt::format(
      "<p class=\"lead\">{}</p>\n<p class=\"faint\">{}: the clone's guest {}. The first machine "
      "stood {} us while it was cloned; both went on from there.</p>\n",
      escape(memory_finding(report)), escape(report.image), escape(report.end),
      report.pause_microseconds);
  std::string& body = page.body;
  body += "<div class=\"cards\">\n";
  for (const MemoryKind kind : kKinds) {
    body += fmt::format("<div class=\"card\"><b>{}</b>pages {}</div>\n", pages_of(report, kind),
                        memory_kind_name(kind));
  }
  body += "</div>\n" + grains_picture(report).for_page(700) + "<dl>\n";
  for (const MemoryKind kind : kKinds) {
    body +=
        fmt::format("<dt><b>{}</b></dt><dd>{}</dd>\n", memory_kind_name(kind), meaning_of(kind));
  }
  body += fmt::format(
      "</dl>\n<p>The host has {} for the clone alone, {} for what both share, and {} for the first "
      "machine alone. Its kernel lists {} pages of the clone's RAM as mapped from what is shared "
      "and {} as its own. Balloon: {}.</p>\n<h2>From linear address to machine</h2>\n",
      kib(report.own_bytes), kib(report.shared_bytes), kib(report.first_bytes),
      report.mapped_shared, report.mapped_own, balloon_text(report));
  body += ways_picture(report).for_page(900) + "<pre>";
  for (const Way& way : ways_of(report)) body += escape(way_text(way)) + "\n";
  body += "</pre>\n" + copies_table(report);
  page.data = memory_as_json(report);
  return html_page(page, company);
}

}  // namespace ringshift::lab
