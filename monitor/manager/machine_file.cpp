#include "monitor/manager/machine_file.h"

#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <optional>

#include "monitor/command/near_word.h"
#include "monitor/manager/run_folder.h"

namespace ringshift::manager {
namespace {

using manual::OptionText;

constexpr const char* kMachines = "machine";
constexpr const char* kResume = "resume";

// Options that the manager gives each machine itself, and what to do instead.
struct Reserved {
  const char* option;
  const char* instead;
};
constexpr Reserved kReserved[] = {
    {"name", "the machine is called as its table is"},
    {"daemonize", "machines of a manager are in the background"},
    {"pidfile", "`ringshift ps` tells the process"},
    {"stats", "`ringshift top` shows them"},
    {"stats-file", "`ringshift top` shows them"},
    {"help", "see ringshift run --help"},
};

std::string plain_name(const std::string& option) {
  return option.substr(option.find_first_not_of('-'));
}

const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

// Text and numbers, as a command line has them.
std::optional<std::string> scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "on" : "off";
  return std::nullopt;
}

class Reader {
 public:
  Reader(const std::string& name, const manual::CommandText& run, const WordsCheck& check)
      : file_(name), check_(check) {
    for (const OptionText& option : run.options) {
      if (option.names.empty() || !option.names[0].starts_with("--")) continue;
      options_[plain_name(option.names[0])] = &option;
    }
  }

  [[nodiscard]] bool read(std::string_view text, std::vector<MachineSpec>* machines) {
    const toml::parse_result parsed = toml::parse(text, file_);
    if (!parsed) {
      return fail(parsed.error().source(), std::string(parsed.error().description()));
    }
    const toml::table& top = parsed.table();
    for (const auto& [key, node] : top) {
      const std::string name(key.str());
      if (name == kMachines) continue;
      return fail(key.source(), "'" + name + "' is not expected here: tables [machine.NAME] are" +
                                    meant(name, {kMachines}));
    }
    const toml::node* const all = top.get(kMachines);
    if (all == nullptr) return fail({}, "it has no machine: a table [machine.NAME] is expected");
    if (!all->is_table()) {
      return fail(all->source(),
                  "tables [machine.NAME] are expected, not " + std::string(kind_of(*all)));
    }
    for (const auto& [key, node] : *all->as_table()) {
      if (!read_machine(std::string(key.str()), key.source(), node, machines)) return false;
    }
    // As they are in the file.
    std::stable_sort(machines->begin(), machines->end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
    if (!machines->empty()) return true;
    return fail(all->source(), "it has no machine: a table [machine.NAME] is expected");
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool fail(const toml::source_region& where, const std::string& what) {
    const unsigned line = std::max<unsigned>(where.begin.line, 1);
    problem_ = fmt::format("{}:{}: {}", file_, line, what);
    std::replace(problem_.begin(), problem_.end(), '\n', ' ');
    return false;
  }

  static std::string meant(const std::string& typed, const std::vector<std::string>& words) {
    const std::string near = near_word(typed, words);
    return near.empty() ? "" : "; did you mean " + near + "?";
  }

  bool read_machine(const std::string& name, const toml::source_region& where,
                    const toml::node& node, std::vector<MachineSpec>* machines) {
    if (!is_machine_name(name)) {
      return fail(where, fmt::format("'{}' is no name of a machine: up to {} letters, digits, - "
                                     "and _ are",
                                     name, kLongestMachineName));
    }
    if (!node.is_table()) {
      return fail(where,
                  fmt::format("a table [machine.{}] is expected, not {}", name, kind_of(node)));
    }
    lines_.clear();
    MachineSpec machine{name, {"run"}, where.begin.line};
    for (const auto& [key, value] : *node.as_table()) {
      if (!read_option(std::string(key.str()), key.source(), value, &machine)) return false;
    }
    std::string problem;
    if (!check_(machine.words, &problem)) {
      return fail(line_of_problem(problem, where), "machine " + name + ": " + problem);
    }
    machines->push_back(std::move(machine));
    return true;
  }

  // Of the option that the problem begins with, or of the machine.
  [[nodiscard]] toml::source_region line_of_problem(const std::string& problem,
                                                    const toml::source_region& machine) const {
    const std::string first = problem.substr(0, problem.find_first_of(": "));
    const auto found = first.starts_with("--") ? lines_.find(first.substr(2)) : lines_.end();
    return found != lines_.end() ? found->second : machine;
  }

  bool read_option(const std::string& key, const toml::source_region& where,
                   const toml::node& value, MachineSpec* machine) {
    lines_[key] = where;
    if (key == kResume) {
      const auto* const text = value.as_string();
      if (text == nullptr) return fail(where, "resume: the file of a saved machine is expected");
      machine->words[0] = kResume;
      machine->words.insert(machine->words.begin() + 1, text->get());
      return true;
    }
    for (const Reserved& reserved : kReserved) {
      if (key == reserved.option) {
        return fail(where, key + " is not for this file: " + reserved.instead);
      }
    }
    const auto found = options_.find(key);
    if (found == options_.end()) {
      std::vector<std::string> names{kResume};
      for (const auto& [name, option] : options_) names.push_back(name);
      return fail(where, "there is no option " + key + meant(key, names) +
                             " (the options of ringshift run are expected)");
    }
    return add_words(*found->second, key, value, machine);
  }

  bool add_words(const OptionText& option, const std::string& key, const toml::node& value,
                 MachineSpec* machine) {
    if (option.value.empty() || (option.may_lack_value && value.is_boolean())) {
      if (!value.is_boolean()) {
        return fail(value.source(), key + ": true or false is expected, not " + kind_of(value));
      }
      if (value.as_boolean()->get()) machine->words.push_back("--" + key);
      return true;
    }
    if (const auto* const list = value.as_array()) {
      if (!option.may_be_repeated) {
        return fail(value.source(), key + ": one value is expected, not a list");
      }
      for (const toml::node& one : *list) {
        if (!add_value(key, one, machine)) return false;
      }
      return true;
    }
    return add_value(key, value, machine);
  }

  // { cpu = "25%", memory = "64M" } is cpu=25%,memory=64M.
  bool add_value(const std::string& key, const toml::node& value, MachineSpec* machine) {
    std::optional<std::string> text = scalar_text(value);
    if (const auto* const table = value.as_table()) {
      text = "";
      for (const auto& [item, node] : *table) {
        const std::optional<std::string> part = scalar_text(node);
        if (!part) {
          return fail(node.source(), fmt::format("{}.{}: a text or a number is expected, not {}",
                                                 key, item.str(), kind_of(node)));
        }
        *text += (text->empty() ? "" : ",") + std::string(item.str()) + "=" + *part;
      }
    }
    if (!text || value.is_boolean()) {
      return fail(value.source(), key + ": a text or a number is expected, not " + kind_of(value));
    }
    // Behind "=", so that a value that begins with a dash is one.
    machine->words.push_back("--" + key + "=" + *text);
    return true;
  }

  const std::string& file_;
  const WordsCheck& check_;
  std::map<std::string, const OptionText*> options_;
  std::map<std::string, toml::source_region> lines_;  // of the machine's options
  std::string problem_;
};

}  // namespace

bool read_machine_file(std::string_view text, const std::string& name,
                       const manual::CommandText& run, const WordsCheck& check,
                       std::vector<MachineSpec>* machines, std::string* problem) {
  Reader reader(name, run, check);
  if (reader.read(text, machines)) return true;
  *problem = reader.problem();
  return false;
}

}  // namespace ringshift::manager
