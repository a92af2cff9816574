#include "devices/nbd_disk.h"

#include <libnbd.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace ringshift {
namespace {

// A poll that sees nothing in this time counts one; so many in a row, and the server has gone.
constexpr int kPollMilliseconds = 500;
constexpr int kPollsToConnect = 20, kPollsToAnswer = 60;
// Every server takes requests of this size (NBD protocol, block size constraints).
constexpr size_t kLargestRequest = size_t{1} << 20;

std::string reason() {
  const char* text = nbd_get_error();
  return text != nullptr ? text : "unknown error";
}

// True when done() says so; false when the server is silent or libnbd reports an error.
template <typename Done>
bool wait_until(nbd_handle* handle, int polls, Done done) {
  for (int silent = 0; silent < polls;) {
    if (done()) return true;
    const int seen = nbd_poll(handle, kPollMilliseconds);
    if (seen < 0) return false;
    silent = seen > 0 ? 0 : silent + 1;
  }
  return false;
}

}  // namespace

bool NbdDisk::is_uri(const std::string& text) {
  constexpr std::array kSchemes{"nbd://", "nbds://", "nbd+unix://", "nbds+unix://"};
  return std::any_of(kSchemes.begin(), kSchemes.end(),
                     [&](const char* scheme) { return text.rfind(scheme, 0) == 0; });
}

std::unique_ptr<NbdDisk> NbdDisk::open(const std::string& uri, bool read_only, uint32_t unit,
                                       std::string* error) {
  std::unique_ptr<NbdDisk> disk(new NbdDisk(uri));
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
    *error = uri_ + ": cannot be reached: " + reason();
    return false;
  }
  const bool answered = wait_until(handle_, kPollsToConnect, settled);
  if (answered && nbd_aio_is_ready(handle_) == 1) return true;
  lost_ = true;
  const char* why = nbd_get_error();
  *error = uri_ + ": cannot be reached: " + (why != nullptr ? why : "the server does not answer");
  return false;
}

bool NbdDisk::examine(uint32_t unit, std::string* error) {
  const int64_t size = nbd_get_size(handle_);
  bytes_ = size > 0 ? static_cast<uint64_t>(size) / unit * unit : 0;
  const int64_t block = nbd_get_block_size(handle_, LIBNBD_SIZE_MINIMUM);
  if (bytes_ == 0) {
    *error = uri_ + ": is no disk image (empty)";
  } else if (block > int64_t{unit}) {
    *error = uri_ + ": has blocks of " + std::to_string(block) + " bytes, larger than a sector";
  } else if (!read_only_ && nbd_is_read_only(handle_) != 0) {
    *error = uri_ + ": is read-only; add readonly=on";
  } else if (!read_only_ && nbd_can_flush(handle_) != 1) {
    *error = uri_ + ": the server cannot flush, so nothing written would be safe; add readonly=on";
  } else {
    return true;
  }
  return false;
}

// Once: what comes after an answer that never came cannot be told from it.
bool NbdDisk::give_up(const std::string& why) {
  if (!lost_) {
    std::fprintf(stderr, "ringshift: %s: %s; the guest gets errors from here on\n", uri_.c_str(),
                 why.c_str());
  }
  lost_ = true;
  return false;
}

bool NbdDisk::finish(int64_t cookie) {
  if (cookie < 0) return give_up(reason());
  const auto request = static_cast<uint64_t>(cookie);
  int result = 0;
  const bool settled = wait_until(handle_, kPollsToAnswer, [&] {
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

bool NbdDisk::flush() {
  if (read_only_) return true;
  return !lost_ && finish(nbd_aio_flush(handle_, NBD_NULL_COMPLETION, 0));
}

}  // namespace ringshift
