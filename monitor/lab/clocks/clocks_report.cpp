#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "monitor/lab/clocks/clocks.h"

namespace ringshift::lab {
namespace {

// In tenths; never a negative zero.
double milliseconds(Nanoseconds time) {
  return std::round(static_cast<double>(time) / 1e5) / 10 + 0.0;
}

const ClockSample& last_of(const ClockRun& run) { return run.samples.back(); }

// How far behind the host's clock it ends.
double clock_behind(const ClockRun& run) {
  return milliseconds(last_of(run).host - last_of(run).clock);
}
double ticks_behind(const ClockRun& run) {
  return milliseconds(last_of(run).host - last_of(run).ticks);
}

const char* meaning_of(const std::string& policy) {
  if (policy == "usual") return "a stop is left out; up to a second of late ticks is made up";
  if (policy == "real") return "time passes in a stop; late ticks are all made up";
  if (policy == "lazy") return "time passes in a stop; late ticks are dropped";
  return "half the host's time, by every clock";
}

constexpr double kPanelWidth = 560, kPanelHeight = 350, kLeft = 56, kTop = 60, kBottom = 36;

// One policy's panel: the host's clock to the right, the guest's clocks upwards.
class Panel {
 public:
  Panel(Drawing* out, const ClocksReport& report, double x, double y)
      : out_(*out), report_(report), x_(x), y_(y) {}

  void draw(const ClockRun& run) {
    out_.text(x_ + kLeft, y_ + 18, "--time " + run.policy, "ink", 15, "start", true);
    out_.text(x_ + kLeft, y_ + 38, meaning_of(run.policy), "faint", 12);
    shade(report_.stall_begin, report_.stall_end, "warnfill", "not run");
    shade(report_.stop_begin, report_.stop_end, "held", "stopped");
    for (int tenths = 0; tenths <= 20; tenths += 5) axis(tenths);
    out_.line(at_host(0), at_guest(0), at_host(report_.end), at_guest(report_.end), "faint", 1,
              true);
    curve(run, &ClockSample::ticks, "bad", 4);
    curve(run, &ClockSample::clock, "accent", 2);
  }

 private:
  [[nodiscard]] double share(Nanoseconds time) const {
    return std::clamp(static_cast<double>(time) / static_cast<double>(report_.end), 0.0, 1.05);
  }
  [[nodiscard]] double at_host(Nanoseconds time) const {
    return x_ + kLeft + share(time) * (kPanelWidth - kLeft - 40);
  }
  [[nodiscard]] double at_guest(Nanoseconds time) const {
    return y_ + kPanelHeight - kBottom - share(time) * (kPanelHeight - kTop - kBottom - 12);
  }
  void shade(Nanoseconds from, Nanoseconds to, const char* fill, const char* words) {
    const double left = at_host(from), width = at_host(to) - left;
    out_.box({left, y_ + kTop, width, kPanelHeight - kTop - kBottom}, fill);
    out_.text(left + width / 2, y_ + kTop + 14, words, "ink", 11, "middle");
  }
  void axis(int tenths) {
    const Nanoseconds time = Nanoseconds{tenths} * 100'000'000;
    const std::string name = fmt::format("{:.1f} s", tenths / 10.0);
    out_.line(at_host(0), at_guest(time), at_host(report_.end), at_guest(time), "line");
    out_.text(at_host(0) - 6, at_guest(time) + 4, name, "faint", 11, "end");
    out_.text(at_host(time), at_guest(0) + 18, name, "faint", 11, "middle");
  }
  void curve(const ClockRun& run, Nanoseconds ClockSample::*which, const char* colour,
             double width) {
    for (size_t i = 1; i < run.samples.size(); ++i) {
      const ClockSample& from = run.samples[i - 1];
      const ClockSample& to = run.samples[i];
      out_.line(at_host(from.host), at_guest(from.*which), at_host(to.host), at_guest(to.*which),
                colour, width);
    }
  }

