#include "monitor/lab/all.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "monitor/lab/census/census.h"
#include "monitor/lab/clocks/clocks.h"
#include "monitor/lab/explorer/explorer.h"
#include "monitor/lab/machine_memory.h"
#include "monitor/lab/matrix/matrix_report.h"
#include "monitor/lab/paging.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/progress.h"
#include "monitor/lab/three.h"
#include "monitor/lab/trap.h"
#include "monitor/lab/ways/ways.h"

namespace ringshift::lab {
namespace {

constexpr char kOwnGuest[] = "a guest that comes with ringshift";
constexpr double kMostImageSeconds = 5;

struct Chapter {
  std::string name;      // of the page
  const char* question;  // that it answers
  std::string finding, page;
  std::vector<Picture> pictures;
};

bool matrix_chapter(const AllRequest&, Chapter* out, std::string*) {
  const Matrix matrix = measure_matrix();
  *out = {"matrix", "May a monitor just wait for traps?", matrix_finding(matrix),
          matrix_as_html(matrix, Company::Folder), matrix_pictures(matrix)};
  return true;
}

bool trap_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  TrapReport report;
  report.image = kOwnGuest;
  if (!compare_engines(request.sensitive, request.seconds, &report, error)) return false;
  *out = {"trap", "What becomes of a guest if one does?", trap_finding(report),
          trap_as_html(report, Company::Folder), trap_pictures(report)};
  return true;
}

bool census_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  Census census;
  census.path = request.image.boot.kernel_path;
  const std::unique_ptr<CensusImage> image = CensusImage::open(census.path, error);
  if (image == nullptr) return false;
  census.path = request.image_name;
  census.kind = image->kind();
  census.remark = image->remark();
  count_image(*image, &census);
  const double seconds = std::min(request.seconds, kMostImageSeconds);
  if (image->can_boot() && !census_run(request.image, seconds, &census, error)) return false;
  *out = {"census", "How many such instructions are there in a kernel?", census_finding(census),
          census_as_html(census, Company::Folder), census_pictures(census)};
  return true;
}

bool three_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  ThreeReport report;
  report.image = kOwnGuest;
  LockstepOptions options;
  options.seconds = request.seconds;
  if (!measure_three(request.working, options, &report, error) ||
      !measure_neighbours(request.working, &report.neighbours, error)) {
    return false;
  }
  *out = {"three", "Is a translating monitor what the theorem asks for?", three_finding(report),
          three_as_html(report, Company::Folder), three_pictures(report)};
  return true;
}

bool paging_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  PagingReport report;
  report.image = kOwnGuest;
  if (!watch_paging(request.paging, request.seconds, &report, error)) return false;
  *out = {"paging", "Whose page tables does the processor use?", paging_finding(report),
          paging_as_html(report, Company::Folder), paging_pictures(report)};
  return true;
}

bool memory_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  MemoryReport report;
  report.image = kOwnGuest;
  if (!watch_memory(request.memory, request.seconds, &report, error)) return false;
  *out = {"memory", "Whose memory is behind a physical page?", memory_finding(report),
          memory_as_html(report, Company::Folder), memory_pictures(report)};
  return true;
}

bool time_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  ClocksReport report;
  if (!compare_clocks(request.ticking, &report, error)) return false;
  *out = {"time", "What time is it for a guest that does not always run?", clocks_finding(report),
          clocks_as_html(report, Company::Folder), clocks_pictures(report)};
  return true;
}

bool translate_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  Exploration exploration;
  exploration.image = request.image_name;
  ExploreOptions options;
  options.run_seconds = std::min(request.seconds, kMostImageSeconds);
  if (!explore(request.image, options, &exploration, error)) return false;
  *out = {"translate", "What does the translator make of a kernel's code?",
          exploration_finding(exploration), exploration_as_html(exploration, Company::Folder),
          exploration_pictures(exploration)};
  return true;
}

bool paravirt_chapter(const AllRequest& request, Chapter* out, std::string* error) {
  WaysReport report;
  if (!measure_ways(request.bare, request.seconds, &report, error)) return false;
  *out = {"paravirt", "Which ways past it are there, and what does each cost?",
          ways_finding(report), ways_as_html(report, Company::Folder), ways_pictures(report)};
  return true;
}

using MakeChapter = bool (*)(const AllRequest&, Chapter*, std::string*);
constexpr std::array<std::pair<const char*, MakeChapter>, 9> kChapters = {{
    {"matrix", matrix_chapter},
    {"trap", trap_chapter},
    {"census", census_chapter},
    {"three", three_chapter},
    {"paging", paging_chapter},
    {"memory", memory_chapter},
    {"time", time_chapter},
    {"translate", translate_chapter},
    {"paravirt", paravirt_chapter},
}};

std::string picture_links(const Chapter& chapter) {
  std::string out;
  for (const Picture& picture : chapter.pictures) {
    out += fmt::format("{}<a href=\"{}.svg\">{}.svg</a>", out.empty() ? "for slides: " : ", ",
                       picture.name, picture.name);
  }
  return out;
}

std::string index_page(const std::vector<Chapter>& chapters) {
  Page page;
  page.name = "index";
  page.title = "Why classic x86 could not be virtualized by trapping, and how it was";
  page.introduction =
      "<p>A monitor runs a kernel without its privileges. If every instruction that matters traps, "
      "the monitor sees each of them and can pretend. Popek and Goldberg proved in 1974 that this "
      "is enough. x86 was not made that way. These pages measure, on the machine they were made "
      "on, what goes wrong, and what translation does about it.</p>\n";
  page.body = "<ol class=\"story\">\n";
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  int number = 0;
  for (const Chapter& chapter : chapters) {
    page.body += fmt::format("<li><h2><a href=\"{}.html\">{}. {}</a></h2>\n<p>{}</p>\n",
                             chapter.name, ++number, chapter.question, escape(chapter.finding));
    if (!chapter.pictures.empty()) {
      page.body += chapter.pictures.front().drawing.for_preview(chapter.name + ".html");
    }
    page.body += fmt::format("<p class=\"faint\">{}</p></li>\n", picture_links(chapter));
    data.push_back({{"page", chapter.name}, {"finding", chapter.finding}});
  }
  page.body += "</ol>\n";
  page.data = data.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  return html_page(page, Company::Folder);
}

bool write_chapter(const std::string& folder, const Chapter& chapter, std::string* error) {
  if (!write_page(folder + "/" + chapter.name + ".html", chapter.page, error)) return false;
  for (const Picture& picture : chapter.pictures) {
    const std::string path = folder + "/" + picture.name + ".svg";
    if (!write_page(path, picture.drawing.for_file(), error)) return false;
  }
  return true;
}

}  // namespace

bool write_all(const AllRequest& request, std::string* error) {
  std::error_code problem;
  std::filesystem::create_directories(request.folder, problem);
  if (problem) {
    *error = "cannot make " + request.folder + ": " + problem.message();
    return false;
  }
  std::vector<Chapter> chapters;
  for (const auto& [name, make] : kChapters) {
    std::fprintf(stderr, "ringshift: lab %s ...\n", name);
    note_step(name);
    Chapter chapter;
    if (!make(request, &chapter, error)) return false;
    if (!write_chapter(request.folder, chapter, error)) return false;
    chapters.push_back(std::move(chapter));
  }
  return write_page(request.folder + "/index.html", index_page(chapters), error);
}

}  // namespace ringshift::lab
