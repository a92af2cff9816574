// MachineProcess: a machine as a child of its keeper: this program again, at a terminal of its own.
// Owns: the process, until its end has been taken, our end of the terminal, the pipe of its error
// messages. Nobody but its parent signals it, so no signal finds another process that has got its
// number. See docs/machines.md.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ringshift::manager {

class MachineProcess {
 public:
  // words: its command line without the program's name; folder: where relative names begin. It
  // ends when this process does. Null with one line in *problem.
  [[nodiscard]] static std::unique_ptr<MachineProcess> start(const std::vector<std::string>& words,
                                                             const std::string& folder,
                                                             std::string* problem);
  // Kills it if it lives.
  ~MachineProcess();
  MachineProcess(const MachineProcess&) = delete;
  MachineProcess& operator=(const MachineProcess&) = delete;

  [[nodiscard]] pid_t id() const { return process_; }
  // Neither blocks; -1: it has been closed.
  [[nodiscard]] int terminal() const { return terminal_; }
  [[nodiscard]] int errors() const { return errors_; }
  // Appends the bytes that one of the two has for us. False: it has ended.
  [[nodiscard]] static bool read_some(int descriptor, std::string* bytes);
  // How many of these the terminal takes now.
  [[nodiscard]] size_t type(const std::string& bytes) const;

  void signal_it(int number) const;
  struct End {
    int code = 0;    // of its own
    int signal = 0;  // not 0: it was ended by this
  };
  // Nothing: it lives.
  [[nodiscard]] std::optional<End> take_end();

 private:
  MachineProcess() = default;
  [[nodiscard]] bool open_terminal(int* other_end, std::string* problem);

  pid_t process_ = -1;
  bool has_ended_ = false;
  int terminal_ = -1, errors_ = -1;
};

}  // namespace ringshift::manager
