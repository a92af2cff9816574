#include "monitor/replication/tie_breaker.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ringshift {
namespace {

constexpr uint8_t kNobody = '-';
constexpr size_t kFileBytes = TieBreaker::kPairBytes + 1;

uint8_t letter_of(TieBreaker::Side side) { return side == TieBreaker::Side::Primary ? 'P' : 'B'; }

}  // namespace

std::unique_ptr<TieBreaker> TieBreaker::open(const std::string& path, Side side, const Pair& pair,
                                             std::string* error) {
  const int make = side == Side::Primary ? O_CREAT : 0;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | make, 0600);
  if (descriptor < 0) {
    *error = "--tie-breaker: cannot open " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  std::unique_ptr<TieBreaker> breaker(new TieBreaker(descriptor, path, side, pair));
  if (!breaker->lock(true)) {
    (void)breaker->fail(error);
    return nullptr;
  }
  Pair found{};
  uint8_t winner = 0;
  const bool is_good = side == Side::Primary ? breaker->write(pair, kNobody)
                                             : breaker->read(&found, &winner) && found == pair;
  if (!is_good) {
    if (side == Side::Primary)
      (void)breaker->fail(error);
    else
      *error = "--tie-breaker: " + path + " is not the file of this primary";
  }
  (void)breaker->lock(false);
  return is_good ? std::move(breaker) : nullptr;
}

TieBreaker::~TieBreaker() { close(descriptor_); }

// The lock belongs to the open file, so the host releases it whatever happens to us. Others hold it
// for as long as it takes to write a few bytes.
bool TieBreaker::lock(bool is_locked) const {
  constexpr int kTries = 200, kMilliseconds = 5;
  struct flock whole {};
  whole.l_type = is_locked ? F_WRLCK : F_UNLCK;
  whole.l_whence = SEEK_SET;
  for (int i = 0; i < kTries; ++i) {
    if (fcntl(descriptor_, F_OFD_SETLK, &whole) == 0) return true;
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) return false;
    (void)poll(nullptr, 0, kMilliseconds);
  }
  return false;
}

bool TieBreaker::read(Pair* pair, uint8_t* winner) const {
  std::array<uint8_t, kFileBytes> bytes{};
  if (lseek(descriptor_, 0, SEEK_SET) != 0) return false;
  if (::read(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    return false;
  }
  std::copy_n(bytes.begin(), pair->size(), pair->begin());
  *winner = bytes.back();
  return true;
}

bool TieBreaker::write(const Pair& pair, uint8_t winner) const {
  std::array<uint8_t, kFileBytes> bytes{};
  std::ranges::copy(pair, bytes.begin());
  bytes.back() = winner;
  if (lseek(descriptor_, 0, SEEK_SET) != 0) return false;
  return ::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
}

bool TieBreaker::fail(std::string* error) const {
  *error = "--tie-breaker: cannot use " + path_ + ": " + std::strerror(errno);
  return false;
}

bool TieBreaker::win(std::string* why) {
  if (!lock(true)) return fail(why);
  Pair found{};
  uint8_t winner = 0;
  bool is_ours = false;
  if (!read(&found, &winner) || found != pair_) {
    *why = path_ + " belongs to another pair by now";
  } else if (winner == kNobody) {
    is_ours = write(pair_, letter_of(side_)) || fail(why);
  } else {
    is_ours = winner == letter_of(side_);
    if (!is_ours) *why = path_ + " says that the other machine goes on";
  }
  (void)lock(false);
  return is_ours;
}

bool TieBreaker::renew(const Pair& pair, std::string* why) {
  if (!lock(true)) return fail(why);
  Pair found{};
  uint8_t winner = 0;
  bool is_done = false;
  if (!read(&found, &winner) || found != pair_) {
    *why = "--tie-breaker: " + path_ + " belongs to another pair by now";
  } else if (winner != kNobody && winner != letter_of(side_)) {
    *why = "--tie-breaker: " + path_ + " says that the other machine goes on";
  } else {
    is_done = write(pair, kNobody) || fail(why);
  }
  (void)lock(false);
  if (!is_done) return false;
  pair_ = pair;
  side_ = Side::Primary;
  return true;
}

}  // namespace ringshift
