#include "monitor/command/qemu/spelling.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "monitor/command/near_word.h"
#include "monitor/command/qemu/words.h"

namespace ringshift {
namespace {

using qemu::among;
using qemu::Meaning;
using qemu::QemuLine;
using qemu::Word;

constexpr std::array kCommands{"run",    "resume", "clone",    "replay", "test",   "translate",
                               "doctor", "lab",    "describe", "up",     "ps",     "stop",
                               "kill",   "logs",   "console",  "top",    "events", "down",
                               "web",    "keep",   "backup"};
constexpr std::array kOfNoCommand{"--help", "-help", "-h", "--version", "-version"};
// Options with one dash that the other commands understand, too.
constexpr std::array kOfEveryCommand{"-kernel", "-initrd", "-append", "-m",
                                     "-h",      "-help",   "-version"};

bool begins_with_dash(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

// The word behind it is no option, whatever it looks like.
bool takes_file(const std::string& command) {
  return command == "resume" || command == "clone" || command == "replay" || command == "backup";
}

const Word* find_word(const std::string& name) {
  const auto words = qemu::all_words();
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const Word& word) { return name == word.name; });
  return found != words.end() ? &*found : nullptr;
}

// The word nearest to the typed one, among those that are not refused; empty: none is near.
std::string nearest_word(const std::string& typed) {
  constexpr size_t kLongest = 40;
  if (typed.size() < 4 || typed.size() > kLongest) return "";
  size_t best = typed.size() < 6 ? 2 : 3;  // one letter in a short word, two in a longer one
  std::string nearest;
  for (const Word& word : qemu::all_words()) {
    if (word.meaning == Meaning::Refused) continue;
    const size_t far = letters_apart(typed, word.name);
    if (far >= best) continue;
    best = far;
    nearest = word.name;
  }
  return nearest;
}

class Speller {
 public:
  Speller(const std::vector<std::string>& typed, const LongOptions& options)
      : typed_(typed), options_(options) {}

  SpelledLine spell() {
    SpelledLine line;
    line.words = begin();
    const std::string command = line.words.empty() ? "" : line.words[0];
    const bool goes_on = takes_file(command);
    const bool is_run = command == "run" || goes_on;
    // The saved machine, or the recording.
    if (goes_on && at_ < typed_.size()) line.words.push_back(typed_[at_++]);
    while (line_.problem.empty() && at_ < typed_.size()) is_run ? take_of_run() : take_of_other();
    // A word may name a thing by its id before the word that makes the thing.
    for (const auto& [word, value] : last_) {
      if (line_.problem.empty()) (void)word->read(&line_, value);
    }
    if (line_.finish()) {
      line.words.insert(line.words.end(), line_.words.begin(), line_.words.end());
    }
    line.problem = line_.problem;
    line.note = note();
    return line;
  }

 private:
  // The command, or none for words that belong to no command.
  std::vector<std::string> begin() {
    if (typed_.empty()) return {};
    const std::string& first = typed_[0];
    if (among(kCommands, first)) {
      at_ = 1;
      return {first};
    }
    if (among(kOfNoCommand, first)) return {};
    const bool is_option = !first.empty() && first[0] == '-';
    if (is_option || first.find("://") != std::string::npos) return {"run"};
    std::error_code ignored;
    if (!first.empty() && std::filesystem::exists(first, ignored)) return {"run"};
    line_.refuse("'" + first +
                 "' is neither a command (run, resume, replay, translate, doctor, lab) nor a file");
    return {};
  }

  std::string take() { return typed_[at_++]; }

  // A word of a command line that boots a guest.
  void take_of_run() {
    const std::string word = take();
    if (!begins_with_dash(word)) {
      qemu::read_bare_image(&line_, word);
    } else if (word == "--") {
      keep_rest(word);
    } else if (word[1] == '-') {
      take_long(word);
    } else {
      take_short(word);
    }
  }

  void take_of_other() {
    const std::string word = take();
    const bool is_short = begins_with_dash(word) && word[1] != '-';
    const Word* known = is_short ? find_word(word) : nullptr;
    if (!is_short) {
      line_.words.push_back(word);
    } else if (known == nullptr) {
      refuse_unknown(word);
    } else if (!among(kOfEveryCommand, word)) {
      line_.refuse(word + " is of ringshift run, not of this command");
    } else if (known->has_value && at_ == typed_.size()) {
      line_.refuse(word + ": needs a value");
    } else {
      take_known(*known);
    }
  }

  void keep_rest(const std::string& first) {
    line_.words.push_back(first);
    while (at_ < typed_.size()) line_.words.push_back(take());
  }

  // QEMU's words may have two dashes as well, where we have no option of that name.
  void take_long(const std::string& word) {
    const std::string name = word.substr(0, word.find('='));
    const std::optional<bool> takes_value = options_(name);
    if (!takes_value && find_word(word.substr(1)) != nullptr) return take_short(word.substr(1));
    line_.words.push_back(word);
    const bool value_follows = takes_value.value_or(false) && name == word && at_ < typed_.size();
    if (value_follows && !begins_with_dash(typed_[at_])) line_.words.push_back(take());
  }

  void take_short(const std::string& typed) {
    const Word* word = find_word(typed);
    if (word == nullptr) {
      refuse_unknown(typed);
    } else if (word->meaning == Meaning::Refused) {
      line_.refuse("QEMU's " + typed + " is not supported: " + word->text);
    } else if (word->has_value && at_ == typed_.size()) {
      line_.refuse(typed + ": needs a value");
    } else {
      take_known(*word);
    }
  }

  void take_known(const Word& word) {
    const std::string value = word.has_value ? take() : "";
    switch (word.meaning) {
      case Meaning::Read:
        (void)word.read(&line_, value);
        break;
      case Meaning::ReadLast:
        last_.emplace_back(&word, value);
        break;
      case Meaning::Idle:
        line_.ignore(word.name, word.text);
        break;
      case Meaning::Ours:
      case Meaning::Refused:
        if (word.has_value) {
          line_.add(word.text, value);
        } else {
          line_.add(word.text);
        }
        break;
    }
  }

  void refuse_unknown(const std::string& typed) {
    const std::string long_name = "-" + typed.substr(0, typed.find('='));
    std::string nearest = options_(long_name) ? long_name : nearest_word(typed);
    if (!nearest.empty()) nearest = "; did you mean " + nearest + "?";
    line_.refuse("there is no option " + typed + nearest + " (see ringshift run --help)");
  }

  [[nodiscard]] std::string note() const {
    std::string text;
    for (const std::string& one : line_.idle) text += (text.empty() ? "" : ", ") + one;
    return text.empty() ? "" : "without effect here: " + text;
  }

  const std::vector<std::string>& typed_;
  const LongOptions& options_;
  size_t at_ = 0;
  std::vector<std::pair<const Word*, std::string>> last_;
  QemuLine line_;
};

}  // namespace

SpelledLine spell(const std::vector<std::string>& typed, const LongOptions& options) {
  return Speller(typed, options).spell();
}

}  // namespace ringshift
