// SlirpProcess: the process that runs the guest's own network. It parses the guest's packets
// and owns the host's sockets, and the monitor does neither. Forked before threads, disks and guest
// exist; it has a filter of system calls, Landlock and limits of its own, and ends with the
// monitor. Owns: the process. Keeps: S5. See docs/security.md and docs/networking.md.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "monitor/network/network_request.h"

namespace ringshift {

class SlirpProcess {
 public:
  enum class Walls : uint8_t { Up, Down };  // Down: for tools that trace from inside
  // Once the host's ports are open. Null with one line in *error.
  [[nodiscard]] static std::unique_ptr<SlirpProcess> start(const UserNetwork& wanted, Walls walls,
                                                           std::string* error);
  // The owner of the socket has closed it, and so the process ends. Waits for that, but not long.
  ~SlirpProcess();
  SlirpProcess(const SlirpProcess&) = delete;
  SlirpProcess& operator=(const SlirpProcess&) = delete;

  [[nodiscard]] pid_t process() const { return process_; }
  // A stream of frames, the caller's from here on.
  [[nodiscard]] int take_socket();

 private:
  SlirpProcess() = default;
  [[nodiscard]] bool hear_of_start(std::string* error) const;

  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace ringshift
