#include "monitor/migration/migration_sender.h"

#include <algorithm>
#include <cstring>

#include "monitor/host/time/host_clock.h"
#include "monitor/migration/greeting/greeting.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/zeroed_bytes.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr size_t kMostWaiting = 64;  // grains
constexpr int kIdleMilliseconds = 100;

}  // namespace

MigrationSender::MigrationSender(MigrationSetup setup)
    : setup_(std::move(setup)), bandwidth_(setup_.bandwidth) {
  hashes_.resize((setup_.ram_bytes + setup_.grain_bytes - 1) / setup_.grain_bytes);
  stream_ =
      std::make_unique<SocketStream>(setup_.socket, [this] { return !thread_.is_stopping(); });
  messages_ = std::make_unique<MigrationMessages>(*stream_);
  thread_.start("migration", [this] { work(); });
}

MigrationSender::~MigrationSender() { thread_.join(); }

// ---- the vCPU's thread ----

MigrationSender::Phase MigrationSender::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

std::string MigrationSender::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

MigrationSender::Figures MigrationSender::figures() const {
  const std::lock_guard lock(mutex_);
  Figures now = figures_;
  now.waiting = queue_.size();
  return now;
}

void MigrationSender::set_bandwidth(uint64_t bytes_a_second) {
  const std::lock_guard lock(mutex_);
  bandwidth_ = bytes_a_second;
}

size_t MigrationSender::room() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() < kMostWaiting ? kMostWaiting - queue_.size() : 0;
}

void MigrationSender::give(const Grain& grain) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(grain);
  if (queue_.size() == 1) thread_.wake();
}

void MigrationSender::finish(std::vector<uint8_t> state, uint32_t flags, std::vector<Grain> late) {
  const std::lock_guard lock(mutex_);
  given_late_ = std::move(late);
  state_ = std::move(state);
  flags_ = flags;
  is_finishing_ = true;
  thread_.wake();
}

void MigrationSender::commit() {
  const std::lock_guard lock(mutex_);
  is_committed_ = true;
  phase_ = Phase::Committed;
  thread_.wake();
}

// ---- its own thread ----

void MigrationSender::note(Phase phase, std::string problem) {
  {
    const std::lock_guard lock(mutex_);
    phase_ = phase;
    problem_ = std::move(problem);
  }
  setup_.on_news();
}

// Empty: as the messages say, unless the other side has left a word why.
bool MigrationSender::fail(std::string problem) {
  using End = MigrationStream::End;
  if (problem.empty()) {
    MigrationMessage last;
    const End end = messages_->end();
    const bool may_have_word =
        messages_->problem().empty() || end == End::Closed || end == End::Broken;
    if (may_have_word && stream_->has_news()) (void)messages_->expect(MessageKind::Refuse, &last);
    problem = messages_->problem();
  }
  note(Phase::Failed, problem.empty() ? "the end was asked for" : std::move(problem));
  return false;
}

void MigrationSender::work() {
  if (!introduce() || !ask() || !send_grains() || !finish_sending() || !wait_for_decision()) return;
  hand_over();
}

bool MigrationSender::introduce() {
  constexpr int kConnecting = 10'000, kPatience = 30'000;
  std::string problem;
  stream_->set_patience(kConnecting);
  if (!stream_->wait_until_connected(&problem)) return fail("cannot connect: " + problem);
  if (!greet(*messages_, setup_.key, &problem)) return fail(problem);
  stream_->set_patience(kPatience);
  return true;
}

bool MigrationSender::ask() {
  std::vector<uint8_t> begin;
  put_u64(&begin, setup_.ram_bytes);
  put_u32(&begin, setup_.grain_bytes);
  put_u32(&begin, 0);
  MigrationMessage message;
  if (!messages_->send(MessageKind::Begin, begin) || !send_state(setup_.rehearsal) ||
      !messages_->send(MessageKind::Rehearse) ||
      !messages_->expect(MessageKind::Accept, &message)) {
    return fail();
  }
  setup_.rehearsal = {};
  note(Phase::Sending);
  return true;
}

bool MigrationSender::send_state(std::span<const uint8_t> state) {
  constexpr size_t kPart = size_t{1} << 20;
  while (!state.empty()) {
    const auto part = state.first(std::min(state.size(), kPart));
    if (!messages_->send(MessageKind::State, part)) return false;
    state = state.subspan(part.size());
  }
  return true;
}

// Until all has been given and sent.
bool MigrationSender::send_grains() {
  pace_began_ = HostClock::monotonic();
  pace_bytes_ = messages_->bytes_sent();
  while (true) {
    Grain grain;
    bool has_one = false, is_last = false;
    {
      const std::lock_guard lock(mutex_);
      has_one = !queue_.empty();
      if (has_one) grain = queue_.front();
      is_last = !has_one && is_finishing_;
    }
    if (is_last) return true;
    if (!has_one) {
      thread_.take_wake();
      if (const std::lock_guard lock(mutex_); !queue_.empty() || is_finishing_) continue;
      if (!stream_->wait(thread_.wake_descriptor(), kIdleMilliseconds)) return fail();
      if (stream_->has_news()) return fail();
      continue;
    }
    if (!send_grain(grain)) return false;
    bool has_room = false;
    {
      const std::lock_guard lock(mutex_);
      queue_.pop_front();
      has_room = queue_.size() == kMostWaiting / 2 || queue_.empty();
      figures_.bytes = messages_->bytes_sent();
    }
    if (has_room) setup_.on_news();
  }
}

