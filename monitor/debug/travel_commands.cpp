#include "monitor/debug/travel_commands.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <vector>

#include "monitor/debug/prompt/commands.h"

namespace ringshift::debug {
namespace {

std::optional<uint64_t> events_of(const std::string& word) {
  if (word == "begin") return 0;
  if (word == "end") return std::numeric_limits<uint64_t>::max();
  uint64_t events = 0;
  const char* const end = word.data() + word.size();
  const auto result = std::from_chars(word.data(), end, events);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return events;
}

std::string go_to(Machine& machine, const std::vector<std::string>& words) {
  if (words.size() != 2) return "goto: a count of events, begin or end\n";
  const std::optional<uint64_t> events = events_of(words[1]);
  if (!events) return words[1] + " is not a count of events\n";
  if (!machine.config().control->is_standing()) return "goto: the guest has to stand (stop)\n";
  machine.travel()->go_to(*events);
  return "";
}

}  // namespace

std::optional<std::string> run_travel_line(Machine& machine, const std::string& line) {
  const std::vector<std::string> words = words_of(line);
  if (words.empty() || (words[0] != "goto" && words[0] != "position")) return std::nullopt;
  if (machine.travel() == nullptr) return "Error: no replay that goes back (replay --gdb)\n";
  if (words[0] == "position") return machine.travel()->text();
  return go_to(machine, words);
}

std::string travel_help() {
  return fmt::format("{:<32} {}\n{:<32} {}\n", "position", "of a replay: events behind it",
                     "goto EVENT", "of a replay: to there (or begin, end), and stand");
}

}  // namespace ringshift::debug
