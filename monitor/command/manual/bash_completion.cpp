#include "monitor/command/manual/completions.h"

namespace ringshift::manual {
namespace {

// The part of the script that does not depend on our options. Bash takes a word apart at "=" and
// ":" (COMP_WORDBREAKS) and replaces the last piece only, so a reply loses the part before that
// piece.
constexpr char kMachinery[] = R"(
_ringshift() {
  local line=${COMP_LINE:0:COMP_POINT} word piece=${COMP_WORDS[COMP_CWORD]} before='' at=2
  local option='' value='' prefix='' command='' lead i
  local -a typed words=() replies=()
  read -ra typed <<< "$line"
  word=${line##*[[:space:]]}
  [[ -n $word ]] && unset 'typed[-1]'
  [[ $piece == [=:] ]] && piece=''
  lead=${word%"$piece"}
  ((${#typed[@]} > 1)) && before=${typed[-1]}

  # A line that names no command is one of run.
  case ${typed[1]-} in
    '') [[ $word == -* ]] && command=run ;;
    -*) command=run ;;
    *)
      command=${typed[1]}
      [[ $command == lab && -n ${typed[2]-} ]] && command="lab ${typed[2]}"
      _ringshift_options "$command" || command=run
      ;;
  esac

  if [[ $word == --*=* ]]; then
    option=${word%%=*} value=${word#*=} prefix=${word%%=*}=
  elif [[ $before == -* ]]; then
    option=$before value=$word
  fi
  if [[ -n $option ]] && _ringshift_value "$command" "$option"; then
    case ${words[0]} in
      @file | @folder)
        at=-f
        [[ ${words[0]} == @folder ]] && at=-d
        compopt -o filenames 2>/dev/null
        mapfile -t replies < <(compgen $at -- "$value")
        ;;
      @text) ;;
      *) mapfile -t replies < <(compgen -W "${words[*]}" -- "$value") ;;
    esac
  else
    prefix=''
    words=()
    _ringshift_options "$command"
    mapfile -t replies < <(compgen -W "${words[*]}" -- "$word")
    if [[ $word != -* ]] && _ringshift_takes_file "$command"; then
      compopt -o filenames 2>/dev/null
      mapfile -O ${#replies[@]} -t replies < <(compgen -f -- "$word")
    fi
  fi
  COMPREPLY=()
  for i in "${replies[@]}"; do
    i=$prefix$i
    COMPREPLY+=("${i#"$lead"}")
  done
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -F _ringshift ringshift
)";

const char* mark_of(Takes takes) {
  switch (takes) {
    case Takes::File:
      return "@file";
    case Takes::Folder:
      return "@folder";
    case Takes::Text:
    case Takes::Nothing:
    case Takes::Words:
      break;
  }
  return "@text";
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

struct Tables {
  std::string options, values, files;
};

// Adds the words that can follow a command; `more`: options besides its own.
void add_command(const CommandText& command, const std::vector<OptionText>& more, Tables* tables) {
  std::vector<std::string> words;
  for (const CommandText& part : command.commands) words.push_back(part.name);
  bool takes_file = command.path == "resume" || command.path == "clone" || command.path == "run";
  std::vector<OptionText> options = command.options;
  options.insert(options.end(), more.begin(), more.end());
  for (const OptionText& option : options) {
    words.insert(words.end(), option.names.begin(), option.names.end());
    takes_file = takes_file || (option.names.empty() && option.takes == Takes::File);
    if (option.names.empty()) {
      words.insert(words.end(), option.words.begin(), option.words.end());
    } else if (option.takes != Takes::Nothing) {
      std::string patterns;
      for (const std::string& name : option.names) {
        patterns += (patterns.empty() ? "" : " | ") + ("'" + command.path + " " + name + "'");
      }
      const bool has_words = option.takes == Takes::Words;
      tables->values += "    " + patterns + ") words=(" +
                        (has_words ? joined(option.words, " ") : mark_of(option.takes)) + ") ;;\n";
    }
  }
  tables->options += "    '" + command.path + "') words=(" + joined(words, " ") + ") ;;\n";
  if (takes_file) tables->files += (tables->files.empty() ? "'" : " | '") + command.path + "'";
  for (const CommandText& part : command.commands) add_command(part, {}, tables);
}

}  // namespace

std::string bash_completion(const CommandText& program) {
  Tables tables;
  const CommandText& run = command_of(program, "run");
  std::vector<OptionText> of_run = qemu_options(run);
  CommandText top = program;
  top.commands.clear();
  for (const CommandText& command : program.commands) {
    std::vector<OptionText> more;
    if (command.name == "run" || command.takes_options_of_run) more = of_run;
    if (command.takes_options_of_run) {
      more.insert(more.end(), run.options.begin(), run.options.end());
    }
    add_command(command, more, &tables);
  }
  std::vector<std::string> first;
  for (const CommandText& command : program.commands) first.push_back(command.name);
  for (const OptionText& option : program.options) {
    first.insert(first.end(), option.names.begin(), option.names.end());
  }
  return "# bash completion for ringshift; made by `ringshift describe bash`.\n\n"
         "# What a command can be given. False: there is no such command.\n"
         "_ringshift_options() {\n  case $1 in\n    '') words=(" +
         joined(first, " ") + ") ;;\n" + tables.options +
         "    *) return 1 ;;\n  esac\n}\n\n"
         "# What an option can be given. False: nothing.\n"
         "_ringshift_value() {\n  case \"$1 $2\" in\n" +
         tables.values + "    *) return 1 ;;\n  esac\n}\n\n" +
         "_ringshift_takes_file() {\n  case $1 in\n    '' | " + tables.files +
         ") ;;\n    *) return 1 ;;\n  esac\n}\n" + kMachinery;
}

}  // namespace ringshift::manual
