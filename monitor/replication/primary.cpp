#include "monitor/replication/primary.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr Nanoseconds kMillisecond = 1'000'000;
// How long the backup is not told how far the guest is, while nothing else is to be said.
constexpr Nanoseconds kBetweenLogs = 20 * kMillisecond;
// How far the backup's guest may be behind this one before this one waits, and before it is given
// up.
constexpr Nanoseconds kMostBehind = 200 * kMillisecond, kTooFarBehind = 10'000 * kMillisecond;
// The bytes of logs that have not been played, and of output that has not left, at most.
constexpr size_t kMostLog = size_t{4} << 20, kMostOutput = size_t{256} << 10;
constexpr size_t kLogBytes = 100;  // of one without entries, about
// An entry may have that much; a chunk of them at most 4 MiB.
constexpr size_t kMostPlain = size_t{256} << 10;
constexpr std::chrono::milliseconds kFarewell{100}, kEnd{2000};

}  // namespace

Primary::Primary(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout,
                 std::optional<JoinPlace> next)
    : Replica(lasting_with(std::move(tie))) {
  prepare_join(std::move(next));
  link_ = link_over(std::move(connection), timeout);
  link_->start();
}

Primary::Primary(std::unique_ptr<TieBreaker> tie, JoinPlace next)
    : Primary(lasting_with(std::move(tie)), std::move(next)) {
  output_.open();
}

Primary::Primary(std::shared_ptr<Lasting> lasting, std::optional<JoinPlace> next)
    : Replica(std::move(lasting)), known_(Phase::Alone), phase_(Phase::Alone) {
  prepare_join(std::move(next));
}

Primary::~Primary() {
  join_.reset();
  if (link_ != nullptr) link_->finish();
}

std::unique_ptr<ReplicaLink> Primary::link_over(ReplicaConnection connection, uint32_t timeout) {
  return std::make_unique<ReplicaLink>(
      std::move(connection),
      ReplicaLink::Setup{
          .timeout = timeout,
          .on_message = [this](const MigrationMessage& message,
                               std::string* problem) { return take(message, problem); },
          .on_tick = [this](std::string* problem) { return tick(problem); },
          .on_end = [this](const std::string& why) { lose(why); }});
}

// ---- the vCPU's thread ----

void Primary::add(const TapeEntry& entry) {
  if (is_logged()) append_entry(entry, &plain_);
}

void Primary::note(const TapePosition& at, const HostInput& input) {
  count_taken(input);
  add({.kind = TapeEntry::Kind::Input, .at = at, .input = input, .mark = {}});
  if (plain_.size() > kMostPlain && has_reached_) send_log(reached_);
}

void Primary::mark(const TapePosition& at, const TapeMark& here) {
  add({.kind = TapeEntry::Kind::Mark, .at = at, .input = {}, .mark = here});
}

// Sends the guest's inputs up to here, and that there were no others. Output from before this
// position may leave once the backup has the log.
void Primary::send_log(const TapePosition& at) {
  if (!is_logged()) return plain_.clear();
  logged_at_ = HostClock::monotonic();
  reached_ = at;
  has_reached_ = true;
  const HeldOutput::Totals shown = output_.shown();
  const std::lock_guard lock(mutex_);
  const size_t bytes = kLogBytes + plain_.size();
  std::vector<uint8_t> log = bytes_of_log(++number_, at, shown, plain_, known_ == Phase::Paired);
  plain_.clear();
  if (link_ != nullptr) {
    link_->send(MessageKind::Log, std::move(log));
  } else {
    kept_bytes_ += log.size();
    kept_.push_back(std::move(log));
  }
  sent_.push_back({.number = number_, .at = logged_at_, .bytes = bytes, .come = logged_});
  waiting_bytes_ += bytes;
  is_look_due_ = wants_log_ = false;
}

// One log at a time is on its way for output that the guest prints byte by byte.
void Primary::passed(const TapePosition& at) {
  if (!is_logged()) return;
  const bool has_news = !plain_.empty() || output_.come() != logged_;
  const bool is_awaited = has_news && known_ == Phase::Paired;
  if (!is_awaited && HostClock::monotonic() - logged_at_ < kBetweenLogs) return;
  if (known_ == Phase::CatchingUp && is_near()) protect();
  if (known_ == Phase::Paired && protected_by_ != number_ + 1) {
    const std::lock_guard lock(mutex_);
    wants_log_ = heard_.heard != number_;
    if (wants_log_) return;
  }
  logged_ = output_.come();
  send_log(at);
}

// Output behind the last log that was heard waits for the next log, which is sent at an event.
bool Primary::wants_look() {
  const std::lock_guard lock(mutex_);
  const bool is_held = heard_.heard == number_ && output_.waiting() != 0;
  return (phase_ == Phase::Paired && (is_look_due_ || is_held)) ||
         (phase_ == Phase::CatchingUp && is_look_due_);
}

bool Primary::is_full() {
  const std::lock_guard lock(mutex_);
  if (phase_ == Phase::CatchingUp) return is_slowed_;
  if (phase_ != Phase::Paired || sent_.empty()) return false;
  return waiting_bytes_ > kMostLog || output_.waiting() > kMostOutput ||
         HostClock::monotonic() - sent_.front().at > kMostBehind;
}

