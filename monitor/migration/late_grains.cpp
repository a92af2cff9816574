#include "monitor/migration/late_grains.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "monitor/host/exit_codes.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/lost_memory.h"
#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/zeroed_bytes.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr int kIdleMilliseconds = 100;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kGoodbye = 60 * kMillisecond;  // SIGTERM is answered in 200
constexpr int64_t kSilence = 30'000 * kMillisecond;

std::vector<uint8_t> bytes_of(uint32_t grain) {
  std::vector<uint8_t> bytes;
  put_u32(&bytes, grain);
  put_u32(&bytes, 0);
  return bytes;
}

}  // namespace

LateGrains::LateGrains(GuestMemory& ram, LateGrainsSetup setup, std::function<void()> on_news)
    : ram_(ram), setup_(std::move(setup)), on_news_(std::move(on_news)) {
  for (const bool is_missing : setup_.missing) {
    steps_.push_back(is_missing ? Step::Missing : Step::Present);
    left_ += is_missing ? 1 : 0;
  }
}

LateGrains::~LateGrains() {
  finish();
  ram_.forget_absent_source();
}

bool LateGrains::begin(std::string* error) {
  const HostResult result = ram_.set_absent(setup_.missing, setup_.grain_bytes / kPageSize, this);
  if (!result.ok()) *error = "the host refuses mappings for memory that comes later";
  return result.ok();
}

void LateGrains::start(std::unique_ptr<SocketStream> stream, MigrationMessages messages) {
  stream_ = std::move(stream);
  messages_.emplace(std::move(messages));
  setup_.messages = nullptr;
  stream_->set_wanted([this] { return is_wanted(); });
  thread_.start("late memory", [this] { work(); });
}

// ---- the vCPU's thread ----

std::string LateGrains::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

// Nothing may follow from a page that is not here: without it the process ends.
void LateGrains::fetch(size_t grain) {
  constexpr auto kLook = std::chrono::milliseconds(20);
  if (setup_.messages != nullptr) return fetch_at_once(grain);
  std::unique_lock lock(mutex_);
  if (steps_[grain] != Step::Missing) return;
  ++asked_for_;
  wanted_.push_back(static_cast<uint32_t>(grain));
  thread_.wake();
  while (steps_[grain] == Step::Missing) {
    if (!problem_.empty()) end_in_two(problem_.c_str());
    if (!thread_.is_running()) end_in_two("memory is wanted that nobody brings any more");
    if (HostSignals::termination_requested()) {
      lock.unlock();
      finish();
      end_process("the end was asked for while memory was on its way", kExitQuit);
    }
    has_come_.wait_for(lock, kLook);
  }
}

// The state is being loaded, and the machine is the other side's still.
void LateGrains::fetch_at_once(size_t grain) {
  std::string problem;
  MigrationMessage message;
  while (steps_[grain] == Step::Missing) {
    if (!setup_.messages->send(MessageKind::Want, bytes_of(static_cast<uint32_t>(grain))) ||
        !setup_.messages->receive(&message)) {
      end_process(("--incoming: " + setup_.messages->problem()).c_str(), kExitUsage);
    }
    if (!take(message, &problem)) end_process(("--incoming: " + problem).c_str(), kExitUsage);
  }
}

// Neighbours are given to the machine at once: a mapping of the host's changes for them together.
void LateGrains::service(PhysicalMemory& memory) {
  constexpr size_t kMostAtOnce = 64, kMostMappings = 8;
  std::vector<uint32_t> some;
  {
    const std::lock_guard lock(mutex_);
    while (!arrived_.empty() && some.size() < kMostAtOnce) {
      some.push_back(arrived_.front());
      arrived_.pop_front();
    }
  }
  std::sort(some.begin(), some.end());
  const uint32_t grain_pages = setup_.grain_bytes / kPageSize;
  const auto is_absent = [&](uint32_t grain) {
    return ram_.is_absent(GuestPhysicalPage(uint64_t{grain} * grain_pages));
  };
  std::erase_if(some, [&](uint32_t grain) { return !is_absent(grain); });
  size_t next = 0;
  for (size_t mappings = 0; next < some.size() && mappings < kMostMappings; ++mappings) {
    size_t count = 1;
    while (next + count < some.size() && some[next + count] == some[next] + count) ++count;
    memory.take_arrived(some[next], count);
    next += count;
  }
  bool has_more = false;
  {
    const std::lock_guard lock(mutex_);
    arrived_.insert(arrived_.end(), some.begin() + static_cast<ptrdiff_t>(next), some.end());
    has_more = !arrived_.empty();
  }
  if (has_more) on_news_();
  if (!is_over() || has_said_whole_) return;
  has_said_whole_ = true;
  std::fprintf(stderr, "ringshift: all of its memory has arrived (%llu pieces were asked for)\n",
               static_cast<unsigned long long>(asked_for_));
}

