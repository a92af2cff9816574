// Progress: a sign of life on standard error of a command that takes more than two seconds. Owns: a
// thread that writes it, every few seconds as a line, on a terminal as one line that changes and
// goes at the end. See docs/lab.md.
#pragma once

#include <string>

#include "shadowmmu/base/host_thread.h"

namespace ringshift::lab {

// Sets the program's current step: "follows the code". Text that lives for ever; null: nothing in
// particular. From any thread.
void note_step(const char* step);

class Progress {
 public:
  // `what`: "lab census".
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void work();
  void say(double seconds);

  std::string what_;
  bool is_terminal_ = false;
  bool has_said_ = false;
  HostThread thread_;
};

}  // namespace ringshift::lab
