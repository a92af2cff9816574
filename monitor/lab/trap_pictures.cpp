#include "monitor/lab/trap_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "monitor/lab/parts/effects.h"

namespace ringshift::lab {
namespace {

constexpr double kWidth = 1180, kLeft = 150, kTop = 56, kRow = 40, kLane = 4 * kRow + 56,
                 kName = 22;

// "SGDT: base, from where ..." -> "SGDT"; "PUSH CS (the kernel's is 8)" -> "PUSH CS"
std::string short_name(const std::string& question) {
  std::string out, word;
  for (const char c : question + " ") {
    if (std::isupper(static_cast<unsigned char>(c)) != 0) {
      word += c;
      continue;
    }
    if (word.size() < 2) break;
    out += (out.empty() ? "" : " ") + word;
    word.clear();
    if (c != ' ') break;
  }
  return out;
}

class Lanes {
 public:
  explicit Lanes(const TrapReport& report)
      : report_(report),
        answers_(answers_of(report)),
        columns_(report.runs[0].moments.size()),
        step_((kWidth - kLeft) / static_cast<double>(columns_)),
        out_(kWidth, kTop + 3 * kLane + 20,
             "Three engines as lanes over the program: IF, the ring, the clock and the answers") {}

  Drawing draw() {
    draw_columns();
    for (size_t lane = 0; lane < report_.runs.size(); ++lane) {
      const EngineRun& run = report_.runs[lane];
      const double top = kTop + kLane * static_cast<double>(lane);
      out_.line(0, top - 8, kWidth, top - 8, "line");
      out_.text(0, top + 10, run.engine, "ink", 15, "start", true);
      if (run.moments.size() != columns_) {
        out_.text(kLeft, top + 40, run.end, "faint", 14);
        continue;
      }
      const double rows = top + kName - 8;
      draw_if(run, rows);
      draw_ring(run, rows + kRow);
      draw_clock(run, rows + 2 * kRow);
      draw_answers(lane, rows + 3 * kRow);
    }
    draw_first_wrong();
    return out_;
  }

 private:
  [[nodiscard]] double x(size_t column) const {
    return kLeft + step_ * (static_cast<double>(column) + 0.5);
  }
  [[nodiscard]] const Moment& truth(size_t column) const { return report_.runs[0].moments[column]; }
  [[nodiscard]] static const char* ink(bool right) { return right ? "accent" : "bad"; }

  [[nodiscard]] std::string column_name(size_t column) const {
    static constexpr std::array<const char*, 4> kMarks = {"start", "STI", "POPF", "waited"};
    const Moment& moment = truth(column);
    if (moment.is_mark) return column < kMarks.size() ? kMarks[column] : "mark";
    const size_t answer = answer_of(column);
    return answer < answers_.size() ? short_name(answers_[answer].question) : "";
  }
  // The index of the guest's answer at this moment.
  [[nodiscard]] size_t answer_of(size_t column) const {
    size_t marks = 0;
    for (size_t i = 0; i < column; ++i) marks += truth(i).is_mark ? 1 : 0;
    return column - marks;
  }

  // Behind everything: what is chosen in a page is a column.
  void draw_columns() {
    for (size_t i = 0; i < columns_; ++i) {
      const double left = x(i) - step_ / 2;
      const std::string name = column_name(i);
      out_.begin_link("#now", std::to_string(i), "moment " + std::to_string(i + 1) + ": " + name);
      out_.box({left, 0, step_, kTop + 3 * kLane + 20}, "paper");
      out_.text(x(i), i % 2 == 0 ? 16 : 34, name, "ink", 12, "middle");
      out_.end_link();
    }
  }

  void label(double top, const char* name) { out_.text(56, top + 26, name, "faint"); }

  // A line that is high or low; red where the interpreter's is not.
  void draw_if(const EngineRun& run, double top) {
    out_.begin_group("if");
    label(top, "IF");
    const auto y = [&](bool on) { return on ? top + 12 : top + 30; };
    out_.text(kLeft - 6, top + 16, "on", "faint", 11, "end");
    out_.text(kLeft - 6, top + 34, "off", "faint", 11, "end");
    for (size_t i = 0; i < columns_; ++i) {
      const Moment& moment = run.moments[i];
      const bool right = moment.interrupts_on == truth(i).interrupts_on;
      const double from = x(i), to = i + 1 < columns_ ? x(i + 1) : kWidth;
      out_.line(from, y(moment.interrupts_on), to, y(moment.interrupts_on), ink(right), 3);
      if (i + 1 < columns_ && run.moments[i + 1].interrupts_on != moment.interrupts_on) {
        out_.line(to, y(true), to, y(false), "faint", 2);
      }
      if (moment.is_mark) continue;
      out_.circle(from, y(moment.seen_on), 5, "paper", ink(moment.seen_on == truth(i).seen_on));
    }
    out_.end_group();
  }

  void draw_ring(const EngineRun& run, double top) {
    out_.begin_group("ring");
    label(top, "ring");
    const auto shown = [](const Moment& moment) {
      return moment.is_mark ? moment.ring : moment.seen_ring;
    };
    for (size_t i = 0; i < columns_; ++i) {
      const int ring = shown(run.moments[i]);
      const bool right = ring == shown(truth(i));
      const double height = 6 + 8.0 * ring / 3;
      out_.box({x(i) - step_ / 2, top + 32 - height, step_, height}, right ? "reads" : "badfill");
      out_.text(x(i), top + 14, std::to_string(ring), right ? "ink" : "bad", 13, "middle", !right);
    }
    out_.end_group();
  }

