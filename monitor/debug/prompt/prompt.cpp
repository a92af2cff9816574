#include "monitor/debug/prompt/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "monitor/debug/prompt/commands.h"
#include "monitor/debug/prompt/monitor_commands.h"

namespace ringshift::debug {
namespace {

constexpr uint32_t kLongestWatch = 4096;

constexpr char kControlHelp[] =
    "continue                         the guest goes on, and keys are its again (Ctrl-A c too)\n"
    "step                             one instruction\n"
    "break [ADDRESS]                  stop there; the guest cannot see it\n"
    "watch ADDRESS [LENGTH]           stop after a write to these bytes (4 if left out)\n"
    "delete [ADDRESS]                 forget what is there; all, if left out\n"
    "quit                             end the machine (exit code 8)\n";
constexpr std::array<const char*, 6> kControls = {"continue", "step",   "break",
                                                  "watch",    "delete", "quit"};

// The one of ours that the word begins, or abbreviates like a debugger's: c, s, b.
std::optional<std::string> control_named(const std::string& word) {
  for (const char* name : kControls) {
    if (!word.empty() && std::string(name).starts_with(word)) return name;
  }
  return std::nullopt;
}

std::string where(const DebugTarget& target) {
  const GuestState& state = target.state();
  return fmt::format("{:08x}, CPL {}{}", state.code_address().value(), state.cpl,
                     state.activity == ActivityState::Halted ? ", halted" : "");
}

const char* cause_name(StopCause cause) {
  switch (cause) {
    case StopCause::None:
    case StopCause::Asked:
      return "stopped";
    case StopCause::Step:
      return "step";
    case StopCause::Breakpoint:
    case StopCause::HardwareBreakpoint:
      return "breakpoint";
    case StopCause::TapeBegin:
      return "the beginning of the recording";
    case StopCause::TapeEnd:
      return "the end of the recording";
    case StopCause::Watch:
      return "watched data touched before";
  }
  return "?";
}

}  // namespace

void Prompt::open(DebugTarget& target) {
  print_(
      fmt::format("\n{} at {}\n", cause_name(target.control().last_stop().cause), where(target)));
  editor_.ask();
}

Prompt::Wish Prompt::take(std::span<const uint8_t>* keys, DebugTarget& target, bool may_control) {
  while (!keys->empty()) {
    const uint8_t key = keys->front();
    *keys = keys->subspan(1);
    const Wish wish = take_key(key, target, may_control);
    if (wish != Wish::Stay) return wish;
  }
  return Wish::Stay;
}

Prompt::Wish Prompt::take_key(uint8_t key, DebugTarget& target, bool may_control) {
  const auto complete = [&](const std::string& beginning) {
    std::vector<std::string> words = target.completions(beginning);
    for (const char* name : kControls) {
      const bool is_first = beginning.find(' ') == std::string::npos;
      if (is_first && std::string(name).starts_with(beginning)) words.emplace_back(name);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    return words;
  };
  const std::optional<std::string> line = editor_.take(key, complete);
  if (!line) return Wish::Stay;
  const Wish wish = run_line(*line, target, may_control);
  if (wish == Wish::Stay) editor_.ask();
  return wish;
}

Prompt::Wish Prompt::run_line(const std::string& line, DebugTarget& target, bool may_control) {
  const std::vector<std::string> words = words_of(line);
  if (words.empty()) return Wish::Stay;
  if (std::string("help").starts_with(words[0])) {
    print_(command_help() + monitor_help() + kControlHelp);
    return Wish::Stay;
  }
  if (!control_named(words[0])) {
    print_(target.run_command(line));
    return Wish::Stay;
  }
  if (!may_control) {
    print_("a debugger has the guest; here it can be looked at\n");
    return Wish::Stay;
  }
  return control(words, target);
}

Prompt::Wish Prompt::control(const std::vector<std::string>& words, DebugTarget& target) {
  const std::string name = *control_named(words[0]);
  if (name == "continue") {
    target.control().release();
    target.control().resume();
    return Wish::Leave;
  }
  if (name == "step") {
    target.control().step();
    return Wish::Step;
  }
  if (name == "quit") {
    target.quit();
    return Wish::Leave;
  }
  change_points(words, target);
  return Wish::Stay;
}

void Prompt::change_points(const std::vector<std::string>& words, DebugTarget& target) {
  using Kind = ExecutionControl::BreakpointKind;
  const std::string name = *control_named(words[0]);
  ExecutionControl& points = target.control();
  const GuestState& state = target.state();
  std::optional<uint32_t> asked = state.code_address().value();
  if (words.size() >= 2) asked = address_of_word(words[1]);
  if (!asked || (name == "watch" && words.size() < 2)) return print_("which address?\n");
  const GuestVirtual address(*asked);
  if (name == "break") {
    if (!points.insert_breakpoint(address, Kind::Software)) print_("there are too many\n");
    return;
  }
  if (name == "watch") {
    const std::optional<uint32_t> length =
        words.size() >= 3 ? address_of_word(words[2]) : std::optional<uint32_t>(4);
    if (!length || *length > kLongestWatch ||
        !points.insert_watch({address, *length, WatchKind::Write})) {
      print_("cannot watch that\n");
    }
    return;
  }
  if (words.size() < 2) return points.remove_all();
  points.remove_breakpoint(address, Kind::Software);
  const std::set<WatchedData> watches = points.watches();
  for (const WatchedData& watched : watches) {
    if (watched.address == address) points.remove_watch(watched);
  }
}

}  // namespace ringshift::debug
