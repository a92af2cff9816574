#include "monitor/lab/parts/html.h"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace ringshift::lab {
namespace {

constexpr char kStyle[] = R"(
:root { color-scheme: light dark; --ink: #1c1f24; --paper: #fdfdfc; --faint: #667080;
  --line: #d9dce1; --band: #f2f3f5; --good: #1a7f4b; --bad: #b3261e; --warn: #8a5a00;
  --accent: #2457a6; --reads: #cfdff7; --writes: #84abe9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #15171a; --faint: #98a1ae;
  --line: #343941; --band: #1e2126; --good: #57c88b; --bad: #ff8a80; --warn: #e0b050;
  --accent: #8ab4f8; --reads: #22344f; --writes: #2f5fa8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 1.8rem 0 .5rem; }
p { max-width: 60rem; } .faint { color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem;
  border-bottom: 1px solid var(--line); }
th { background: var(--band); white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font: 12px/1.45 ui-monospace, monospace; }
pre { background: var(--band); padding: .6rem; overflow-x: auto; margin: .4rem 0; }
summary { cursor: pointer; color: var(--accent); }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem; }
.card b { display: block; font-size: 1.4rem; }
svg text { fill: var(--ink); font: 11px ui-monospace, monospace; }
)";

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
        // Control characters have no place in a page, whoever wrote them.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
    }
  }
  return out;
}

std::string html_page(std::string_view title, std::string_view introduction,
                      std::string_view body) {
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";
  page += escape(title);
  page += "</title>\n<style>";
  page += kStyle;
  page += "</style>\n</head>\n<body>\n<h1>";
  page += escape(title);
  page += "</h1>\n";
  page += introduction;
  page += body;
  page += "</body>\n</html>\n";
  return page;
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
