// CommandText: the command line's language, as data: commands, their options, the values of each.
// See docs/packaging.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ringshift::manual {

// The kinds of words that a shell can offer for a value.
enum class Takes : uint8_t { Nothing, Text, File, Folder, Words };

struct OptionText {
  std::vector<std::string> names;  // with their dashes, long ones first; empty: a bare argument
  std::string value;               // as help shows it (FILE); empty: there is none
  bool may_lack_value = false;
  bool may_be_repeated = false;
  std::string text;   // one line, without a full stop
  std::string group;  // a heading of help
  Takes takes = Takes::Nothing;
  std::vector<std::string> words;  // Takes::Words: a word that goes on ends with "="
};

struct CommandText {
  std::string name;  // empty: the program itself
  std::string path;  // from the program on: "lab census"
  std::string text;
  std::string footer;  // lines
  std::vector<OptionText> options;
  std::vector<CommandText> commands;
  bool takes_options_of_run = false;  // besides its own
};

// Finds one of the program's commands. Pre: it is there.
[[nodiscard]] const CommandText& command_of(const CommandText& program, const std::string& name);

}  // namespace ringshift::manual
