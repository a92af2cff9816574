// Lab command: `ringshift lab ...`, the options of each part and its output. Owns: the options as
// parsed. Every part is a function of its options. See docs/lab.md.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace ringshift::lab {

struct LabArguments;

// The arguments live as long as the handle; parsing the command line fills them.
class LabCommand {
 public:
  LabCommand();
  ~LabCommand();
  LabCommand(const LabCommand&) = delete;
  LabCommand& operator=(const LabCommand&) = delete;

  void describe(CLI::App& app);
  // The exit code; a problem has been printed as one line.
  [[nodiscard]] int run();

 private:
  std::unique_ptr<LabArguments> arguments_;
};

}  // namespace ringshift::lab
