// Describe command: `ringshift describe`: the manual page, or a shell's completions. They are made
// of the parser's own tables, so they agree with the program. See docs/packaging.md.
#pragma once

#include <string>

#include "monitor/command/manual/command_text.h"

namespace CLI {
class App;
}

namespace ringshift::manual {

// Describes a whole program, without the options that are hidden from its help.
[[nodiscard]] CommandText read_commands(const CLI::App& app);

// Hidden from help: it is for those who install the program. *form: the wanted form.
void add_describe_command(CLI::App& app, std::string* form);

// form: "man", "bash" or "zsh". version: a number, without a commit.
[[nodiscard]] std::string description(const CLI::App& app, const std::string& form,
                                      const std::string& version);

}  // namespace ringshift::manual