void LateGrains::finish() {
  if (stream_ == nullptr) return;
  leaves_by_.store(HostClock::monotonic() + kGoodbye);
  is_leaving_.store(true);
  thread_.wake();
  thread_.join();
}

// ---- its own thread ----

bool LateGrains::is_wanted() {
  return !is_leaving_.load() || HostClock::monotonic() < leaves_by_.load();
}

void LateGrains::note_lost(std::string problem) {
  {
    const std::lock_guard lock(mutex_);
    problem_ = "post-copy: " + std::move(problem) + ": the machine is whole on neither side";
  }
  has_come_.notify_all();
  on_news_();
}

void LateGrains::work() {
  if (converse()) say_goodbye();
}

// Until all has come, or nobody wants it any more. False: the machine is lost.
bool LateGrains::converse() {
  MigrationMessage message;
  std::string problem;
  int64_t heard = HostClock::monotonic();
  while (!is_leaving_.load()) {
    thread_.take_wake();
    while (const std::optional<uint32_t> want = next_want()) {
      if (say_want(*want)) continue;
      note_lost(messages_->problem());
      return false;
    }
    if (const std::lock_guard lock(mutex_); left_ == 0) return true;
    if (!stream_->has_news()) {
      (void)stream_->wait(thread_.wake_descriptor(), kIdleMilliseconds);
      if (HostClock::monotonic() - heard < kSilence) continue;
      note_lost("the other side is silent");
      return false;
    }
    if (!messages_->receive(&message)) {
      if (is_leaving_.load()) return true;
      note_lost(messages_->problem());
      return false;
    }
    heard = HostClock::monotonic();
    if (!take(message, &problem)) {
      note_lost(problem);
      return false;
    }
    on_news_();
  }
  return true;
}

std::optional<uint32_t> LateGrains::next_want() {
  const std::lock_guard lock(mutex_);
  while (!wanted_.empty()) {
    const uint32_t grain = wanted_.front();
    wanted_.pop_front();
    if (steps_[grain] == Step::Missing) return grain;
  }
  return std::nullopt;
}

bool LateGrains::say_want(uint32_t grain) {
  return messages_->send(MessageKind::Want, bytes_of(grain));
}

bool LateGrains::take(const MigrationMessage& message, std::string* problem) {
  const auto wrong = [problem](const char* what) {
    *problem = what;
    return false;
  };
  if (message.kind != MessageKind::Grain || message.bytes.size() < kGrainHeadBytes) {
    return wrong("the other side says what is not to be said here");
  }
  const uint32_t grain = get_u32(message.bytes, 0);
  const auto bytes = std::span(message.bytes).subspan(kGrainHeadBytes);
  const uint64_t start = uint64_t{grain} * setup_.grain_bytes;
  {
    const std::lock_guard lock(mutex_);
    if (grain >= steps_.size() || steps_[grain] != Step::Missing) {
      return wrong("a piece of memory comes that is not missing");
    }
  }
  if (!bytes.empty() &&
      bytes.size() != std::min<uint64_t>(setup_.grain_bytes, ram_.size() - start)) {
    return wrong("a piece of memory has another size");
  }
  if (!put(grain, bytes)) return wrong("the host has no memory for it");
  {
    const std::lock_guard lock(mutex_);
    steps_[grain] = Step::Arrived;
    arrived_.push_back(grain);
    --left_;
  }
  has_come_.notify_all();
  return true;
}

// Through no mapping: nobody has one that shows it. Pages of zeros are holes.
bool LateGrains::put(size_t grain, std::span<const uint8_t> bytes) {
  const uint64_t start = uint64_t{grain} * setup_.grain_bytes;
  const uint64_t length = std::min<uint64_t>(setup_.grain_bytes, ram_.size() - start);
  if (setup_.had_bytes[grain] && !ram_.empty(start, length).ok()) {
    return false;
  }
  for (size_t at = 0; at < bytes.size(); at += kPageSize) {
    const auto page = bytes.subspan(at, kPageSize);
    if (is_zero(page)) continue;
    if (!write_contents(ram_.descriptor(), start + at, page).ok()) return false;
  }
  return true;
}

// The other side may end now. Its last messages are still read, so that none of ours is lost with
// them (docs/migration.md).
void LateGrains::say_goodbye() {
  MigrationMessage message;
  if (!messages_->send(MessageKind::Whole)) return;
  const int64_t by = HostClock::monotonic() + kGoodbye;
  while (HostClock::monotonic() < by) {
    if (stream_->has_news() && !messages_->receive(&message)) return;
    (void)stream_->wait(-1, 1);
  }
}

}  // namespace ringshift
