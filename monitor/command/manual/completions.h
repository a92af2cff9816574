// Completions: scripts by which bash and zsh complete a command line, written from the option
// tables and from the table of QEMU's words. See docs/packaging.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/command/manual/command_text.h"

namespace ringshift::manual {

// QEMU's words that are not refused, as options of run. A value that is ours is completed as ours.
[[nodiscard]] std::vector<OptionText> qemu_options(const CommandText& run);

[[nodiscard]] std::string bash_completion(const CommandText& program);
[[nodiscard]] std::string zsh_completion(const CommandText& program);

}  // namespace ringshift::manual
