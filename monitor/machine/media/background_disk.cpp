#include "monitor/machine/media/background_disk.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/host_thread.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// SIGTERM is answered in 200.
constexpr int kGoodbyeMilliseconds = 80;
constexpr auto kLook = std::chrono::milliseconds(10);

}  // namespace

// The state that the thread uses. It outlives the disk if the thread does.
class BackgroundDisk::Worker {
 public:
  explicit Worker(std::shared_ptr<DiskBackend> medium) : medium_(std::move(medium)) {}

  [[nodiscard]] DiskBackend& medium() { return *medium_; }
  [[nodiscard]] const DiskBackend& medium() const { return *medium_; }

  // ---- the vCPU's thread ----

  [[nodiscard]] bool is_busy() {
    const std::lock_guard lock(mutex_);
    return state_ == State::Busy;
  }
  // The end of the request that was begun; none: there is none, or nobody wants it.
  [[nodiscard]] std::optional<bool> collect(const DiskRequest& request);
  // Pre: it is not busy. False: the host has no thread for it.
  [[nodiscard]] bool begin(const DiskRequest& request);
  void abandon();
  void set_on_news(std::function<void()> on_news) {
    const std::lock_guard lock(mutex_);
    on_news_ = std::move(on_news);
  }
  [[nodiscard]] bool take_news() { return has_news_.exchange(false); }
  // Waits for a moment. True: it is not busy.
  [[nodiscard]] bool wait() {
    std::unique_lock lock(mutex_);
    return has_ended_.wait_for(lock, kLook, [this] { return state_ != State::Busy; });
  }
  // False: the thread cannot be ended.
  [[nodiscard]] bool end() { return thread_.join_within(kGoodbyeMilliseconds); }

 private:
  enum class State : uint8_t { Idle, Busy, Ended };
  void work();

  std::shared_ptr<DiskBackend> medium_;
  HostThread thread_;
  std::atomic<bool> has_news_{false};
  std::mutex mutex_;  // guards the rest; while it is Busy request_ and bytes_ are the thread's
  std::condition_variable has_ended_;
  std::function<void()> on_news_;
  State state_ = State::Idle;
  bool is_abandoned_ = false;
  bool is_done_ = false;  // of an Ended one: the host has not failed
  DiskRequest request_;
  std::vector<uint8_t> bytes_;
};

std::optional<bool> BackgroundDisk::Worker::collect(const DiskRequest& request) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::Ended) return std::nullopt;
  state_ = State::Idle;
  if (std::exchange(is_abandoned_, false)) return std::nullopt;
  CHECK(request.kind == request_.kind && request.offset == request_.offset &&
        request.bytes.size() == request_.bytes.size());
  if (is_done_ && request.kind == DiskRequest::Kind::Read) {
    std::ranges::copy(request_.bytes, request.bytes.begin());
  }
  return is_done_;
}

bool BackgroundDisk::Worker::begin(const DiskRequest& request) {
  if (!thread_.is_running()) {
    try {
      thread_.start("disk", [this] { work(); });
    } catch (const std::system_error&) {
      return false;
    }
  }
  const std::lock_guard lock(mutex_);
  request_ = request;
  if (bytes_.size() < request.bytes.size()) bytes_.resize(request.bytes.size());
  request_.bytes = std::span(bytes_).first(request.bytes.size());
  if (request.kind == DiskRequest::Kind::Write) {
    std::ranges::copy(request.bytes, request_.bytes.begin());
  }
  state_ = State::Busy;
  is_abandoned_ = false;
  thread_.wake();
  return true;
}

void BackgroundDisk::Worker::abandon() {
  const std::lock_guard lock(mutex_);
  if (state_ == State::Ended) state_ = State::Idle;
  is_abandoned_ = state_ == State::Busy;
}

void BackgroundDisk::Worker::work() {
  while (!thread_.is_stopping()) {
    pollfd woken = {.fd = thread_.wake_descriptor(), .events = POLLIN, .revents = 0};
    (void)poll(&woken, 1, -1);
    thread_.take_wake();
    if (!is_busy()) continue;
    const bool is_done = medium_->perform(request_);
    const std::lock_guard lock(mutex_);
    is_done_ = is_done;
    state_ = State::Ended;
    has_news_.store(true);
    has_ended_.notify_all();
    if (on_news_) on_news_();
  }
}

