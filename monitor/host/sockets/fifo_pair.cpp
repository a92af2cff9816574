#include "monitor/host/sockets/fifo_pair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace ringshift {
namespace {

// Opened for both ways, or the end of the process at the other end would be the FIFO's.
int open_both_ways(const std::string& path) {
  return ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

bool is_fifo(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode)) return true;
  errno = EINVAL;
  return false;
}

}  // namespace

bool open_fifo_pair(const std::string& path, FifoPair* pair) {
  FifoPair made{open_both_ways(path + ".in"), open_both_ways(path + ".out")};
  if (made.read_from < 0 && made.written_to < 0) {
    made.read_from = open_both_ways(path);
    if (made.read_from >= 0) made.written_to = fcntl(made.read_from, F_DUPFD_CLOEXEC, 0);
  }
  if (made.read_from >= 0 && made.written_to >= 0 && is_fifo(made.read_from) &&
      is_fifo(made.written_to)) {
    *pair = made;
    return true;
  }
  const int error = errno;
  if (made.read_from >= 0) ::close(made.read_from);
  if (made.written_to >= 0) ::close(made.written_to);
  errno = error;
  return false;
}

}  // namespace ringshift
