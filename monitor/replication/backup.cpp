#include "monitor/replication/backup.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "monitor/host/time/host_clock.h"
#include "monitor/replication/incoming_join.h"

namespace ringshift {
namespace {

// Bounds of entries that have not been played: a primary never lets so many wait.
constexpr size_t kMostWaiting = size_t{256} << 20;
constexpr size_t kMostLogs = 100'000;
constexpr size_t kEntryBytes = sizeof(TapeEntry);
constexpr std::chrono::milliseconds kEnd{3000};
constexpr Nanoseconds kBetweenWords = 10'000'000;

size_t bytes_of_entry(const TapeEntry& entry) { return kEntryBytes + entry.input.bytes.size(); }

}  // namespace

Backup::Backup(ReplicaConnection connection, std::unique_ptr<TieBreaker> tie, uint32_t timeout,
               Plan plan)
    : Replica(lasting_with(std::move(tie))),
      plan_(std::move(plan)),
      timeout_(timeout),
      connection_(std::move(connection)),
      is_held_(!plan_.joins) {
  if (!plan_.joins) follow();
}

Backup::~Backup() {
  live_.reset();
  if (link_ != nullptr) link_->finish();
}

// From here on this machine's own run is the primary's log.
void Backup::follow() {
  link_ = std::make_unique<ReplicaLink>(
      std::move(connection_),
      ReplicaLink::Setup{
          .timeout = timeout_,
          .on_message = [this](const MigrationMessage& message,
                               std::string* problem) { return take(message, problem); },
          .on_tick =
              [this](std::string* /*problem*/) {
                say_heard();
                return true;
              },
          .on_end = [this](const std::string& why) { lose(why); }});
  link_->start();
}

// ---- the vCPU's thread ----

void Backup::differ(const TapePosition& at, const char* what) {
  if (problem_.empty()) {
    problem_ =
        fmt::format("the backup is not the same machine any more: at {} {}", at.text(), what);
  }
}

// Waits for a machine that runs elsewhere. The primary makes a copy of RAM meanwhile.
bool Backup::join(JoinedMachine& machine, std::string* error) {
  constexpr int kBringing = 60'000;
  connection_.stream->set_patience(kBringing);
  connection_.stream->set_wanted([&machine] { return !machine.is_ending(); });
  IncomingJoin incoming(*connection_.messages, machine);
  if (!incoming.receive()) {
    *error = "backup: the machine has not come: " + incoming.problem();
    return false;
  }
  const ReplicaJoin& from = incoming.join();
  has_joined_ = true;
  output_.begin_at(from.come);
  lasting_->taken = from.taken;
  lasting_->lives = from.at.life + 1;
  left_ = from.come;
  reached_ = from.at;
  follow();
  return true;
}

void Backup::give_up(const std::string& why) {
  if (live_ != nullptr) return live_->give_up(why);
  if (problem_.empty()) problem_ = "the backup ends here: " + why;
}

std::optional<HostInput> Backup::next_at(const TapePosition& at) {
  if (live_ != nullptr) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (entries_.empty() || entries_.front().kind != TapeEntry::Kind::Input) return std::nullopt;
  TapeEntry& entry = entries_.front();
  if (entry.at != at) {
    if (is_before(entry.at, at)) differ(at, "an input has been passed");
    return std::nullopt;
  }
  HostInput input = std::move(entry.input);
  waiting_bytes_ -= std::min(waiting_bytes_, kEntryBytes + input.bytes.size());
  entries_.pop_front();
  count_taken(input);
  return input;
}

// Never behind the known position of the primary's guest.
std::optional<uint64_t> Backup::next_count() {
  if (live_ != nullptr) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (!entries_.empty()) {
    const TapePosition& next = entries_.front().at;
    if (next.life == life() && entries_.front().kind != TapeEntry::Kind::Mark) {
      return std::min(next.events, reached_.life == life() ? reached_.events : next.events);
    }
  }
  if (reached_.life != life()) return 0;
  return reached_.events;
}

void Backup::note_played(const TapePosition& at) {
  while (!logs_.empty() && !is_before(at, logs_.front().reached)) {
    heard_.played = logs_.front().number;
    logs_.pop_front();
  }
}

Replica::Turn Backup::turn(const TapePosition& at, bool after_timers) {
  if (live_ != nullptr) return Turn::GoOn;
  const std::lock_guard lock(mutex_);
  if (!problem_.empty()) return Turn::End;
  if (!entries_.empty()) {
    const TapeEntry& next = entries_.front();
    if (next.kind == TapeEntry::Kind::Stop) {
      was_ended_ = true;
      return Turn::End;
    }
    // The guest ends by itself before it comes to another event.
    if (next.kind == TapeEntry::Kind::End && next.at.life == at.life) {
      if (!is_before(next.at, at)) return Turn::GoOn;
      differ(at, "it goes on, and the primary's guest has ended");
      return Turn::End;
    }
  }
  if (after_timers) note_played(at);
  const bool is_known = heard_.heard != 0;
  if (is_known && is_before(at, reached_)) return Turn::GoOn;
  if (is_known && !after_timers && at == reached_) return Turn::GoOn;
  switch (phase_) {
    case Phase::Following:
      return Turn::Wait;
    case Phase::Taking:
      return go_live(at);
    case Phase::Lost:
    case Phase::Damaged:
      problem_ = why_;
      return Turn::End;
  }
  return Turn::Wait;
}

// Pre: the mutex is held.
Replica::Turn Backup::go_live(const TapePosition& at) {
  constexpr uint8_t kSerialSocket = 3, kConsole = 0;
  if (!entries_.empty() && !is_before(reached_, entries_.front().at)) {
    differ(at, "an input has been passed");
    return Turn::End;
  }
  entries_.clear();  // the outside has seen nothing of what they came to
  live_ = std::make_unique<Primary>(lasting_, plan_.next);
  output_.forget(left_);
  const uint64_t taken = lasting_->taken[kSerialSocket] + lasting_->taken[kConsole];
  std::fprintf(stderr,
               "ringshift: the primary has gone (%s): this machine goes on, from %s; its serial "
               "port has taken %llu bytes, and sends again from byte %llu on\n",
               why_.c_str(), at.text().c_str(), static_cast<unsigned long long>(taken),
               static_cast<unsigned long long>(output_.left()[HeldOutput::Serial]));
  return Turn::GoLive;
}

void Backup::service() {
  if (live_ != nullptr) return live_->service();
  HeldOutput::Totals left{};
  {
    const std::lock_guard lock(mutex_);
    left = left_;
  }
  output_.forget(left);
}

void Backup::compare(const TapePosition& at, const TapeMark& here, TapeEntry::Kind kind) {
  const std::lock_guard lock(mutex_);
  if (entries_.empty() || entries_.front().kind != kind || entries_.front().at != at) {
    return differ(at, "the primary's guest has something else");
  }
  const TapeMark there = entries_.front().mark;
  waiting_bytes_ -= std::min(waiting_bytes_, kEntryBytes);
  entries_.pop_front();
  if (there.registers != here.registers) return differ(at, "the registers are others");
  if (there.output != here.output) return differ(at, "what has been sent is other");
}

void Backup::mark(const TapePosition& at, const TapeMark& here) {
  if (live_ != nullptr) return live_->mark(at, here);
  if (problem_.empty()) compare(at, here, TapeEntry::Kind::Mark);
}

// The primary's guest has come here, too; its last output is shown by one of the two.
void Backup::end(const TapePosition& at, const TapeMark& here, EndedBy who) {
  if (live_ != nullptr) return live_->end(at, here, who);
  if (who == EndedBy::Outside || !problem_.empty()) return;
  compare(at, here, TapeEntry::Kind::End);
  if (!problem_.empty()) return;
  bool takes_over = false;
  {
    std::unique_lock lock(mutex_);
    note_played(at);
    const HeldOutput::Totals come = output_.come();
    const auto is_settled = [&] { return left_ == come || phase_ != Phase::Following; };
    (void)news_.wait_for(lock, kEnd, is_settled);
    takes_over = left_ != come && phase_ == Phase::Taking;
  }
  service();
  if (takes_over) (void)output_.release(output_.come());
}

// ---- the link's thread ----

bool Backup::take(const MigrationMessage& message, std::string* problem) {
  const std::lock_guard lock(mutex_);
  is_damaged_ = true;
  if (message.kind == MessageKind::Log) {
    if (!take_log(message.bytes, problem)) return false;
  } else if (message.kind == MessageKind::Beat) {
    *problem = "the primary says what makes no sense";
    if (!read_beat(message.bytes, &left_)) return false;
  } else {
    *problem = "the primary says what is not to be said here";
    return false;
  }
  is_damaged_ = false;
  news_.notify_all();
  if (machine_.wake) machine_.wake();
  return true;
}

// Saying something wakes the link's thread, which is not to say it again at once.
void Backup::say_heard() {
  const std::lock_guard lock(mutex_);
  const Nanoseconds now = HostClock::monotonic();
  if (now - said_at_ < kBetweenWords) return;
  said_at_ = now;
  link_->send(MessageKind::Heard, bytes_of(heard_));
}

// Pre: the mutex is held.
bool Backup::take_log(std::span<const uint8_t> bytes, std::string* problem) {
  ReplicaLog log;
  if (!read_log(bytes, heard_.heard + 1, &log, problem)) return false;
  *problem = "the log is in disorder";
  TapePosition last = reached_;
  if (!entries_.empty() && is_before(last, entries_.back().at)) last = entries_.back().at;
  if (is_before(log.reached, reached_)) return false;
  for (TapeEntry& entry : log.entries) {
    const bool is_first = heard_.heard == 0;
    if (!is_first && is_before(entry.at, last)) return false;
    last = entry.at;
    waiting_bytes_ += bytes_of_entry(entry);
    entries_.push_back(std::move(entry));
  }
  *problem = "the primary sends more than it may";
  if (waiting_bytes_ > kMostWaiting || logs_.size() >= kMostLogs) return false;
  heard_.heard = log.number;
  reached_ = log.reached;
  left_ = log.left;
  if (log.is_held && !is_held_) {
    std::fprintf(stderr, "ringshift: backup: follows a primary that ran before, from %s on\n",
                 log.reached.text().c_str());
  }
  is_held_ = is_held_ || log.is_held;
  logs_.push_back({log.number, log.reached});
  link_->send(MessageKind::Heard, bytes_of(heard_));
  return true;
}

// A primary whose words make no sense may be alive: nobody takes over from it. Nor from one that
// has shown output that this machine cannot come to.
void Backup::lose(const std::string& why) {
  std::string lost;
  bool is_held = false;
  {
    const std::lock_guard lock(mutex_);
    is_held = is_held_;
  }
  const bool is_ours = !is_damaged_ && is_held && tie().win(&lost);
  const std::lock_guard lock(mutex_);
  phase_ = is_ours ? Phase::Taking : is_damaged_ ? Phase::Damaged : Phase::Lost;
  if (is_ours) {
    why_ = why;
  } else if (is_damaged_) {
    why_ = "the stream of the primary: " + why;
  } else if (is_held) {
    why_ = "the primary is out of reach (" + why + "): " + lost;
  } else {
    why_ = "the primary has gone before this machine could be its backup (" + why + ")";
  }
  news_.notify_all();
  if (machine_.wake) machine_.wake();
}

}  // namespace ringshift
