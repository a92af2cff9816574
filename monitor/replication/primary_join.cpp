// Primary, second part: how one that has no backup is given one while it runs. See
// docs/replication.md, "A backup that joins".
#include <algorithm>
#include <array>
#include <cstdio>
#include <system_error>
#include <utility>

#include "monitor/host/time/host_clock.h"
#include "monitor/replication/primary.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000;
// A backup that is no further behind is as good as there.
constexpr Nanoseconds kNear = 50 * kMillisecond;
// The bytes of logs that are kept until the backup plays them.
constexpr size_t kMostKept = size_t{64} << 20;

}  // namespace

void Primary::prepare_join(std::optional<JoinPlace> next) {
  output_.set_on_held([this] {
    if (machine_.look) machine_.look();
  });
  if (!next) return;
  where_ = next->where;
  const auto describe = [this](ReplicaJoin* join) {
    join->come = output_.come();
    join->taken = lasting_->taken;
  };
  const auto wake = [this] {
    const std::lock_guard lock(mutex_);
    if (machine_.wake) machine_.wake();
  };
  join_.emplace(
      OutgoingJoin::Setup{.place = std::move(*next),
                          .renew = [this](const TieBreaker::Pair& pair,
                                          std::string* why) { return tie().renew(pair, why); },
                          .describe = describe,
                          .wake = wake});
}

void Primary::look_for_backup(bool waits_first) {
  has_looked_ = true;
  if (!join_ || cannot_repeat_) return join_.reset();
  try {
    join_->begin(waits_first);
  } catch (const std::system_error& refused) {
    std::fprintf(stderr,
                 "ringshift: no backup is looked for any more: the host refuses a thread: %s\n",
                 refused.what());
    join_.reset();
  }
}

// The first look is here, when files are out of reach for good, and one that has taken over is past
// the position at which it did.
void Primary::follow_join() {
  if (!join_ || machine_.machine == nullptr || !output_.is_open()) return;
  if (!has_looked_) look_for_backup(false);
  if (!join_) return;
  OutgoingJoin::News news = join_->service(*machine_.machine);
  if (cannot_repeat_) news = join_->give_up("the host cannot read or write a disk's image");
  if (kept_bytes_ > kMostKept)
    news = join_->give_up("more has come for the guest than can be kept");
  switch (news) {
    case OutgoingJoin::News::None:
      return;
    case OutgoingJoin::News::Moment:
      return begin_log();
    case OutgoingJoin::News::Joined:
      return catch_up();
    case OutgoingJoin::News::Failed:
      return fail_join(join_->problem());
  }
}

void Primary::forget_kept() {
  kept_.clear();
  kept_bytes_ = 0;
}

// Forgets everything prepared for a backup that does not come.
void Primary::forget_joining() {
  plain_.clear();
  forget_kept();
  known_ = Phase::Alone;
  const std::lock_guard lock(mutex_);
  phase_ = Phase::Alone;
  sent_.clear();
}

void Primary::begin_log() {
  plain_.clear();
  forget_kept();
  before_ = logged_ = output_.come();
  logged_at_ = HostClock::monotonic();
  reached_ = machine_.machine->position();
  has_reached_ = true;
  pause_ = join_->pause();
  known_ = Phase::Joining;
  const std::lock_guard lock(mutex_);
  phase_ = Phase::Joining;
  sent_.clear();
  number_ = 0;
  heard_ = {};
  waiting_bytes_ = 0;
  told_ = {};
  is_look_due_ = wants_log_ = is_slowed_ = false;
}

void Primary::catch_up() {
  const uint32_t timeout = join_->timeout();
  known_ = Phase::CatchingUp;
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::CatchingUp;
    catching_since_ = came_on_at_ = HostClock::monotonic();
  }
  link_ = link_over(join_->take(), timeout);
  for (std::vector<uint8_t>& log : kept_) link_->send(MessageKind::Log, std::move(log));
  forget_kept();
  link_->start();
}

void Primary::fail_join(const std::string& why) {
  std::fprintf(stderr, "ringshift: a backup has not come to join (%s): the machine has none\n",
               why.c_str());
  // Its thread takes the mutex: first of all it has to end.
  link_.reset();
  forget_joining();
  look_for_backup(true);
}

// The backup has all but the last moments, and output from before the moment that it was brought,
// which it could not send again, has been shown.
bool Primary::is_near() {
  const HeldOutput::Totals shown = output_.shown();
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown.at(i) < before_.at(i)) return false;
  }
  const std::lock_guard lock(mutex_);
  return sent_.empty() || HostClock::monotonic() - sent_.front().at < kNear;
}

// From here on the guest's output waits for the backup, and the next log tells it so. All output
// that has left was caused by entries of that log at the latest.
void Primary::protect() {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::CatchingUp) return;
  phase_ = known_ = Phase::Paired;
  is_slowed_ = false;
  output_.close();
  may_leave_ = output_.come();
  protected_by_ = number_ + 1;
}

// RAM of this life is not to be touched any more.
void Primary::let_go_of_ram() {
  if (!join_ || !join_->needs_grains()) return;
  (void)join_->give_up("the guest has ended");
  forget_joining();
  has_looked_ = false;
}

// ---- the link's thread; the mutex is held ----

// While the backup is behind, the guest goes on for a part of the time only, so that it comes
// nearer: half of it, and less and less.
bool Primary::stands_still(Nanoseconds now) const {
  constexpr Nanoseconds kSlot = 10 * kMillisecond, kRound = 20, kStep = 2000 * kMillisecond;
  constexpr std::array<Nanoseconds, 4> kRuns = {10, 5, 2, 1};  // slots of a round
  if (sent_.empty() || now - sent_.front().at < kNear) return false;
  const auto step = static_cast<size_t>((now - catching_since_) / kStep);
  const Nanoseconds runs = kRuns.at(std::min(step, kRuns.size() - 1));
  return now / kSlot * runs % kRound >= runs;
}

void Primary::slow_down(Nanoseconds now) {
  const bool stands = phase_ == Phase::CatchingUp && stands_still(now);
  if (std::exchange(is_slowed_, stands) != stands && machine_.wake) machine_.wake();
}

}  // namespace ringshift
