#include "monitor/replay/disk_copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

namespace ringshift {
namespace {

bool write_all(int to, const uint8_t* bytes, size_t count) {
  while (count != 0) {
    const ssize_t now = write(to, bytes, count);
    if (now < 0 && errno == EINTR) continue;
    if (now == 0) errno = ENOSPC;
    if (now <= 0) return false;
    bytes += now;
    count -= static_cast<size_t>(now);
  }
  return true;
}

bool copy_range(int from, int to, off_t at, off_t end) {
  constexpr off_t kStep = off_t{1} << 20;
  std::vector<uint8_t> bytes(static_cast<size_t>(kStep));
  if (lseek(from, at, SEEK_SET) < 0 || lseek(to, at, SEEK_SET) < 0) return false;
  while (at < end) {
    const ssize_t now = read(from, bytes.data(), static_cast<size_t>(std::min(kStep, end - at)));
    if (now < 0 && errno == EINTR) continue;
    if (now == 0) errno = EIO;  // somebody has made it shorter
    if (now <= 0 || !write_all(to, bytes.data(), static_cast<size_t>(now))) return false;
    at += now;
  }
  return true;
}

}  // namespace

bool copy_image(int from, int to) {
  if (ioctl(to, FICLONE, from) == 0) return true;
  const off_t size = lseek(from, 0, SEEK_END);
  if (size < 0 || ftruncate(to, size) != 0) return false;
  for (off_t at = 0; at < size;) {
    const off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0) return errno == ENXIO;  // a hole to the end
    const off_t hole = lseek(from, data, SEEK_HOLE);
    if (hole < 0 || !copy_range(from, to, data, hole)) return false;
    at = hole;
  }
  return true;
}

}  // namespace ringshift
