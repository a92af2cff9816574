// ShareServer: a `diod` of ours, which serves one folder to this process alone, by 9P2000.L on a
// pair of sockets. Owns: the process, until it has ended. It ends when its one connection does, or
// when this process does. Started before a run is confined, behind walls of its own. See
// docs/sharing.md and docs/security.md.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "monitor/share/share_request.h"

namespace ringshift {

class ShareServer {
 public:
  enum class Walls : uint8_t { Up, Down };  // Down: --sandbox off
  // Null with one line in *error: there is no such folder, no diod, or the host refuses a process
  // or its walls.
  [[nodiscard]] static std::unique_ptr<ShareServer> start(const ShareRequest& wanted, Walls walls,
                                                          std::string* error);
  // The owner of the socket has closed it, and so the process ends. Waits for that, but not long.
  ~ShareServer();
  ShareServer(const ShareServer&) = delete;
  ShareServer& operator=(const ShareServer&) = delete;

  [[nodiscard]] pid_t process() const { return process_; }
  // The folder as the server knows it: absolute, without links.
  [[nodiscard]] const std::string& folder() const { return folder_; }
  // A stream of 9P messages, the caller's from here on.
  [[nodiscard]] int take_socket();

 private:
  ShareServer() = default;

  std::string folder_;
  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace ringshift
