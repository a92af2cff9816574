#include <fmt/format.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "monitor/lab/explorer/explorer.h"
#include "monitor/lab/parts/page_texts.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/parts/sensitive.h"

namespace ringshift::lab {
namespace {

// By treatment: the same colours as the shares of a run.
constexpr std::array<const char*, kTreatments> kColours = {"goodfill", "reads",   "writes", "held",
                                                           "warnfill", "badfill", "badfill"};

bool has_run(const Exploration& exploration) { return !exploration.end.empty(); }

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

const char* ring_name(const ExploredBlock& block) {
  return block.unit.key.privilege == Privilege::User ? "user" : "kernel";
}

std::string block_title(const ExploredBlock& block) {
  std::string text = fmt::format("{:08x} {}", block.unit.key.eip.value(), ring_name(block));
  return block.landmark.empty() ? text : text + ", " + block.landmark;
}

// Cycles of the host's time-stamp counter, as the samples tell; empty without samples, since zero
// would say nothing.
std::string cycles_text(const Exploration& exploration, uint64_t samples) {
  if (samples == 0) return "";
  return fmt::format("{:.0f}", static_cast<double>(samples) * exploration.samples.cycles_each());
}

constexpr char kUncertain[] =
    "A number from few samples is uncertain by about the root of their number, and the instruction "
    "that took the time may be the one before.";

std::string sampling_text(const Exploration& exploration) {
  const Samples& samples = exploration.samples;
  if (samples.all == 0) return "";
  if (samples.runs == 0) {
    return fmt::format(
        "Cycles: looked at once in {:.0f} cycles while it was followed, so with colder caches than "
        "alone; {} times it was in translated code, {} times in what all of that shares (soft "
        "accesses, the jump table). {}",
        samples.cycles_each(), samples.in_code, samples.in_stubs, kUncertain);
  }
  return fmt::format(
      "Cycles: run {} more times without being followed, looked at {} times, once in {:.0f} "
      "cycles; "
      "{:.1f} % in translated code, {:.1f} % in what all of it shares (soft accesses, the jump "
      "table), {:.1f} % outside (interpreter, devices, translating), {:.1f} % not told. {}",
      samples.runs, samples.all, samples.cycles_each(), percent(samples.in_code, samples.all),
      percent(samples.in_stubs, samples.all), percent(samples.outside, samples.all),
      percent(samples.untold, samples.all), kUncertain);
}

std::string count_text(const Exploration& exploration, const ExploredBlock& block) {
  if (!has_run(exploration)) {
    return fmt::format("{} guest instructions, {} host instructions",
                       block.unit.instructions.size(), block.unit.hot);
  }
  std::string text = fmt::format(
      "entered {} times; {} executed here and in no hotter block, {:.2f} % of the run; {} guest "
      "instructions became {}",
      block.entered, block.executed_in_all(),
      percent(block.executed_in_all(), exploration.instructions), block.unit.instructions.size(),
      block.unit.hot);
  if (exploration.samples.of_guest() != 0) {
    text += fmt::format("; {:.2f} % of the cycles ({} samples)",
                        percent(block.sampled_in_all(), exploration.samples.of_guest()),
                        block.sampled_in_all());
  }
  return text;
}

std::string weight_text(const Exploration& exploration, const ExploredBlock& block) {
  if (!has_run(exploration)) return fmt::format("{} host", block.unit.hot);
  std::string text =
      fmt::format("{:.2f} %", percent(block.executed_in_all(), exploration.instructions));
  if (exploration.samples.of_guest() != 0) {
    text += fmt::format(", {:.2f} % of cycles",
                        percent(block.sampled_in_all(), exploration.samples.of_guest()));
  }
  return text;
}

Drawing hot_picture(const Exploration& exploration) {
  constexpr double kWidth = 1000, kLeft = 370, kRow = 24;
  constexpr size_t kMost = 24;
  const size_t rows = std::min(exploration.blocks.size(), kMost);
  Drawing out(kWidth, 66 + kRow * static_cast<double>(rows),
              "Blocks of guest code, the share of the run in each, coloured by treatment");
  double key = 0;
  for (size_t i = 0; i < kTreatments; ++i) {
    const auto treatment = static_cast<Treatment>(i);
    out.box({key, 4, 16, 14}, kColours[i], treatment == Treatment::Interpret ? "bad" : "line");
    out.text(key + 22, 16, treatment_name(treatment), "ink", 12);
    key += 142;
  }
  double most = 1;
  for (const ExploredBlock& block : exploration.blocks) {
    most = std::max(
        most, static_cast<double>(has_run(exploration) ? block.executed_in_all() : block.unit.hot));
  }
  for (size_t row = 0; row < rows; ++row) {
    const ExploredBlock& block = exploration.blocks[row];
    const double y = 40 + kRow * static_cast<double>(row);
    out.begin_link("#" + block.id, block.id, block_title(block));
    out.text(kLeft - 10, y + 14, block_title(block), "accent", 13, "end");
    double x = kLeft;
    for (size_t i = 0; i < block.unit.instructions.size(); ++i) {
      const DumpedInstruction& instruction = block.unit.instructions[i];
      if (has_run(exploration) && block.is_shared[i]) continue;
      const auto weight =
          static_cast<double>(has_run(exploration) ? block.executed[i] : instruction.host.size());
      const double width = (kWidth - kLeft - 230) * weight / most;
      const auto place = static_cast<size_t>(instruction.treatment);
      out.box({x, y, width, kRow - 5}, kColours[place],
              instruction.treatment == Treatment::Interpret ? "bad" : "line", 0, instruction.text);
      x += width;
    }
    out.text(x + 8, y + 14, weight_text(exploration, block), "faint");
    out.end_link();
  }
  return out;
}

// A line of host code; the place a link leads to is one on this page, if it is here.
std::string host_line(const Exploration& exploration, const ExploredBlock& block,
                      const std::string& line) {
  const size_t link = line.rfind("(0x");
  if (line.find("-> link") == std::string::npos || link == std::string::npos) return escape(line);
  const Eip eip(static_cast<uint32_t>(std::stoul(line.substr(link + 3), nullptr, 16)));
  for (const ExploredBlock& other : exploration.blocks) {
    if (other.unit.key.eip != eip || other.unit.key.privilege != block.unit.key.privilege) continue;
    const size_t end = line.find(')', link) + 1;
    return fmt::format("{}<a href=\"#{}\">{}</a>{}", escape(line.substr(0, link)), other.id,
                       escape(line.substr(link, end - link)), escape(line.substr(end)));
  }
  return escape(line);
}

std::string host_lines(const Exploration& exploration, const ExploredBlock& block,
                       const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += host_line(exploration, block, line) + "\n";
  return out;
}

std::string block_section(const Exploration& exploration, const ExploredBlock& block) {
  std::string out = fmt::format(
      "<section class=\"panel block\" id=\"{}\">\n<h2>{}</h2>\n<p class=\"faint\">{}</p>\n"
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"code\">\n<tr><th>guest</th>"
      "<th class=\"n\">executed</th><th class=\"n\">cycles, "
      "sampled</th><th>host</th>"
      "</tr>\n",
      block.id, escape(block_title(block)), escape(count_text(exploration, block)));
  for (size_t i = 0; i < block.unit.instructions.size(); ++i) {
    const DumpedInstruction& guest = block.unit.instructions[i];
    const char* treatment = treatment_name(guest.treatment);
    out += fmt::format(
        "<tr class=\"t-{}\"><td><code>{:08x}  <b>{}</b><br><span class=\"faint\">{}</span></code>"
        "<br>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td><pre>{}</pre></td></tr>\n",
        treatment, guest.eip.value(), escape(guest.text), escape(guest.bytes), treatment,
        has_run(exploration) ? std::to_string(block.executed[i]) : "",
        cycles_text(exploration, block.sampled[i]), host_lines(exploration, block, guest.host));
  }
  out += fmt::format(
      "</table></div>\n<details><summary>entry and exits</summary><pre tabindex=\"0\">{}\n{}</pre>"
      "</details>\n</section>\n",
      host_lines(exploration, block, block.unit.entry),
      host_lines(exploration, block, block.unit.exits));
  return out;
}

nlohmann::ordered_json block_json(const Exploration& exploration, const ExploredBlock& block) {
  nlohmann::ordered_json out = {
      {"eip", block.unit.key.eip.value()},
      {"ring", ring_name(block)},
      {"landmark", block.landmark},
      {"entered", block.entered},
      {"executed", block.executed_in_all()},
      {"share", percent(block.executed_in_all(), exploration.instructions)},
      {"samples", block.sampled_in_all()},
      {"cycles_share", percent(block.sampled_in_all(), exploration.samples.of_guest())},
      {"host_instructions", block.unit.hot},
      {"exit_instructions", block.unit.cold},
      {"links", nlohmann::ordered_json::array()}};
  for (const Eip link : block.unit.links) out["links"].push_back(link.value());
  out["instructions"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < block.unit.instructions.size(); ++i) {
    const DumpedInstruction& guest = block.unit.instructions[i];
    out["instructions"].push_back({{"eip", guest.eip.value()},
                                   {"bytes", guest.bytes},
                                   {"text", guest.text},
                                   {"treatment", treatment_name(guest.treatment)},
                                   {"executed", block.executed[i]},
                                   {"samples", block.sampled[i]},
                                   {"in_hotter_block", static_cast<bool>(block.is_shared[i])},
                                   {"host", guest.host}});
  }
  return out;
}

// Links to the blocks that a reader may want to see first.
std::string examples(const Exploration& exploration) {
  std::string links;
  for (const ExploredBlock& block : exploration.blocks) {
    if (block.landmark.empty()) continue;
    links += fmt::format("{}<a href=\"#{}\">{}</a>", links.empty() ? "" : ", ", block.id,
                         escape(block.landmark));
  }
  return links.empty() ? "" : "<p>Examples: " + links + ".</p>\n";
}

constexpr char kWords[] =
    "<p>Each row is a guest instruction and the host code that stands for it. <b>identical</b>: "
    "the "
    "instruction itself; <b>memory</b>: its address adapted to where guest memory is; branches: "
    "their destination adapted; <b>inline</b>: a few instructions on virtual state; "
    "<b>callout</b>, "
    "<b>interpret</b>: the interpreter. A link that has been executed once jumps straight to the "
    "next block; follow it by a click.</p>\n"
    "<div class=\"controls needs-script\"><button id=\"before\" aria-label=\"the block before\">"
    "\u2190</button><button id=\"after\" aria-label=\"the block after\">\u2192</button>"
    "<span id=\"place\" class=\"faint\"></span><button id=\"every\" aria-pressed=\"false\">"
    "show all</button></div>\n";

}  // namespace

std::string exploration_finding(const Exploration& exploration) {
  uint64_t guest = 0, host = 0, executed = 0;
  for (const ExploredBlock& block : exploration.blocks) {
    guest += block.unit.instructions.size();
    host += block.unit.hot;
    executed += block.executed_in_all();
  }
  std::string text = fmt::format("{} blocks: {} guest instructions became {} host instructions.",
                                 exploration.blocks.size(), guest, host);
  if (has_run(exploration)) {
    text += fmt::format(" {:.1f} % of the {} instructions counted were executed in them.",
                        percent(executed, exploration.instructions), exploration.instructions);
  }
  return text;
}

std::string exploration_as_text(const Exploration& exploration) {
  std::string out = exploration.image;
  if (has_run(exploration)) {
    out += fmt::format(": the guest {}; {} instructions counted in {}{}", exploration.end,
                       exploration.instructions, duration_text(exploration.seconds),
                       exploration.time_was_up ? "; then time was up" : "");
  }
  out += "\n" + exploration_finding(exploration) + "\n";
  if (exploration.samples.of_guest() != 0) out += sampling_text(exploration) + "\n";
  if (!exploration.difference.empty()) {
    out += "the run and the interpreter parted: " + exploration.difference + "\n";
  }
  for (const ExploredBlock& block : exploration.blocks) {
    out += fmt::format("\n== {}: {}\n{}", block_title(block), count_text(exploration, block),
                       dump_text(block.unit));
  }
  return out;
}

std::string exploration_as_json(const Exploration& exploration) {
  nlohmann::ordered_json out;
  out["image"] = exploration.image;
  out["run"] = has_run(exploration);
  out["end"] = exploration.end;
  out["instructions"] = exploration.instructions;
  out["seconds"] = exploration.seconds;
  out["time_was_up"] = exploration.time_was_up;
  out["difference"] = exploration.difference;
  const Samples& samples = exploration.samples;
  out["sampling"] = {{"runs", samples.runs},       {"samples", samples.all},
                     {"in_code", samples.in_code}, {"in_stubs", samples.in_stubs},
                     {"outside", samples.outside}, {"untold", samples.untold},
                     {"cycles", samples.cycles},   {"cycles_each", samples.cycles_each()}};
  out["blocks"] = nlohmann::ordered_json::array();
  for (const ExploredBlock& block : exploration.blocks) {
    out["blocks"].push_back(block_json(exploration, block));
  }
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::vector<Picture> exploration_pictures(const Exploration& exploration) {
  return {{"translate-blocks", hot_picture(exploration)}};
}

std::string exploration_as_html(const Exploration& exploration, Company company) {
  Page page;
  page.name = "translate";
  page.title = "What the translator makes of it";
  page.introduction =
      fmt::format("<p class=\"lead\">{}</p>\n<p class=\"faint\">{}{}</p>\n",
                  escape(exploration_finding(exploration)), escape(exploration.image),
                  has_run(exploration) ? escape(": the guest " + exploration.end) : ", not run");
  if (exploration.samples.of_guest() != 0) {
    page.introduction +=
        fmt::format("<p class=\"faint\">{}</p>\n", escape(sampling_text(exploration)));
  }
  page.introduction += examples(exploration);
  page.body = hot_picture(exploration).for_page(820);
  page.body += kWords;
  for (const ExploredBlock& block : exploration.blocks) {
    page.body += block_section(exploration, block);
  }
  page.data = exploration_as_json(exploration);
  page.script = translate_script();
  return html_page(page, company);
}

}  // namespace ringshift::lab
