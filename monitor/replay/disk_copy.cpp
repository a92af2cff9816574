#include "monitor/replay/disk_copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <span>
#include <vector>

#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

// By way of `room`, as much of it at once as there is.
HostResult copy_range(int from, int to, ByteRange range, std::span<uint8_t> room) {
  while (range.begin < range.end) {
    const auto bytes = room.first(std::min<uint64_t>(room.size(), range.end - range.begin));
    HostResult result = read_contents(from, range.begin, bytes);
    if (result.error() == ENODATA) return HostResult(EIO);  // somebody has made it shorter
    if (result.ok()) result = write_contents(to, range.begin, bytes);
    if (!result.ok()) return result;
    range.begin += bytes.size();
  }
  return HostResult();
}

}  // namespace

bool copy_image(int from, int to) {
  if (ioctl(to, FICLONE, from) == 0) return true;
  const off_t end = lseek(from, 0, SEEK_END);
  if (end < 0 || ftruncate(to, end) != 0) return false;
  const auto size = static_cast<uint64_t>(end);
  std::vector<uint8_t> room(size_t{1} << 20);
  for (uint64_t at = 0; at < size;) {
    const ByteRange data = next_contents(from, at, size);
    if (data.begin == data.end) return true;  // a hole to the end
    if (const HostResult result = copy_range(from, to, data, room); !result.ok()) {
      errno = result.error();
      return false;
    }
    at = data.end;
  }
  return true;
}

}  // namespace ringshift
