#include "monitor/command/reports/test_report.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringshift {
namespace {

// XML 1.0, 2.2: of the characters below a space only tab and the ends of lines may be there. Bytes
// that are not ASCII are left out: the guest's output need not be UTF-8.
std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '&':
        safe += "&amp;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c == '\t' || c == '\n' || (c >= ' ' && c < 0x7f) ? c : '?';
    }
  }
  return safe;
}

double seconds(Nanoseconds time) { return static_cast<double>(time) / 1e9; }

}  // namespace

std::string junit_text(const std::string& suite, const std::vector<TestResult>& results) {
  Nanoseconds all = 0;
  for (const TestResult& one : results) all += one.duration;
  const auto failed = std::count_if(results.begin(), results.end(),
                                    [](const TestResult& one) { return !one.failure.empty(); });
  std::string text = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{:.3f}\">\n",
      escaped(suite), results.size(), failed, seconds(all));
  for (const TestResult& one : results) {
    text += fmt::format("  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3f}\">\n",
                        escaped(suite), escaped(one.name), seconds(one.duration));
    if (!one.failure.empty()) {
      text += fmt::format("    <failure message=\"{}\"/>\n", escaped(one.failure));
    }
    text += fmt::format("    <system-out>{}</system-out>\n  </testcase>\n", escaped(one.output));
  }
  return text + "</testsuite>\n";
}

}  // namespace ringshift
