// MachineFile: the file of `ringshift up`: machines by name, each with the options of run as keys.
// A mistake is reported as one line with the file, the line in it, and the expected words. Owns
// nothing but the file's contents. A file that begins with { is JSON, others are TOML. See
// docs/machines.md, "The file".
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/command/manual/command_text.h"

namespace ringshift::manager {

struct MachineSpec {
  std::string name;
  std::vector<std::string> words;  // run, or resume FILE, and options
  unsigned line = 0;               // in the file, from 1
};

// Do these words make a machine? False with one line in *problem, which names the option first.
using WordsCheck = std::function<bool(const std::vector<std::string>& words, std::string* problem)>;

// run: the options of `run`. False with one line in *problem, which begins with NAME:LINE:.
[[nodiscard]] bool read_machine_file(std::string_view text, const std::string& name,
                                     const manual::CommandText& run, const WordsCheck& check,
                                     std::vector<MachineSpec>* machines, std::string* problem);

}  // namespace ringshift::manager
