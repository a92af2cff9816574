// Manager command: up, ps, stop, kill, logs, console, top, events and down: the options of each,
// and its work. Owns: the options as parsed. See docs/machines.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ringshift::manager {

struct ManagerArguments;

// The arguments live as long as the handle; parsing the command line fills them.
class ManagerCommand {
 public:
  ManagerCommand();
  ~ManagerCommand();
  ManagerCommand(const ManagerCommand&) = delete;
  ManagerCommand& operator=(const ManagerCommand&) = delete;

  // Adds all of them to the program's commands.
  void describe(CLI::App& program);
  [[nodiscard]] bool was_given() const;
  // The exit code; a problem has been printed as one line.
  [[nodiscard]] int run();

 private:
  std::unique_ptr<ManagerArguments> arguments_;
};

// "keep FOLDER": a keeper's command line, which a manager writes and nobody types.
[[nodiscard]] bool is_keeper_line(const std::vector<std::string>& words);
[[nodiscard]] int run_keeper(const std::vector<std::string>& words);

}  // namespace ringshift::manager
