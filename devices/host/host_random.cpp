#include "devices/host/host_random.h"

#include <sys/random.h>

#include <cerrno>

#include "shadowmmu/base/check.h"

namespace ringshift {

// The call has no way to fail but a signal that comes before the first byte (getrandom(2)).
void HostRandom::fill(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = getrandom(bytes.data(), bytes.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    CHECK(count > 0);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

}  // namespace ringshift
