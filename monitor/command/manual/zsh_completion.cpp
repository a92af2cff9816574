#include "monitor/command/manual/completions.h"

namespace ringshift::manual {
namespace {

constexpr char kWords[] = R"(
# Words for a value; one that ends with "=" goes on.
_ringshift_words() {
  local -a given=() whole open
  while [[ $1 != -- ]]; do given+=("$1"); shift; done
  shift
  open=(${(M)@:#*=}) whole=(${@:#*=})
  compadd "${given[@]}" -a whole
  compadd "${given[@]}" -S '' -a open
}
)";

constexpr char kDispatch[] = R"(
_ringshift() {
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    local -a commands=(
%COMMANDS%    )
    _describe -t commands command commands
    _files
    return
  fi
  local command=$words[2]
  if (( $+functions[_ringshift_$command] )); then
    shift words
    (( CURRENT-- ))
    _ringshift_$command
  else
    _ringshift_run
  fi
}

_ringshift "$@"
)";

std::string with_backslashes(const std::string& text, const char* before) {
  std::string out;
  for (const char c : text) {
    if (std::string(before).find(c) != std::string::npos || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// In single quotes, as the shell reads them.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string action(const OptionText& option) {
  switch (option.takes) {
    case Takes::File:
      return "_files";
    case Takes::Folder:
      return "_files -/";
    case Takes::Words: {
      std::string words;
      for (const std::string& word : option.words) words += " " + word;
      return "_ringshift_words --" + words;
    }
    case Takes::Text:
    case Takes::Nothing:
      break;
  }
  return " ";
}

// The specifications of _arguments (zshcompsys(1)).
std::string specifications(const OptionText& option) {
  const std::string value = with_backslashes(option.value, ":") + ":" + action(option);
  if (option.names.empty()) return "    " + quoted(":" + value) + "\n";
  std::string text;
  for (const std::string& name : option.names) {
    const bool is_long = name.rfind("--", 0) == 0;
    std::string one = option.may_be_repeated ? "*" : "";
    one += name + (is_long && !option.value.empty() ? "=" : "");
    one += "[" + with_backslashes(option.text, "[]:") + "]";
    if (!option.value.empty()) one += (option.may_lack_value ? "::" : ":") + value;
    text += "    " + quoted(one) + "\n";
  }
  return text;
}

std::string function(const CommandText& command, const std::vector<OptionText>& more,
                     const char* rest) {
  std::string name = command.path;
  for (char& c : name) c = c == ' ' ? '_' : c;
  std::string text = "\n_ringshift_" + name + "() {\n  local -a known=(\n";
  for (const OptionText& option : command.options) text += specifications(option);
  for (const OptionText& option : more) text += specifications(option);
  return text + rest + "  )\n  _arguments $known\n}\n";
}

std::string described(const CommandText& command) {
  return quoted(with_backslashes(command.name, ":") + ":" + command.text);
}

// A command of commands.
std::string branching(const CommandText& command) {
  std::string text = "\n_ringshift_" + command.name +
                     "() {\n  if (( CURRENT == 2 )); then\n    local -a parts=(\n";
  for (const CommandText& part : command.commands) text += "      " + described(part) + "\n";
  text +=
      "    )\n    _describe -t commands part parts\n    return\n  fi\n  local part=$words[2]\n" +
      std::string("  shift words\n  (( CURRENT-- ))\n  (( $+functions[_ringshift_") + command.name +
      "_$part] )) && _ringshift_" + command.name + "_$part\n}\n";
  for (const CommandText& part : command.commands) text += function(part, {}, "");
  return text;
}

}  // namespace

std::string zsh_completion(const CommandText& program) {
  const CommandText& run = command_of(program, "run");
  const std::vector<OptionText> of_run = qemu_options(run);
  std::string text = "#compdef ringshift\n# Made by `ringshift describe zsh`.\n";
  text += kWords;
  std::string commands;
  for (const CommandText& command : program.commands) {
    commands += "      " + described(command) + "\n";
    const bool is_like_run = command.name == "run" || command.takes_options_of_run;
    std::vector<OptionText> more;
    if (is_like_run) more = of_run;
    if (command.takes_options_of_run) {
      for (const OptionText& option : run.options) {
        if (option.names.empty() || option.names.front() != "--help") more.push_back(option);
      }
    }
    if (command.commands.empty()) {
      text += function(command, more, is_like_run ? "    '*:image:_files'\n" : "");
    } else {
      text += branching(command);
    }
  }
  std::string dispatch = kDispatch;
  constexpr std::string_view kMark = "%COMMANDS%";
  dispatch.replace(dispatch.find(kMark), kMark.size(), commands);
  return text + dispatch;
}

}  // namespace ringshift::manual
