#include "monitor/debug/prompt/monitor_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <string_view>

#include "monitor/debug/prompt/commands.h"
#include "monitor/debug/prompt/memory_dump.h"
#include "monitor/debug/prompt/migration_commands.h"
#include "monitor/debug/prompt/monitor_info.h"
#include "monitor/debug/travel_commands.h"

namespace ringshift::debug {
namespace {

struct Asked {
  ControlTarget& target;
  std::vector<std::string> words;  // the command's name first
};

// Nothing to say, or the line that says why not.
std::string told(bool done, const std::string& error) {
  return done ? "" : "Error: " + error + "\n";
}

std::string no_arguments(const Asked& asked) {
  return asked.words[0] + ": its arguments are not understood (help)\n";
}

std::optional<int> number_of(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// ---- running ----

std::string stop(const Asked& asked) {
  asked.target.stop();
  return "";
}

std::string go_on(const Asked& asked) {
  std::string error;
  return told(asked.target.go_on(&error), error);
}

std::string reset(const Asked& asked) {
  asked.target.reset();
  return "";
}

std::string power_down(const Asked& asked) {
  std::string error;
  return told(asked.target.press_power_button(&error), error);
}

std::string wake_up(const Asked&) { return "Error: the guest is not asleep, and cannot be\n"; }

std::string quit(const Asked& asked) {
  asked.target.quit();
  return "";
}

// ---- hands ----

std::optional<KeyCode> key_of(const std::string& name) {
  if (!name.starts_with("0x")) return key_named(name);
  uint32_t number = 0;
  const char* const end = name.data() + name.size();
  const auto result = std::from_chars(name.data() + 2, end, number, 16);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return key_numbered(number);
}

std::string send_key(const Asked& asked) {
  constexpr int kHold = 100, kLongestHold = 60'000;
  if (asked.words.size() < 2) return no_arguments(asked);
  const std::optional<int> hold = asked.words.size() > 2 ? number_of(asked.words[2]) : kHold;
  if (!hold || *hold < 0 || *hold > kLongestHold) return no_arguments(asked);
  std::vector<KeyCode> keys;
  std::string_view rest = asked.words[1];
  while (true) {
    const size_t end = std::min(rest.find('-', 1), rest.size());
    std::string name(rest.substr(0, end));
    if (name == "-") name = "minus";
    const std::optional<KeyCode> key = key_of(name);
    if (!key) return "unknown key: '" + name + "'\n";
    keys.push_back(*key);
    if (end + 1 >= rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  std::string error;
  return told(asked.target.press_keys(keys, Nanoseconds{*hold} * 1'000'000, &error), error);
}

std::string move_mouse(const Asked& asked) {
  if (asked.words.size() < 3) return no_arguments(asked);
  const std::optional<int> right = number_of(asked.words[1]), down = number_of(asked.words[2]);
  const std::optional<int> wheel = asked.words.size() > 3 ? number_of(asked.words[3]) : 0;
  constexpr int kMost = 1 << 20;
  const auto fits = [](std::optional<int> n) { return n && *n >= -kMost && *n <= kMost; };
  if (!fits(right) || !fits(down) || !fits(wheel)) return no_arguments(asked);
  const InputEvent move{.kind = InputEvent::Kind::Move,
                        .key = {},
                        .right = *right,
                        .up = -*down,
                        .towards_person = *wheel};
  std::string error;
  return told(asked.target.put_input({&move, 1}, &error), error);
}

std::string set_buttons(const Asked& asked) {
  const std::optional<int> state =
      asked.words.size() > 1 ? number_of(asked.words[1]) : std::nullopt;
  if (!state || *state < 0 || *state > 7) return no_arguments(asked);
  std::vector<InputEvent> events;
  // QEMU's monitor: 1 left, 2 middle, 4 right.
  constexpr struct {
    int bit;
    uint8_t button;
  } kButtons[] = {{1, 1}, {2, 4}, {4, 2}};
  for (const auto& row : kButtons) {
    events.push_back({.kind = InputEvent::Kind::Button,
                      .key = {},
                      .down = (*state & row.bit) != 0,
                      .button = row.button});
  }
  std::string error;
  return told(asked.target.put_input(events, &error), error);
}

// ---- files and media ----

std::string dump_screen(const Asked& asked) {
  std::string file;
  Picture format = Picture::Ppm;
  for (size_t i = 1; i < asked.words.size(); ++i) {
    const std::string& word = asked.words[i];
    if (word == "-f" && i + 1 < asked.words.size()) {
      const std::string& name = asked.words[++i];
      if (name != "png" && name != "ppm") return "Error: a picture is png or ppm\n";
      format = name == "png" ? Picture::Png : Picture::Ppm;
    } else {
      file = word;
    }
  }
  if (file.empty()) return no_arguments(asked);
  std::string error;
  return told(asked.target.write_screen(file, format, &error), error);
}

std::string save(const Asked& asked) {
  if (asked.words.size() != 2) return no_arguments(asked);
  std::string error;
  return told(asked.target.save(asked.words[1], &error), error);
}

std::string eject_medium(const Asked& asked) {
  const bool force = asked.words.size() > 2 && asked.words[1] == "-f";
  if (asked.words.size() != (force ? 3U : 2U)) return no_arguments(asked);
  std::string error;
  return told(eject(asked.target, asked.words.back(), force, &error), error);
}

std::string change(const Asked& asked) {
  std::vector<std::string> words = asked.words;
  const bool force = words.size() > 1 && words[1] == "-f";
  if (force) words.erase(words.begin() + 1);
  // The format may follow the file; it is raw here.
  if (words.size() < 3 || words.size() > 4 || (words.size() == 4 && words[3] != "raw")) {
    return no_arguments(asked);
  }
  std::string error;
  return told(change_medium(asked.target, words[1], words[2], force, &error), error);
}

// ---- moving ----

std::string migrate(const Asked& asked) {
  // It never waits, with -d or without.
  constexpr std::string_view kPostcopy = "postcopy=";
  std::vector<std::string> words = asked.words;
  if (words.size() > 1 && words[1] == "-d") words.erase(words.begin() + 1);
  std::optional<uint32_t> rounds;
  if (words.size() == 3 && words[2].starts_with(kPostcopy)) {
    rounds = postcopy_rounds(words[2].substr(kPostcopy.size()));
    if (rounds) words.pop_back();
  }
  if (words.size() != 2) return no_arguments(asked);
  std::string error;
  return told(begin_migration(asked.target, words[1], rounds, &error), error);
}

std::string postcopy(const Asked& asked) {
  std::string error;
  return told(start_postcopy(asked.target, &error), error);
}

std::string cancel(const Asked& asked) {
  std::string error;
  return told(cancel_migration(asked.target, &error), error);
}

std::string set_migration(const Asked& asked) {
  if (asked.words.size() != 3) return no_arguments(asked);
  std::string error;
  return told(set_migration_limit(asked.target, asked.words[1], asked.words[2], &error), error);
}

std::string clone(const Asked& asked) {
  const bool freezes = asked.words.size() == 2 && asked.words[1] == "disks=freeze";
  if (asked.words.size() != (freezes ? 2U : 1U)) return no_arguments(asked);
  std::string error;
  return told(begin_clone(asked.target, freezes, &error), error);
}

std::string set_balloon(const Asked& asked) {
  constexpr int kMostMiB = 1 << 20;
  const std::optional<int> size =
      asked.words.size() == 2 ? number_of(asked.words[1]) : std::nullopt;
  if (!size || *size < 1 || *size > kMostMiB) return no_arguments(asked);
  std::string error;
  return told(asked.target.set_balloon(static_cast<uint64_t>(*size) << 20, &error), error);
}

// ---- looking ----

std::string info(const Asked& asked) {
  return monitor_info(asked.target, asked.words.size() > 1 ? asked.words[1] : "");
}

std::string dump(const Asked& asked) {
  const bool is_physical = asked.words[0].starts_with("xp");
  // The format is a word of its own, or follows the name: x/4x.
  std::string format = asked.words[0].substr(is_physical ? 2 : 1);
  size_t next = 1;
  if (format.empty() && asked.words.size() > 2) format = asked.words[next++];
  if (next + 1 != asked.words.size()) return no_arguments(asked);
  return dump_memory(asked.target, is_physical, format, asked.words[next]);
}

struct Command {
  const char* name;
  const char* alias;  // null: none
  const char* arguments;
  const char* what;
  std::string (*run)(const Asked&);
};

constexpr Command kCommands[] = {
    {"info", nullptr, "TOPIC", "status, block, registers...; info alone lists the topics", info},
    {"stop", "s", "", "the guest stands until cont", stop},
    {"cont", "c", "", "the guest goes on", go_on},
    {"system_reset", nullptr, "", "as by the reset button", reset},
    {"system_powerdown", nullptr, "", "as by the power button: the guest may shut down",
     power_down},
    {"system_wakeup", nullptr, "", "refused: no guest sleeps here", wake_up},
    {"quit", "q", "", "end the machine (exit code 8)", quit},
    {"sendkey", nullptr, "KEYS [MS]", "press ctrl-alt-delete, a, f1...; for 100 ms", send_key},
    {"mouse_move", nullptr, "DX DY [DZ]", "move the mouse; DY is down, DZ the wheel", move_mouse},
    {"mouse_button", nullptr, "STATE", "hold its buttons: 1 left, 2 middle, 4 right", set_buttons},
    {"screendump", nullptr, "FILE [-f png]", "the screen as a picture, ppm or png", dump_screen},
    {"eject", nullptr, "[-f] DEVICE", "take the CD-ROM out of ide1-cd0", eject_medium},
    {"change", nullptr, "[-f] DEVICE FILE", "put another one in", change},
    {"ringshift-save", "savevm", "FILE", "write the machine to a file; it goes on", save},
    {"ringshift-clone", "clone", "[disks=freeze]",
     "make ready for clones as it is now; info clone says how to begin one", clone},
    {"migrate", nullptr, "[-d] WHERE [postcopy=ROUNDS]",
     "move the machine to another process (--incoming)", migrate},
    {"migrate_start_postcopy", nullptr, "", "it runs there now, and gets the rest of RAM later",
     postcopy},
    {"migrate_cancel", nullptr, "", "it stays", cancel},
    {"migrate_set_parameter", nullptr, "NAME VALUE", "max-bandwidth (bytes/s), downtime-limit (ms)",
     set_migration},
    {"balloon", nullptr, "MIB", "what the guest is to keep of its RAM", set_balloon},
    {"x", nullptr, "/FMT ADDRESS", "memory at a linear address: x/4xw $esp, x/8i is not there",
     dump},
    {"xp", nullptr, "/FMT ADDRESS", "memory at a physical address", dump},
};

const Command* find_command(const std::string& word) {
  const bool is_dump =
      word == "x" || word == "xp" || word.starts_with("x/") || word.starts_with("xp/");
  const std::string name = is_dump ? (word.starts_with("xp") ? "xp" : "x") : word;
  const auto* found =
      std::find_if(std::begin(kCommands), std::end(kCommands), [&](const auto& row) {
        return name == row.name || (row.alias != nullptr && name == row.alias);
      });
  return found != std::end(kCommands) ? found : nullptr;
}

// The words that may follow at this place of a line; empty: none are known.
std::vector<std::string> candidates(ControlTarget& target, const std::vector<std::string>& before) {
  std::vector<std::string> all;
  if (before.empty()) {
    for (const Command& command : kCommands) all.emplace_back(command.name);
    for (const std::string& name : command_names()) all.push_back(name);
  } else if (before[0] == "info" && before.size() == 1) {
    all = info_topics();
  } else if (before[0] == "eject" || before[0] == "change") {
    for (const DriveInfo& drive : target.drives()) {
      if (drive.is_cdrom) all.push_back(drive.device);
    }
  }
  return all;
}

}  // namespace

std::string monitor_help() {
  std::string text;
  for (const Command& command : kCommands) {
    text += fmt::format("{:<32} {}\n", fmt::format("{} {}", command.name, command.arguments),
                        command.what);
  }
  return text;
}

std::vector<std::string> completions(ControlTarget& target, const std::string& line) {
  std::vector<std::string> before = words_of(line);
  std::string last;
  if (!line.empty() && line.back() != ' ') {
    last = before.back();
    before.pop_back();
  }
  std::vector<std::string> all = candidates(target, before);
  std::erase_if(all, [&](const std::string& word) { return !word.starts_with(last); });
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

std::string run_monitor_line(ControlTarget& target, const std::string& line) {
  const Asked asked{target, words_of(line)};
  if (asked.words.empty()) return "";
  if (asked.words[0] == "help" || asked.words[0] == "?") {
    return target.inspect("help") + travel_help() + monitor_help();
  }
  const Command* found = find_command(asked.words[0]);
  return found != nullptr ? found->run(asked) : target.inspect(line);
}

}  // namespace ringshift::debug
