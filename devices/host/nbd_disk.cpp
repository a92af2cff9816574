#include "devices/host/nbd_disk.h"

#include <libnbd.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

namespace ringshift {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a server may say nothing, and how long it may take for all of an answer: one that sends
// a byte now and then is never silent.
struct Patience {
  milliseconds silent;
  milliseconds altogether;
};
constexpr Patience kToConnect{milliseconds{10'000}, milliseconds{20'000}};
constexpr Patience kToAnswer{milliseconds{30'000}, milliseconds{60'000}};
// Between two looks at whether the answer is still wanted.
constexpr int kLookMilliseconds = 20;
// Every server takes requests of this size (NBD protocol, block size constraints).
constexpr size_t kLargestRequest = size_t{1} << 20;

std::string reason() {
  const char* text = nbd_get_error();
  return text != nullptr ? text : "unknown error";
}

enum class Progress : uint8_t { None, Some, Failed };

// Not nbd_poll: that begins its wait again after each signal.
Progress wait_a_little(nbd_handle* handle) {
  const unsigned direction = nbd_aio_get_direction(handle);
  const bool reads = (direction & LIBNBD_AIO_DIRECTION_READ) != 0;
  const bool writes = (direction & LIBNBD_AIO_DIRECTION_WRITE) != 0;
  pollfd waiting{nbd_aio_get_fd(handle), 0, 0};
  if (waiting.fd < 0) return Progress::Failed;
  waiting.events = static_cast<int16_t>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
  if (poll(&waiting, 1, kLookMilliseconds) <= 0) return Progress::None;
  int notified = 0;
  if (reads && (waiting.revents & (POLLIN | POLLHUP)) != 0) {
    notified = nbd_aio_notify_read(handle);
  } else if (writes && (waiting.revents & POLLOUT) != 0) {
    notified = nbd_aio_notify_write(handle);
  } else {
    return Progress::Failed;  // an error of the socket alone
  }
  return notified == 0 ? Progress::Some : Progress::Failed;
}

// True when done() says so; false when patience ends, nobody wants it any more, or libnbd reports
// an error.
template <typename Done>
bool wait_until(nbd_handle* handle, const Patience& patience,
                const NbdDisk::IsUnwanted& is_unwanted, Done done) {
  const Clock::time_point begin = Clock::now();
  Clock::time_point heard = begin;
  while (!done()) {
    const Clock::time_point now = Clock::now();
    if (now - heard > patience.silent || now - begin > patience.altogether) return false;
    if (is_unwanted && is_unwanted()) return false;
    const Progress progress = wait_a_little(handle);
    if (progress == Progress::Failed) return done();
    if (progress == Progress::Some) heard = Clock::now();
  }
  return true;
}

}  // namespace

bool NbdDisk::is_uri(const std::string& text) {
  constexpr std::array kSchemes{"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"};
  return std::any_of(kSchemes.begin(), kSchemes.end(),
                     [&](const char* scheme) { return text.rfind(scheme, 0) == 0; });
}

std::unique_ptr<NbdDisk> NbdDisk::open(const std::string& uri, bool read_only, uint32_t unit,
                                       IsUnwanted is_unwanted, std::string* error,
                                       const std::string& name) {
  std::unique_ptr<NbdDisk> disk(
      new NbdDisk(uri, name.empty() ? uri : name, std::move(is_unwanted)));
  disk->read_only_ = read_only;
  if (!disk->connect(error) || !disk->examine(unit, error)) return nullptr;
  return disk;
}

NbdDisk::~NbdDisk() {
  if (handle_ == nullptr) return;
  // A farewell, if the server is there to hear it; a silent one is not waited for.
  if (!lost_) (void)nbd_aio_disconnect(handle_, 0);
  nbd_close(handle_);
}

bool NbdDisk::connect(std::string* error) {
  handle_ = nbd_create();
  const bool begun = handle_ != nullptr && nbd_aio_connect_uri(handle_, uri_.c_str()) == 0;
  const auto settled = [this] {
    return nbd_aio_is_ready(handle_) == 1 || nbd_aio_is_dead(handle_) == 1 ||
           nbd_aio_is_closed(handle_) == 1;
  };
  if (!begun) {
    *error = name_ + ": cannot be reached: " + reason();
    return false;
  }
  const bool answered = wait_until(handle_, kToConnect, is_unwanted_, settled);
  if (answered && nbd_aio_is_ready(handle_) == 1) return true;
  lost_ = true;
  const char* why = nbd_get_error();
  *error = name_ + ": cannot be reached: " + (why != nullptr ? why : "the server does not answer");
  return false;
}

