#include "monitor/manager/machines/machine_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "monitor/command/near_word.h"
#include "monitor/manager/file_node.h"
#include "monitor/manager/run_folder.h"

namespace ringshift::manager {
namespace {

using manual::OptionText;

constexpr const char* kMachines = "machine";
constexpr const char* kResume = "resume";

// Options that the manager gives each machine itself, and advice for each.
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
    FileNode top;
    FileProblem problem;
    // No TOML begins so.
    const size_t first = text.find_first_not_of(" \t\r\n");
    const bool is_json = first != std::string_view::npos && text[first] == '{';
    if (!(is_json ? read_json(text, &top, &problem) : read_toml(text, &top, &problem))) {
      return fail(problem.line, problem.what);
    }
    for (const auto& [name, node] : top.members) {
      if (name == kMachines) continue;
      return fail(node.key_line, "'" + name + "' is not expected here: tables [machine.NAME] are" +
                                     meant(name, {kMachines}));
    }
    const auto all = top.members.find(kMachines);
    if (all == top.members.end()) {
      return fail(1, "it has no machine: a table [machine.NAME] is expected");
    }
    if (!all->second.is_table()) {
      return fail(all->second.line,
                  std::string("tables [machine.NAME] are expected, not ") + all->second.what);
    }
    for (const auto& [name, node] : all->second.members) {
      if (!read_machine(name, node, machines)) return false;
    }
    // As they are in the file.
    std::stable_sort(machines->begin(), machines->end(),
                     [](const auto& a, const auto& b) { return a.line < b.line; });
    if (!machines->empty()) return true;
    return fail(all->second.line, "it has no machine: a table [machine.NAME] is expected");
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool fail(unsigned line, const std::string& what) {
    problem_ = fmt::format("{}:{}: {}", file_, line, what);
    std::replace(problem_.begin(), problem_.end(), '\n', ' ');
    return false;
  }

  static std::string meant(const std::string& typed, const std::vector<std::string>& words) {
    const std::string near = near_word(typed, words);
    return near.empty() ? "" : "; did you mean " + near + "?";
  }

  bool read_machine(const std::string& name, const FileNode& node,
                    std::vector<MachineSpec>* machines) {
    const unsigned line = node.key_line;
    if (!is_machine_name(name)) {
      return fail(line, fmt::format("'{}' is no name of a machine: up to {} letters, digits, - "
                                    "and _ are",
                                    name, kLongestMachineName));
    }
    if (!node.is_table()) {
      return fail(line, fmt::format("a table [machine.{}] is expected, not {}", name, node.what));
    }
    lines_.clear();
    MachineSpec machine{name, {"run"}, line};
    for (const auto& [key, value] : node.members) {
      if (!read_option(key, value, &machine)) return false;
    }
    std::string problem;
    if (!check_(machine.words, &problem)) {
      return fail(line_of_problem(problem, line), "machine " + name + ": " + problem);
    }
    machines->push_back(std::move(machine));
    return true;
  }

  // The line of the option that the problem begins with, or else the machine's line.
  [[nodiscard]] unsigned line_of_problem(const std::string& problem, unsigned machine) const {
    const std::string first = problem.substr(0, problem.find_first_of(": "));
    const auto found = first.starts_with("--") ? lines_.find(first.substr(2)) : lines_.end();
    return found != lines_.end() ? found->second : machine;
  }

  bool read_option(const std::string& key, const FileNode& value, MachineSpec* machine) {
    lines_[key] = value.key_line;
    if (key == kResume) {
      if (value.kind != FileNode::Kind::Text) {
        return fail(value.key_line, "resume: the file of a saved machine is expected");
      }
      machine->words[0] = kResume;
      machine->words.insert(machine->words.begin() + 1, value.text);
      return true;
    }
    for (const Reserved& reserved : kReserved) {
      if (key == reserved.option) {
        return fail(value.key_line, key + " is not for this file: " + reserved.instead);
      }
    }
    const auto found = options_.find(key);
    if (found == options_.end()) {
      std::vector<std::string> names{kResume};
      for (const auto& [name, option] : options_) names.push_back(name);
      return fail(value.key_line, "there is no option " + key + meant(key, names) +
                                      " (the options of ringshift run are expected)");
    }
    return add_words(*found->second, key, value, machine);
  }

  bool add_words(const OptionText& option, const std::string& key, const FileNode& value,
                 MachineSpec* machine) {
    const bool is_flag = value.kind == FileNode::Kind::Flag;
    if (option.value.empty() || (option.may_lack_value && is_flag)) {
      if (!is_flag) {
        return fail(value.line, key + ": true or false is expected, not " + value.what);
      }
      if (value.is_on) machine->words.push_back("--" + key);
      return true;
    }
    if (value.kind != FileNode::Kind::List) return add_value(key, value, machine);
    if (!option.may_be_repeated) {
      return fail(value.line, key + ": one value is expected, not a list");
    }
    for (const FileNode& one : value.items) {
      if (!add_value(key, one, machine)) return false;
    }
    return true;
  }

  // { cpu = "25%", memory = "64M" } is cpu=25%,memory=64M.
  bool add_value(const std::string& key, const FileNode& value, MachineSpec* machine) {
    std::string text = value.text;
    if (value.is_table()) {
      for (const auto& [item, part] : value.members) {
        if (!part.is_scalar()) {
          return fail(part.line, fmt::format("{}.{}: a text or a number is expected, not {}", key,
                                             item, part.what));
        }
        text += (text.empty() ? "" : ",") + item + "=" + part.text;
      }
    } else if (!value.is_scalar() || value.kind == FileNode::Kind::Flag) {
      return fail(value.line, key + ": a text or a number is expected, not " + value.what);
    }
    // Behind "=", so that a value that begins with a dash is one.
    machine->words.push_back("--" + key + "=" + text);
    return true;
  }

  const std::string& file_;
  const WordsCheck& check_;
  std::map<std::string, const OptionText*> options_;
  std::map<std::string, unsigned> lines_;  // of the machine's options
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