  void draw_clock(const EngineRun& run, double top) {
    out_.begin_group("clock");
    label(top, "clock");
    out_.line(kLeft, top + 24, kWidth, top + 24, "line");
    constexpr uint64_t kMostDots = 5;
    for (size_t i = 1; i < columns_; ++i) {
      const uint64_t ticks = run.moments[i].ticks - run.moments[i - 1].ticks;
      const uint64_t right = truth(i).ticks - truth(i - 1).ticks;
      const bool wrong = (ticks == 0) != (right == 0);
      const uint64_t dots = std::min(ticks, kMostDots);
      for (uint64_t dot = 0; dot < dots; ++dot) {
        const double share = (static_cast<double>(dot) + 1) / (static_cast<double>(dots) + 1);
        out_.circle(x(i - 1) + step_ * share, top + 24, 4.5, wrong ? "bad" : "accent");
      }
      if (ticks != 0) {
        out_.text(x(i) - step_ / 2, top + 14, std::to_string(ticks), wrong ? "bad" : "ink", 12,
                  "middle", wrong);
      }
    }
    out_.end_group();
  }

  void draw_answers(size_t lane, double top) {
    out_.begin_group("answer");
    label(top, "answers");
    for (size_t i = 0; i < columns_; ++i) {
      const size_t answer = answer_of(i);
      if (truth(i).is_mark || answer >= answers_.size()) continue;
      const bool right = answers_[answer].values[lane] == answers_[answer].values[0];
      out_.box({x(i) - 18, top + 8, 36, 20}, right ? "goodfill" : "badfill", right ? "good" : "bad",
               4, answers_[answer].question + " " + answers_[answer].values[lane]);
      out_.text(x(i), top + 22.5, right ? "right" : "no", right ? "good" : "bad", 11, "middle",
                !right);
    }
    out_.end_group();
  }

  // Between the last mark before it and the next.
  void draw_first_wrong() {
    if (!report_.first.found || report_.runs[1].moments.size() != columns_) return;
    size_t column = 0;
    while (column + 1 < columns_ && truth(column + 1).is_mark &&
           truth(column + 1).eip < report_.first.from_eip) {
      ++column;
    }
    const double at = x(column) + step_ / 2, top = kTop + kLane;
    out_.begin_link("#first", "", "the first wrong instruction");
    out_.line(at, top - 6, at, top + kLane - 16, "bad", 2, true);
    const std::string words =
        "first wrong: " + (report_.first.suspects.empty()
                               ? fmt::format("at {:08x}", report_.first.from_eip)
                               : joined(report_.first.suspects, ", "));
    out_.text(at + 8, top + kLane - 16, words, "bad", 13, "start", true);
    out_.end_link();
  }

  const TrapReport& report_;
  const std::vector<Answer> answers_;
  const size_t columns_;
  const double step_;
  Drawing out_;
};

}  // namespace

bool has_lanes(const TrapReport& report) {
  return !report.runs[0].moments.empty() && !answers_of(report).empty();
}

Drawing lanes_picture(const TrapReport& report) { return Lanes(report).draw(); }

Drawing way_picture(const TrapReport& report) {
  constexpr double kWay = kWidth - 200, kHeight = 220;
  Drawing out(kWidth, kHeight, "The way on which trap-and-emulate was right, by instructions");
  const auto last = static_cast<double>(report.figures.instructions);
  const double decades = std::max(1.0, std::ceil(std::log10(last + 2)));
  const auto x = [&](uint64_t instructions) {
    return kLeft + kWay * std::log10(static_cast<double>(instructions) + 1) / decades;
  };
  for (int power = 0; power <= static_cast<int>(decades); ++power) {
    const double at = kLeft + kWay * power / decades;
    out.line(at, 26, at, 176, "line");
    out.text(at, 18, power == 0 ? "1" : fmt::format("10^{}", power), "faint", 12, "middle");
  }
  out.text(0, 18, "instruction", "faint", 12);
  out.text(0, 58, "IF", "ink", 14);
  out.text(0, 102, "ring", "ink", 14);
  out.text(0, 146, "interrupts", "ink", 14);
  for (size_t i = 0; i < report.way.size(); ++i) {
    const WayPoint& point = report.way[i];
    const double from = x(point.instructions);
    const double to =
        x(i + 1 < report.way.size() ? report.way[i + 1].instructions : report.figures.instructions);
    if (to - from < 0.05 && point.interrupts == 0) continue;
    if (point.interrupts_on) out.box({from, 42, to - from, 22}, "writes");
    out.box({from, 98.0 - 4.0 * point.ring, to - from, 6 + 4.0 * point.ring}, "reads");
    if (i > 0 && point.interrupts != report.way[i - 1].interrupts) {
      out.circle(from, 142, 4.5, "accent");
    }
  }
  out.line(kLeft, 64, kLeft + kWay, 64, "line");
  out.line(kLeft, 104, kLeft + kWay, 104, "line");
  out.line(kLeft, 142, kLeft + kWay, 142, "line");
  if (!report.first.found) {
    const double at = x(report.figures.instructions);
    out.line(at, 30, at, 176, "good", 2);
    out.text(std::min(at, kWidth - 10), 206,
             fmt::format("never wrong in {} instructions", report.figures.instructions), "good", 14,
             "end", true);
    return out;
  }
  const double at = x(report.first.instruction);
  out.line(at, 30, at, 186, "bad", 3);
  out.text(
      at + 6, 206,
      fmt::format("right for {}; wrong: {}", report.first.instruction,
                  report.first.suspects.empty() ? fmt::format("after {:08x}", report.first.from_eip)
                                                : joined(report.first.suspects, ", ")),
      "bad", 14, at > kWidth * 0.55 ? "end" : "start", true);
  return out;
}

}  // namespace ringshift::lab