BackgroundDisk::BackgroundDisk(std::shared_ptr<DiskBackend> medium,
                               std::function<bool()> is_unwanted)
    : worker_(std::make_unique<Worker>(std::move(medium))), is_unwanted_(std::move(is_unwanted)) {}

BackgroundDisk::~BackgroundDisk() {
  worker_->set_on_news({});
  if (!is_given_up_) (void)is_quiet();
  if (!worker_->end()) leave_behind(std::move(worker_));
}

// A thread that its host does not let go uses its buffers for as long as the process lives.
void BackgroundDisk::leave_behind(std::unique_ptr<Worker> worker) {
  static std::mutex mutex;
  static auto* const left_behind = new std::vector<std::unique_ptr<Worker>>;  // never destroyed
  const std::lock_guard lock(mutex);
  left_behind->push_back(std::move(worker));
}

bool BackgroundDisk::is_quiet() {
  for (int left = kGoodbyeMilliseconds; !worker_->wait();) {
    if (!is_unwanted_()) continue;
    left -= static_cast<int>(std::chrono::milliseconds(kLook).count());
    if (left <= 0) return false;
  }
  return true;
}

void BackgroundDisk::count(const DiskRequest& request) {
  if (request.kind == DiskRequest::Kind::Read) read_bytes_ += request.bytes.size();
  if (request.kind == DiskRequest::Kind::Write) written_bytes_ += request.bytes.size();
}

DiskBackend::Progress BackgroundDisk::advance(const DiskRequest& request) {
  const auto progress = [](bool is_done) { return is_done ? Progress::Done : Progress::Failed; };
  if (worker_->is_busy()) return Progress::Waits;
  if (const std::optional<bool> is_done = worker_->collect(request)) return progress(*is_done);
  count(request);
  const bool is_read = request.kind == DiskRequest::Kind::Read;
  if (is_read && worker_->medium().read_at_once(request.offset, request.bytes)) {
    return Progress::Done;
  }
  if (worker_->begin(request)) return Progress::Waits;
  return progress(worker_->medium().perform(request));
}

void BackgroundDisk::abandon() { worker_->abandon(); }

// That the run is to end is known while somebody listens, and forgotten then: who waits for the
// host is told in time, and is not waited for again.
void BackgroundDisk::set_on_news(std::function<void()> on_news) {
  is_given_up_ = on_news == nullptr && is_unwanted_() && !is_quiet();
  worker_->set_on_news(std::move(on_news));
}

void BackgroundDisk::deliver() {
  if (worker_->take_news() && on_ready_) on_ready_();
}

// ---- the calls that wait ----

uint64_t BackgroundDisk::bytes() const { return worker_->medium().bytes(); }

bool BackgroundDisk::read_only() const { return worker_->medium().read_only(); }

bool BackgroundDisk::read(uint64_t offset, std::span<uint8_t> to) {
  read_bytes_ += to.size();
  return is_quiet() && worker_->medium().read(offset, to);
}

bool BackgroundDisk::write(uint64_t offset, std::span<const uint8_t> from) {
  written_bytes_ += from.size();
  return is_quiet() && worker_->medium().write(offset, from);
}

bool BackgroundDisk::flush() { return is_quiet() && worker_->medium().flush(); }

DiskTraffic BackgroundDisk::traffic() const {
  return {.read = read_bytes_.load(), .written = written_bytes_.load()};
}

bool BackgroundDisk::set_in_use(bool in_use) {
  return is_quiet() && worker_->medium().set_in_use(in_use);
}

bool BackgroundDisk::is_written_through() const { return worker_->medium().is_written_through(); }

bool BackgroundDisk::can_freeze() const { return worker_->medium().can_freeze(); }

bool BackgroundDisk::freeze() { return is_quiet() && worker_->medium().freeze(); }

void BackgroundDisk::visit_medium(StateArchive& archive, bool may_have_changed) {
  archive.require(is_quiet(), "medium", "the host's disk does not answer");
  worker_->medium().visit_medium(archive, may_have_changed);
}

bool BackgroundDisk::can_discard() const { return worker_->medium().can_discard(); }

bool BackgroundDisk::discard(uint64_t offset, uint64_t count) {
  return is_quiet() && worker_->medium().discard(offset, count);
}

bool BackgroundDisk::write_zeroes(uint64_t offset, uint64_t count, Zeroing how) {
  return is_quiet() && worker_->medium().write_zeroes(offset, count, how);
}

}  // namespace ringshift
