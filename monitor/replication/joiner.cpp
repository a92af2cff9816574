#include "monitor/replication/joiner.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "devices/host/host_random.h"
#include "monitor/migration/greeting/greeting.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/zeroed_bytes.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

// Milliseconds. The last bound is for a peer that is given a machine, and does not read, or does
// not answer.
constexpr int kConnecting = 10'000, kGettingReady = 60'000, kReading = 10'000;
constexpr int kLook = 100, kSecond = 1000;

}  // namespace

bool reach_backup(const JoinPlace& place, const std::function<bool()>& is_wanted,
                  ReplicaConnection* connection, bool* is_gone, std::string* problem) {
  const auto nobody = [&](const std::string& why) {
    if (is_gone != nullptr) *is_gone = true;
    *problem = why;
    return false;
  };
  const int socket = open_host_file(place.where, FileUse::Connect);
  if (socket < 0) return nobody(std::strerror(errno));
  connection->stream = std::make_unique<SocketStream>(socket, is_wanted);
  connection->messages = std::make_unique<MigrationMessages>(*connection->stream);
  connection->stream->set_patience(kConnecting);
  if (!connection->stream->wait_until_connected(problem)) return nobody(*problem);
  if (greet(*connection->messages, place.key, problem)) return true;
  if (problem->empty()) *problem = connection->messages->problem();
  return false;
}

bool introduce(const JoinPlace& place, const TieBreaker::Pair& pair, bool joins,
               ReplicaConnection& connection, std::string* problem) {
  MigrationMessage message;
  connection.stream->set_patience(kGettingReady);
  const ReplicaBegin begin{
      .timeout = place.timeout, .joins = joins, .pair = pair, .run = place.run};
  if (connection.messages->send(MessageKind::Begin, bytes_of(begin)) &&
      connection.messages->expect(MessageKind::Ready, &message)) {
    return true;
  }
  *problem = connection.messages->problem();
  return false;
}

Joiner::Joiner(Setup setup) : setup_(std::move(setup)) {
  thread_.start("join", [this] { work(); });
}

Joiner::~Joiner() {
  thread_.join();
  if (has_machine_) close_descriptor(machine_.ram.descriptor);
}

// ---- the vCPU's thread ----

Joiner::Phase Joiner::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

std::string Joiner::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void Joiner::give(Machine machine) {
  const std::lock_guard lock(mutex_);
  machine_ = std::move(machine);
  has_machine_ = true;
  phase_ = Phase::Sending;
  thread_.wake();
}

ReplicaConnection Joiner::take() { return std::move(connection_); }

// ---- its own ----

void Joiner::note(Phase phase, const std::string& problem) {
  {
    const std::lock_guard lock(mutex_);
    phase_ = phase;
    problem_ = problem;
  }
  setup_.on_news();
}

// False: nobody wants it any more.
bool Joiner::wait_for(int milliseconds) {
  pollfd wake{thread_.wake_descriptor(), POLLIN, 0};
  for (int left = milliseconds; left > 0 && !thread_.is_stopping(); left -= kLook) {
    (void)poll(&wake, 1, std::min(left, kLook));
  }
  return !thread_.is_stopping();
}

void Joiner::work() {
  std::string problem;
  const int again = static_cast<int>(setup_.place.again) * kSecond;
  if (setup_.waits_first && !wait_for(again)) return;
  while (!look(&problem)) {
    if (thread_.is_stopping()) return;
    const std::string line = "--replicate-to: " + setup_.place.where + ": " + problem;
    if (std::exchange(said_, line) != line) {
      std::fprintf(stderr, "ringshift: %s; the machine has no backup\n", line.c_str());
    }
    if (!wait_for(again)) return;
  }
  note(Phase::Found);
  if (!wait_for_machine()) {
    if (!thread_.is_stopping()) note(Phase::Failed, "the other side has gone");
    return;
  }
  const bool is_joined = send_machine(&problem);
  if (thread_.is_stopping()) return;
  is_joined ? note(Phase::Joined) : note(Phase::Failed, problem);
}

bool Joiner::look(std::string* problem) {
  TieBreaker::Pair pair{};
  HostRandom().fill(pair);
  connection_ = {};
  return reach_backup(
             setup_.place, [this] { return !thread_.is_stopping(); }, &connection_, nullptr,
             problem) &&
         setup_.renew(pair, problem) && introduce(setup_.place, pair, true, connection_, problem);
}

// A backup that waits for a machine has nothing to say.
bool Joiner::wait_for_machine() {
  while (!thread_.is_stopping()) {
    thread_.take_wake();
    if (const std::lock_guard lock(mutex_); has_machine_) return true;
    if (connection_.stream->has_news()) return false;
    (void)connection_.stream->wait(thread_.wake_descriptor(), kLook);
  }
  return false;
}

bool Joiner::send_machine(std::string* problem) {
  constexpr size_t kPart = size_t{1} << 20;
  MigrationMessages& messages = *connection_.messages;
  const auto fail = [&] {
    MigrationMessage last;
    // A word why may have been left.
    if (connection_.stream->has_news()) (void)messages.expect(MessageKind::Refuse, &last);
    *problem = messages.problem();
    return false;
  };
  connection_.stream->set_patience(kReading);
  if (!messages.send(MessageKind::Join, bytes_of(machine_.join))) return fail();
  for (std::span<const uint8_t> rest = machine_.state; !rest.empty();) {
    const auto part = rest.first(std::min(rest.size(), kPart));
    if (!messages.send(MessageKind::State, part)) return fail();
    rest = rest.subspan(part.size());
  }
  if (!send_ram(problem)) return problem->empty() ? fail() : false;
  MigrationMessage message;
  if (!messages.expect(MessageKind::Ready, &message)) return fail();
  machine_.state = {};
  close_descriptor(std::exchange(machine_.ram.descriptor, -1));
  return true;
}

// False: *problem has one line, or is empty, and the messages say why.
bool Joiner::send_ram(std::string* problem) {
  problem->clear();
  const RamBase& ram = machine_.ram;
  const uint64_t size = machine_.join.ram_bytes, grain = machine_.join.grain_bytes;
  std::vector<uint64_t> hashes(ram.present.size());
  std::vector<uint8_t> bytes, head;
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (!ram.present[i]) continue;
    bytes.resize(std::min(grain, size - i * grain));
    if (!read_contents(ram.descriptor, ram.offset + i * grain, bytes).ok()) {
      *problem = "RAM of the moment cannot be read";
      return false;
    }
    if (is_zero(bytes)) continue;
    hashes[i] = hash_bytes(bytes, i);
    head.clear();
    put_u32(&head, static_cast<uint32_t>(i));
    put_u32(&head, 0);
    if (!connection_.messages->send(MessageKind::Grain, head, bytes)) return false;
  }
  std::vector<uint8_t> end;
  put_u64(&end, hash_of_grains(hashes));
  return connection_.messages->send(MessageKind::End, end);
}

}  // namespace ringshift
