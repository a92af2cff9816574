#include "monitor/host/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace ringshift {

bool hold_standard_streams() {
  for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor) {
    if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number: this one, since those below are taken.
    const int access = descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY;
    if (open("/dev/null", access) != descriptor) return false;
  }
  return true;
}

}  // namespace ringshift