void Primary::service() {
  Phase phase{};
  HeldOutput::Totals may_leave{};
  uint64_t heard = 0;
  std::string why;
  {
    const std::lock_guard lock(mutex_);
    phase = phase_;
    may_leave = may_leave_;
    heard = heard_.heard;
    why = why_;
  }
  if (known_ == Phase::Paired) {
    (void)output_.release(may_leave);
    say_protected(heard);
  }
  if (link_ != nullptr) tell_shown();
  if (phase != known_) note_lost(phase, why);
  follow_join();
}

void Primary::say_protected(uint64_t heard) {
  constexpr double kInMilliseconds = 1e6;
  if (protected_by_ == 0 || heard < protected_by_) return;
  protected_by_ = 0;
  std::fprintf(
      stderr, "ringshift: the machine has a backup: %s, from %s on; the guest stood for %.1f ms\n",
      where_.c_str(), reached_.text().c_str(), static_cast<double>(pause_) / kInMilliseconds);
}

// The link's thread has come to its end.
void Primary::note_lost(Phase phase, const std::string& why) {
  const bool was_paired = known_ == Phase::Paired;
  known_ = phase;
  plain_.clear();
  protected_by_ = 0;
  if (phase == Phase::Lost) {
    if (problem_.empty()) problem_ = "the backup is out of reach: " + why;
    return;
  }
  if (!was_paired) return fail_join(why);
  std::fprintf(stderr, "ringshift: the backup has gone (%s): the machine goes on without one\n",
               why.c_str());
  output_.open();
  link_.reset();
  look_for_backup(true);
}

// Output that the outside has been shown is not shown by the backup again.
void Primary::tell_shown() {
  const HeldOutput::Totals shown = output_.shown();
  const std::lock_guard lock(mutex_);
  if (shown == told_) return;
  told_ = shown;
  link_->send(MessageKind::Beat, bytes_of_beat(told_));
}

// The backup is not to take over a machine whose disks it cannot have, so this one has to end. One
// without a backup is given none any more.
void Primary::give_up(const std::string& why) {
  cannot_repeat_ = true;
  if (known_ == Phase::Paired && problem_.empty()) problem_ = "the primary ends here: " + why;
}

// The guest's last output leaves before the guest begins again, or the process ends.
void Primary::end(const TapePosition& at, const TapeMark& here, EndedBy who) {
  const bool is_guests = who == EndedBy::Guest;
  add({.kind = is_guests ? TapeEntry::Kind::End : TapeEntry::Kind::Stop,
       .at = at,
       .input = {},
       .mark = here});
  if (known_ == Phase::CatchingUp) send_log(at);
  if (known_ != Phase::Paired) return;
  logged_ = output_.come();
  send_log(at);
  {
    std::unique_lock lock(mutex_);
    const auto is_settled = [this] { return phase_ != Phase::Paired || heard_.heard == number_; };
    (void)news_.wait_for(lock, is_guests ? kEnd : kFarewell, is_settled);
  }
  service();
  if (is_guests) wait_until_shown();
}

void Primary::wait_until_shown() {
  constexpr std::chrono::milliseconds kLook{2};
  const auto is_shown = [this] { return output_.shown() == output_.come(); };
  for (auto left = kEnd; known_ == Phase::Paired && !is_shown() && left.count() > 0;
       left -= kLook) {
    std::unique_lock lock(mutex_);
    (void)news_.wait_for(lock, kLook, [this] { return phase_ != Phase::Paired; });
    if (phase_ != Phase::Paired) break;
  }
  service();
}

// ---- the link's thread ----

bool Primary::take(const MigrationMessage& message, std::string* problem) {
  const std::lock_guard lock(mutex_);
  if (message.kind != MessageKind::Heard || !read_heard(message.bytes, heard_, number_, &heard_)) {
    *problem = "the backup says what makes no sense";
    return false;
  }
  bool is_news = false;
  for (Sent& log : sent_) {
    if (log.number > heard_.heard) break;
    if (std::exchange(log.is_heard, true)) continue;
    is_news = is_news || log.come != may_leave_;
    may_leave_ = log.come;
  }
  while (!sent_.empty() && sent_.front().number <= heard_.played) {
    came_on_at_ = HostClock::monotonic();
    waiting_bytes_ -= sent_.front().bytes;
    sent_.pop_front();
  }
  news_.notify_all();
  is_look_due_ = is_look_due_ || wants_log_;
  if ((is_news || wants_log_) && machine_.wake) machine_.wake();
  return true;
}

bool Primary::tick(std::string* problem) {
  const std::lock_guard lock(mutex_);
  const Nanoseconds now = HostClock::monotonic();
  const bool is_paired = phase_ == Phase::Paired;
  if (!is_paired) slow_down(now);
  const Nanoseconds since = is_paired || sent_.empty() ? 0 : came_on_at_;
  if (!sent_.empty() && now - std::max(sent_.front().at, since) > kTooFarBehind) {
    *problem = "it does not keep up";
    return false;
  }
  if (now - beat_at_ < kBetweenLogs) return true;
  beat_at_ = now;
  link_->send(MessageKind::Beat, bytes_of_beat(told_));
  is_look_due_ = true;
  if (machine_.wake) machine_.wake();
  return true;
}

// One that has never been told that it may take over has not.
void Primary::lose(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::Paired) {
      phase_ = Phase::Alone;
      why_ = why;
      if (machine_.wake) machine_.wake();
      return;
    }
  }
  std::string lost;
  const bool is_ours = tie().win(&lost);
  const std::lock_guard lock(mutex_);
  phase_ = is_ours ? Phase::Alone : Phase::Lost;
  why_ = is_ours ? why : why + "; " + lost;
  news_.notify_all();
  if (machine_.wake) machine_.wake();
}

}  // namespace ringshift
