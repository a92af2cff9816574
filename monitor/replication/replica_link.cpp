#include "monitor/replication/replica_link.h"

#include <utility>

#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr int kTickMilliseconds = 10;
constexpr Nanoseconds kMillisecond = 1'000'000, kFarewell = 100 * kMillisecond;

}  // namespace

ReplicaLink::ReplicaLink(ReplicaConnection connection, Setup setup)
    : connection_(std::move(connection)), setup_(std::move(setup)) {}

ReplicaLink::~ReplicaLink() { finish(); }

void ReplicaLink::start() {
  connection_.stream->set_patience(static_cast<int>(setup_.timeout));
  connection_.stream->set_wanted([this] { return is_wanted(); });
  heard_at_ = HostClock::monotonic();
  thread_.start("replica", [this] { work(); });
}

void ReplicaLink::send(MessageKind kind, std::vector<uint8_t> bytes) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({kind, std::move(bytes)});
  }
  thread_.wake();
}

void ReplicaLink::finish() {
  farewell_until_.store(HostClock::monotonic() + kFarewell);
  thread_.join();
}

bool ReplicaLink::is_wanted() const {
  return !thread_.is_stopping() || HostClock::monotonic() < farewell_until_.load();
}

// ---- the thread ----

bool ReplicaLink::send_all() {
  std::vector<Waiting> now;
  {
    const std::lock_guard lock(mutex_);
    now = std::exchange(waiting_, {});
  }
  for (const Waiting& one : now) {
    if (!connection_.messages->send(one.kind, one.bytes)) return false;
  }
  return true;
}

// A machine that was stopped itself first reads the messages that have come meanwhile.
bool ReplicaLink::take_all(std::string* problem) {
  constexpr int kMostAtOnce = 64;
  MigrationMessage message;
  for (int i = 0; i < kMostAtOnce && connection_.stream->has_news(); ++i) {
    if (!connection_.messages->receive(&message)) {
      *problem = connection_.messages->problem();
      return false;
    }
    heard_at_ = HostClock::monotonic();
    if (!setup_.on_message(message, problem)) return false;
  }
  if (HostClock::monotonic() - heard_at_ <= setup_.timeout * kMillisecond) return true;
  *problem = "the other side is silent";
  return false;
}

void ReplicaLink::work() {
  std::string problem;
  while (!thread_.is_stopping()) {
    if (!take_all(&problem) || !setup_.on_tick(&problem)) break;
    if (!send_all()) {
      problem = connection_.messages->problem();
      // Messages that the peer sent before it left are valid.
      std::string ignored;
      (void)take_all(&ignored);
      break;
    }
    (void)connection_.stream->wait(thread_.wake_descriptor(), kTickMilliseconds);
    thread_.take_wake();
  }
  if (!thread_.is_stopping()) {
    setup_.on_end(problem);
  } else {
    (void)send_all();
  }
  connection_.messages.reset();
  connection_.stream.reset();  // the other side hears of it
}

}  // namespace ringshift
