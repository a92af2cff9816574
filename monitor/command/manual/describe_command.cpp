#include "monitor/command/manual/describe_command.h"

#include <CLI/App.hpp>
#include <algorithm>

#include "monitor/command/manual/completions.h"
#include "monitor/command/manual/man_page.h"
#include "monitor/command/manual/value_words.h"

namespace ringshift::manual {
namespace {

// Help breaks its lines where its columns want it.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// The parser names numbers after their C++ type, and puts their range behind a colon.
std::string value_name(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  if (option.get_positional()) return option.get_name(true);
  const std::string name = option.get_type_name();
  const std::string plain = name.substr(0, name.find(':'));
  return plain == "FLOAT" || plain == "UINT" ? "NUMBER" : plain;
}

Takes takes_of(const OptionText& option) {
  if (option.value.empty()) return Takes::Nothing;
  if (!option.words.empty()) return Takes::Words;
  if (option.value == "DIR") return Takes::Folder;
  const bool is_file = option.value.rfind("FILE", 0) == 0 || option.value == "IMAGE";
  return is_file ? Takes::File : Takes::Text;
}

OptionText read_option(const CLI::Option& option) {
  OptionText read;
  for (const std::string& name : option.get_lnames()) read.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) read.names.push_back("-" + name);
  read.value = value_name(option);
  read.may_lack_value = !read.value.empty() && option.get_items_expected_min() == 0;
  // Lists are options of which more than one value is kept.
  read.may_be_repeated = option.get_items_expected_max() > 1;
  read.text = one_line(option.get_description());
  read.group = option.get_group();
  if (!read.names.empty()) read.words = words_of_value(read.names.front());
  read.takes = takes_of(read);
  return read;
}

CommandText read_command(const CLI::App& app, const std::string& path) {
  CommandText read;
  read.name = path.empty() ? "" : app.get_name();
  read.path = path;
  read.text = one_line(app.get_description());
  read.footer = app.get_footer();
  read.takes_options_of_run =
      path == "test" || path == "resume" || path == "clone" || path == "replay" || path == "backup";
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) read.options.push_back(read_option(*option));
  }
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_group().empty()) continue;
    const std::string before = path.empty() ? "" : path + " ";
    read.commands.push_back(read_command(*command, before + command->get_name()));
  }
  return read;
}

}  // namespace

CommandText read_commands(const CLI::App& app) { return read_command(app, ""); }

void add_describe_command(CLI::App& app, std::string* form) {
  app.add_subcommand("describe", "print the manual page, or a shell's completions")
      ->group("")
      ->add_option("FORM", *form, "man, bash or zsh")
      ->required()
      ->check(CLI::IsMember({"man", "bash", "zsh"}));
}

std::string description(const CLI::App& app, const std::string& form, const std::string& version) {
  const CommandText program = read_commands(app);
  if (form == "bash") return bash_completion(program);
  if (form == "zsh") return zsh_completion(program);
  return man_page(program, version);
}

}  // namespace ringshift::manual
