#include "monitor/lab/parts/html.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "monitor/lab/parts/page_texts.h"

namespace ringshift::lab {
namespace {

constexpr std::array<PageName, 10> kPages = {{{"index", "The story"},
                                              {"matrix", "The condition"},
                                              {"trap", "Trap and emulate"},
                                              {"census", "How many there are"},
                                              {"three", "Three properties"},
                                              {"paging", "Shadow page tables"},
                                              {"memory", "Machine memory"},
                                              {"time", "Whose time it is"},
                                              {"translate", "What the translator makes"},
                                              {"paravirt", "The ways past the theorem"}}};

// JSON in a script element: nothing in it may end the element.
std::string json_for_page(std::string_view json) {
  std::string out;
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

std::string link_to(const PageName& page, std::string_view text) {
  return std::string("<a href=\"") + page.name + ".html\">" + escape(text) + "</a>";
}

std::string navigation(std::string_view current) {
  std::string out = "<nav aria-label=\"the laboratory\">";
  for (const PageName& page : kPages) {
    std::string link = link_to(page, page.title);
    if (page.name == current) link.insert(2, " aria-current=\"page\"");
    out += link;
  }
  return out + "</nav>\n";
}

std::string way_on(std::string_view current) {
  const auto* found = std::find_if(kPages.begin(), kPages.end(),
                                   [&](const PageName& page) { return page.name == current; });
  std::string out = "<nav class=\"next\" aria-label=\"the story\">";
  if (found != kPages.begin() && found != kPages.end()) {
    const PageName& before = *std::prev(found);
    out += link_to(before, std::string("\u2190 ") + before.title);
  }
  if (found != kPages.end() && std::next(found) != kPages.end()) {
    const PageName& after = *std::next(found);
    out += link_to(after, std::string(after.title) + " \u2192");
  }
  return out + "</nav>\n";
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // Control characters have no place in a page, no matter whose text it is.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return out;
}

std::span<const PageName> page_names() { return kPages; }

std::string html_page(const Page& page, Company company) {
  const std::string title = escape(page.title);
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  // The page itself forbids the acts that it promises not to do.
  out +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  out += title + "</title>\n<style>\n";
  out += page_style();
  out += "</style>\n</head>\n<body>\n";
  if (company == Company::Folder) out += navigation(page.name);
  out += "<h1>" + title + "</h1>\n" + page.introduction + page.body;
  if (company == Company::Folder) out += way_on(page.name);
  out += "<script type=\"application/json\" id=\"data\">\n" + json_for_page(page.data);
  out += "</script>\n<script>\n";
  out += common_script();
  out += page.script;
  return out + "</script>\n</body>\n</html>\n";
}

bool write_page(const std::string& path, const std::string& page, std::string* error) {
  std::ofstream file(path, std::ios::binary);
  file << page;
  file.close();
  if (file) return true;
  *error = "cannot write " + path + ": " + std::strerror(errno);
  return false;
}

}  // namespace ringshift::lab
