// TestCommand: `ringshift test`: a guest that is run for its result: commands at its shell, or its
// own end, within a time. Its output and its exit code become ours. The machine runs in a process
// of its own, which is `ringshift run`; this one types and reads. See docs/ci.md.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ringshift {

struct TestOptions {
  std::string timeout = "300";  // seconds, as typed
  std::string ready = "[#$] $";
  std::vector<std::string> commands;  // --run
  std::string script;                 // a file; empty: none
  std::string junit;                  // a file; empty: none
  bool console = false;  // also print the output before the commands, on standard error
};

// The options that are test's own; all others are run's.
void describe_test(CLI::App& app, TestOptions* options);
// The line is test's, and not only a question for help.
[[nodiscard]] bool is_test_line(const std::vector<std::string>& words);
// Pre: it is. The exit code.
[[nodiscard]] int run_test_command(const std::vector<std::string>& words);

}  // namespace ringshift