bool MigrationSender::send_grain(const Grain& grain) {
  bool good = false;
  const std::vector<uint8_t> bytes = bytes_of(grain, &good);
  if (!good) return fail("RAM cannot be read");
  const bool is_empty = is_zero(bytes);
  const uint64_t hash = is_empty ? 0 : hash_bytes(bytes, grain.number);
  if (is_empty && hashes_[grain.number] == 0) return true;  // as the other side's RAM began
  hashes_[grain.number] = hash;
  if (!send_bytes(grain, is_empty ? std::span<const uint8_t>() : bytes)) return fail();
  keep_to_bandwidth();
  return true;
}

std::vector<uint8_t> MigrationSender::bytes_of(const Grain& grain, bool* good) const {
  const uint64_t start = uint64_t{grain.number} * setup_.grain_bytes;
  std::vector<uint8_t> bytes(std::min<uint64_t>(setup_.grain_bytes, setup_.ram_bytes - start));
  *good = read_contents(grain.descriptor, grain.offset, bytes).ok();
  return bytes;
}

// bytes: empty: zeros.
bool MigrationSender::send_bytes(const Grain& grain, std::span<const uint8_t> bytes) {
  std::vector<uint8_t> head;
  put_u32(&head, grain.number);
  put_u32(&head, 0);
  if (!messages_->send(MessageKind::Grain, head, bytes)) return false;
  const std::lock_guard lock(mutex_);
  ++(bytes.empty() ? figures_.zero_grains : figures_.data_grains);
  return true;
}

void MigrationSender::keep_to_bandwidth() {
  constexpr int64_t kSecond = 1'000'000'000, kMillisecond = 1'000'000;
  uint64_t limit = 0;
  {
    const std::lock_guard lock(mutex_);
    limit = is_finishing_ && !is_serving_ ? 0 : bandwidth_;  // the guest stands then
  }
  const uint64_t sent = messages_->bytes_sent() - pace_bytes_;
  const int64_t now = HostClock::monotonic();
  const auto due =
      limit == 0
          ? int64_t{0}
          : static_cast<int64_t>(static_cast<double>(sent) * kSecond / static_cast<double>(limit));
  const int64_t ahead = due - (now - pace_began_);
  if (ahead > kMillisecond) {
    (void)stream_->wait(thread_.wake_descriptor(), static_cast<int>(ahead / kMillisecond));
    thread_.take_wake();
  }
  if (limit != 0 && now - pace_began_ < kSecond) return;
  pace_began_ = HostClock::monotonic();
  pace_bytes_ = messages_->bytes_sent();
}

bool MigrationSender::finish_sending() {
  note(Phase::Finishing);
  std::vector<uint8_t> state;
  uint32_t flags = 0;
  {
    const std::lock_guard lock(mutex_);
    state = std::move(state_);
    flags = flags_;
    late_ = std::move(given_late_);
  }
  if (!announce_late()) return fail();
  std::vector<uint8_t> end;
  put_u32(&end, flags);
  put_u32(&end, 0);
  put_u64(&end, hash_of_grains(hashes_));
  if (!send_state(state) || !messages_->send(MessageKind::End, end)) return fail();
  if (!expect_ready()) return false;
  {
    const std::lock_guard lock(mutex_);
    figures_.bytes = messages_->bytes_sent();
  }
  note(Phase::Ready);
  return true;
}

bool MigrationSender::wait_for_decision() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (is_committed_) return true;
    }
    thread_.take_wake();
    if (stream_->has_news()) return fail();
    if (const std::lock_guard lock(mutex_); is_committed_) continue;
    if (!stream_->wait(thread_.wake_descriptor(), kIdleMilliseconds)) return fail();
  }
}

// A word that could not be sent whole has not been heard. One that was sent may have been; that the
// other side has ended the connection without an answer says that it never ran the machine.
void MigrationSender::hand_over() {
  MigrationMessage message;
  if (!messages_->send(MessageKind::Commit)) return (void)fail();
  const bool has_answer = messages_->receive(&message);
  if (has_answer && message.kind == MessageKind::Running) {
    return late_left_ == 0 ? note(Phase::HandedOver) : serve();
  }
  if (has_answer && message.kind == MessageKind::Refuse) {
    return note(Phase::Failed, "the other side refuses: " + shown_line(message.bytes));
  }
  if (messages_->end() == MigrationStream::End::Closed) return (void)fail();
  note(Phase::Unknown, has_answer ? "the other side's answer is none" : messages_->problem());
}

}  // namespace ringshift
