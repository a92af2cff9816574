#include <algorithm>
#include <set>

#include "monitor/command/manual/completions.h"
#include "monitor/command/qemu/words.h"

namespace ringshift::manual {

std::vector<OptionText> qemu_options(const CommandText& run) {
  std::set<std::string> known;
  for (const OptionText& option : run.options) {
    known.insert(option.names.begin(), option.names.end());
  }
  // Finds our option by its name; null: there is none. An image option that QEMU writes with one
  // dash has two here.
  const auto ours = [&](const std::string& name) -> const OptionText* {
    for (const OptionText& option : run.options) {
      if (std::find(option.names.begin(), option.names.end(), name) != option.names.end()) {
        return &option;
      }
    }
    return nullptr;
  };
  std::vector<OptionText> options;
  for (const qemu::Word& word : qemu::all_words()) {
    if (word.meaning == qemu::Meaning::Refused || !known.insert(word.name).second) continue;
    const bool is_ours = word.meaning == qemu::Meaning::Ours;
    const std::string twin = is_ours ? word.text : std::string("-") + word.name;
    const OptionText* same = ours(twin);
    OptionText option;
    option.names = {word.name};
    option.text = same != nullptr ? same->text : "as QEMU has it";
    if (word.meaning == qemu::Meaning::Idle) option.text = std::string("no effect: ") + word.text;
    option.may_be_repeated = true;
    if (word.has_value) {
      option.value = same != nullptr && !same->value.empty() ? same->value : "VALUE";
      option.takes = Takes::Text;
      // A value that QEMU spells in its own way has words of its own.
      if (same != nullptr && (is_ours || same->takes == Takes::File)) option.takes = same->takes;
      if (option.takes == Takes::Words) option.words = same->words;
    }
    options.push_back(option);
  }
  return options;
}

}  // namespace ringshift::manual
