// Commands: a person's questions about the machine, by gdb's `monitor` or at the prompt of Ctrl-A
// c. None of them changes the guest. See docs/debugging.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "monitor/machine/machine.h"
#include "monitor/vcpu/execution_control.h"

namespace ringshift::debug {

// The answer to one line, as lines of text; a line that is not understood is answered in one line.
[[nodiscard]] std::string run_command(Machine& machine, const ExecutionControl& control,
                                      const std::string& line);

// One line for each command.
[[nodiscard]] std::string command_help();
[[nodiscard]] std::vector<std::string> command_names();

[[nodiscard]] std::vector<std::string> words_of(const std::string& line);
// Hexadecimal, with 0x or without: so is everything that is printed.
[[nodiscard]] std::optional<uint32_t> address_of_word(const std::string& word);

}  // namespace ringshift::debug
