// PipedChild: this program again, in a process of its own, with its standard input and output as
// pipes of ours. Owns: the process and both pipes; its end ends the process. See docs/ci.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class PipedChild {
 public:
  // words: its command line without the program's name. Null with one line in *error.
  static std::unique_ptr<PipedChild> start(const std::vector<std::string>& words,
                                           std::string* error);
  ~PipedChild();
  PipedChild(const PipedChild&) = delete;
  PipedChild& operator=(const PipedChild&) = delete;

  // Typed as fast as it is read; never waits for that.
  void type(std::string_view text) { to_send_ += text; }
  // Takes the output since the last call, and waits for the first of it until `deadline` (the
  // host's monotonic clock). False: its output has ended. Nothing, and true: the time is over, or a
  // signal has come.
  [[nodiscard]] bool read(Nanoseconds deadline, std::string* text);
  // Asks for its end (SIGTERM), and waits for it, a second at most; then it is killed.
  void end();
  // Waits for its end by itself until `deadline`, then ends it: the exit code, or 128 and the
  // number of the signal that ended it.
  [[nodiscard]] int wait(Nanoseconds deadline);

 private:
  PipedChild() = default;
  [[nodiscard]] bool has_ended();
  void send_some();

  pid_t process_ = -1;
  int status_ = 0;
  bool ended_ = false;
  int input_ = -1, output_ = -1;  // our ends
  std::string to_send_;
};

}  // namespace ringshift
