#include "devices/host/deserted_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

namespace ringshift {

void remove_deserted_socket(const std::string& path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.size() >= sizeof(at.sun_path)) return;
  path.copy(at.sun_path, sizeof(at.sun_path) - 1);
  // A connection to a file that is no socket is refused, too.
  struct stat status {};
  if (lstat(at.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return;
  const bool is_deserted =
      connect(probe, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0 &&
      errno == ECONNREFUSED;
  close(probe);
  if (is_deserted) unlink(at.sun_path);
}

}  // namespace ringshift
