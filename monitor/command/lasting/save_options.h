// Save options: --save of `run`, and the command line of `resume`, which is that of the saved
// machine with words of its own. See docs/usage.md, "Saved machines".
#pragma once

#include <string>
#include <vector>

#include "monitor/machine/machine.h"

namespace ringshift {

// "FILE[,then=run|end][,after=SECONDS]"; a comma in FILE is written twice. False with one line in
// *problem.
[[nodiscard]] bool parse_save(const std::string& text, SaveRequest* save, std::string* problem);

// "first", "later" or "off", of a machine that is resumed; empty: it was not given. False with one
// line in *problem.
[[nodiscard]] bool apply_verify_ram(const std::string& text, MachineConfig* machine,
                                    std::string* problem);

// "on", "off" or "rate=N", pages a second. False with one line in *problem.
[[nodiscard]] bool apply_share_pages(const std::string& text, MachineConfig* machine,
                                     std::string* problem);

// The words of a command line that make the same machine again: without --save and --verify-ram.
[[nodiscard]] std::vector<std::string> words_to_keep(const std::vector<std::string>& words);

// Those of these words that a clone takes over. Words that say where the machine's output goes, or
// who may reach it, stay the other machine's.
[[nodiscard]] std::vector<std::string> words_for_clone(const std::vector<std::string>& words);

struct ResumedFiles {
  std::string path;              // FILE
  std::vector<int> descriptors;  // of a clone: MachineConfig::resume_descriptors
};

// Replaces {"resume", FILE, WORD...} by the kept words of the saved machine with the given ones
// after them; for a clone, by words_for_clone(). False with one line in *problem.
[[nodiscard]] bool resumed_words(std::vector<std::string>* words, ResumedFiles* files,
                                 std::string* problem);

}  // namespace ringshift
