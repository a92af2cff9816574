// Daemon: a run that goes on in the background once its machine is there: the process that was
// started waits until then, and ends with the code that says how it went. Owns: the pipe between
// the two. See docs/usage.md, "In the background".
#pragma once

#include <string>

namespace ringshift {

class Daemon {
 public:
  Daemon() = default;
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  enum class Side { Child, Parent, Failed };
  // Before any thread is started and anything is confined. Child: in a session of its own, without
  // a terminal's input and output. Parent: the child is ready or has ended, *exit_code is to be
  // handed on. Failed: one line in *problem.
  [[nodiscard]] Side start(int* exit_code, std::string* problem);
  // Called by the child, once: errors from here on are told nobody. Does nothing elsewhere.
  void note_ready();

 private:
  int ready_ = -1;    // the child's end of the pipe
  int nothing_ = -1;  // /dev/null, in place of standard error
};

}  // namespace ringshift
