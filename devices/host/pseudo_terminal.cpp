#include "devices/host/pseudo_terminal.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

namespace ringshift {
namespace {

// False with errno. It stays as it is when everybody has closed it, and is hung up from then on.
bool make_other_side_raw(const char* path) {
  const int other = ::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (other < 0) return false;
  termios modes{};
  const bool good = tcgetattr(other, &modes) == 0;
  cfmakeraw(&modes);
  const bool is_set = good && tcsetattr(other, TCSANOW, &modes) == 0;
  const int error = errno;
  ::close(other);
  errno = error;
  return is_set;
}

}  // namespace

int open_pseudo_terminal(std::string* path) {
  const int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (ours < 0) return -1;
  std::array<char, 64> name{};
  if (grantpt(ours) == 0 && unlockpt(ours) == 0 && ptsname_r(ours, name.data(), name.size()) == 0 &&
      make_other_side_raw(name.data())) {
    *path = name.data();
    return ours;
  }
  const int error = errno;
  ::close(ours);
  errno = error;
  return -1;
}

}  // namespace ringshift