  Drawing& out_;
  const ClocksReport& report_;
  double x_, y_;
};

Drawing curves_picture(const ClocksReport& report) {
  constexpr double kLegend = 34;
  const size_t pairs = (report.runs.size() + 1) / 2;
  const auto rows = static_cast<double>(pairs);
  Drawing out(2 * kPanelWidth, kLegend + rows * kPanelHeight,
              "The guest's clock and the time of the ticks it has counted, over the host's clock, "
              "under each policy of time");
  out.line(10, 16, 50, 16, "accent", 2);
  out.text(58, 21, "the clock it is told");
  out.line(250, 16, 290, 16, "bad", 4);
  out.text(298, 21, "the ticks it has counted");
  out.line(520, 16, 560, 16, "faint", 1, true);
  out.text(568, 21, "the host's clock");
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const double x = kPanelWidth * static_cast<double>(i % 2);
    const size_t row = i / 2;
    const double y = kLegend + kPanelHeight * static_cast<double>(row);
    Panel(&out, report, x, y).draw(report.runs[i]);
  }
  return out;
}

std::string table_of(const ClocksReport& report) {
  std::string out =
      "<div class=\"scroll\" tabindex=\"0\"><table>\n<tr><th>--time</th><th>what it means</th>"
      "<th class=\"n\">clock behind the host's, ms</th><th class=\"n\">ticks behind, "
      "ms</th></tr>\n";
  for (const ClockRun& run : report.runs) {
    out += fmt::format(
        "<tr><td><code>{}</code></td><td>{}</td><td class=\"n\">{:.1f}</td><td "
        "class=\"n\">{:.1f}</td></tr>\n",
        escape(run.policy), meaning_of(run.policy), clock_behind(run), ticks_behind(run));
  }
  return out + "</table></div>\n";
}

std::string course_of(const ClocksReport& report) {
  return fmt::format(
      "{:.1f} s of the host's time; the host does not run the guest for {:.0f} ms, and later the "
      "guest is stopped for {:.0f} ms",
      static_cast<double>(report.end) / 1e9, milliseconds(report.stall_end - report.stall_begin),
      milliseconds(report.stop_end - report.stop_begin));
}

}  // namespace

std::string clocks_finding(const ClocksReport& report) {
  std::string out = "In the end, clock and ticks are behind the host's by";
  for (const ClockRun& run : report.runs) {
    out += fmt::format("{} {} and {} ms under {}", &run == report.runs.data() ? "" : ",",
                       std::lround(clock_behind(run)), std::lround(ticks_behind(run)), run.policy);
  }
  return out + ".";
}

std::string clocks_as_text(const ClocksReport& report) {
  std::string out = course_of(report) + "\n\n";
  out += fmt::format("{:<12} {:>18} {:>18}\n", "--time", "clock behind, ms", "ticks behind, ms");
  for (const ClockRun& run : report.runs) {
    out += fmt::format("{:<12} {:>18.1f} {:>18.1f}  {}\n", run.policy, clock_behind(run),
                       ticks_behind(run), meaning_of(run.policy));
  }
  return out;
}

std::string clocks_as_json(const ClocksReport& report) {
  nlohmann::ordered_json out;
  out["not_run"] = {report.stall_begin, report.stall_end};
  out["stopped"] = {report.stop_begin, report.stop_end};
  out["end"] = report.end;
  out["runs"] = nlohmann::ordered_json::array();
  for (const ClockRun& run : report.runs) {
    nlohmann::ordered_json samples = nlohmann::ordered_json::array();
    for (const ClockSample& sample : run.samples) {
      samples.push_back({sample.host, sample.clock, sample.stamp, sample.ticks});
    }
    out["runs"].push_back({{"time", run.policy},
                           {"clock_behind_ms", clock_behind(run)},
                           {"ticks_behind_ms", ticks_behind(run)},
                           {"columns", {"host", "clock", "time_stamp", "ticks"}},
                           {"samples", samples}});
  }
  return out.dump() + "\n";
}

std::vector<Picture> clocks_pictures(const ClocksReport& report) {
  return {{"time-curves", curves_picture(report)}};
}

std::string clocks_as_html(const ClocksReport& report, Company company) {
  Page page;
  page.name = "time";
  page.title = "Whose time it is";
  page.introduction = fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}.</p>\n",
                                  escape(clocks_finding(report)), escape(course_of(report)));
  page.body =
      "<p>A guest learns the time in two ways. It reads a clock: a counter, the calendar, or what "
      "its monitor tells it. Or it counts the ticks of a timer. A processor that is taken away "
      "makes ticks late; a stop takes the time itself away. What the guest is to believe then is "
      "a choice, and no choice is right for all guests: who counts ticks wants all of them, who "
      "reads a clock wants none of those that are late.</p>\n";
  page.body += curves_picture(report).for_page(760) + table_of(report);
  page.data = clocks_as_json(report);
  return html_page(page, company);
}

}  // namespace ringshift::lab