bool NbdDisk::examine(uint32_t unit, std::string* error) {
  const int64_t size = nbd_get_size(handle_);
  bytes_ = size > 0 ? static_cast<uint64_t>(size) / unit * unit : 0;
  const int64_t block = nbd_get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
  if (bytes_ == 0) {
    *error = name_ + ": is no disk image (empty)";
  } else if (block > int64_t{unit}) {
    *error = name_ + ": has blocks of " + std::to_string(block) + " bytes, larger than a sector";
  } else if (!read_only_ && nbd_is_read_only(handle_) != 0) {
    *error = name_ + ": is read-only; add readonly=on";
  } else if (!read_only_ && nbd_can_flush(handle_) != 1) {
    *error = name_ + ": the server cannot flush, so nothing written would be safe; add readonly=on";
  } else {
    can_trim_ = !read_only_ && nbd_can_trim(handle_) == 1;
    can_zero_ = !read_only_ && nbd_can_zero(handle_) == 1;
    return true;
  }
  return false;
}

// Once: bytes behind an answer that never came cannot be told from it.
bool NbdDisk::give_up(const std::string& why) {
  const bool is_of_interest = !lost_ && !(is_unwanted_ && is_unwanted_());
  if (is_of_interest) {
    std::fprintf(stderr, "ringshift: %s: %s; the guest gets errors from here on\n", name_.c_str(),
                 why.c_str());
  }
  lost_ = true;
  return false;
}

bool NbdDisk::finish(int64_t cookie) {
  if (cookie < 0) return give_up(reason());
  const auto request = static_cast<uint64_t>(cookie);
  int result = 0;
  const bool settled = wait_until(handle_, kToAnswer, is_unwanted_, [&] {
    result = nbd_aio_command_completed(handle_, request);
    return result != 0 || nbd_aio_is_dead(handle_) == 1 || nbd_aio_is_closed(handle_) == 1;
  });
  if (result == 1) return true;
  if (result == 0 && settled) return give_up("the server has closed the connection");
  if (result == 0) return give_up("the server does not answer");
  // An error of this request only, unless the connection has gone with it.
  return nbd_aio_is_ready(handle_) == 1 ? false : give_up(reason());
}

bool NbdDisk::read(uint64_t offset, std::span<uint8_t> to) {
  traffic_.read += to.size();
  while (!to.empty() && !lost_) {
    const auto part = to.first(std::min(to.size(), kLargestRequest));
    if (!finish(nbd_aio_pread(handle_, part.data(), part.size(), offset, NBD_NULL_COMPLETION, 0))) {
      return false;
    }
    offset += part.size();
    to = to.subspan(part.size());
  }
  return !lost_;
}

bool NbdDisk::write(uint64_t offset, std::span<const uint8_t> from) {
  traffic_.written += from.size();
  if (read_only_) return false;
  while (!from.empty() && !lost_) {
    const auto part = from.first(std::min(from.size(), kLargestRequest));
    if (!finish(
            nbd_aio_pwrite(handle_, part.data(), part.size(), offset, NBD_NULL_COMPLETION, 0))) {
      return false;
    }
    offset += part.size();
    from = from.subspan(part.size());
  }
  return !lost_;
}

bool NbdDisk::discard(uint64_t offset, uint64_t count) {
  return can_trim_ && !lost_ &&
         finish(nbd_aio_trim(handle_, count, offset, NBD_NULL_COMPLETION, 0));
}

bool NbdDisk::write_zeroes(uint64_t offset, uint64_t count, Zeroing how) {
  if (!can_zero_) return DiskBackend::write_zeroes(offset, count, how);
  const uint32_t flags = how == Zeroing::Keep ? LIBNBD_CMD_FLAG_NO_HOLE : 0;
  return !lost_ && finish(nbd_aio_zero(handle_, count, offset, NBD_NULL_COMPLETION, flags));
}

bool NbdDisk::flush() {
  if (read_only_) return true;
  return !lost_ && finish(nbd_aio_flush(handle_, NBD_NULL_COMPLETION, 0));
}

}  // namespace ringshift
