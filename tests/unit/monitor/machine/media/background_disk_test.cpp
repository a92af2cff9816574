// BackgroundDisk: requests that the host takes its time for, those that it has at once, and ends
// that the host does not let come.
#include "monitor/machine/media/background_disk.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

namespace ringshift {
namespace {

using Progress = DiskBackend::Progress;
using Kind = DiskRequest::Kind;

// The test's view of a medium that another thread uses, and that may outlive the test.
struct Host {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_held = false;  // a caller waits until it is not
  bool is_broken = false;
  bool is_cached = false;  // reads need not wait
  int begun = 0, flushes = 0;
  std::vector<uint8_t> content = std::vector<uint8_t>(64 * 512, 0x5a);

  void hold(bool held) {
    const std::lock_guard lock(mutex);
    is_held = held;
    changed.notify_all();
  }
  void wait_until_begun(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return begun >= count; });
  }
};

class HostMedium final : public DiskBackend {
 public:
  explicit HostMedium(std::shared_ptr<Host> host) : host_(std::move(host)) {}
  [[nodiscard]] uint64_t bytes() const override { return host_->content.size(); }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    return act([&] { std::memcpy(to.data(), host_->content.data() + offset, to.size()); });
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    return act([&] { std::memcpy(host_->content.data() + offset, from.data(), from.size()); });
  }
  [[nodiscard]] bool flush() override {
    return act([&] { ++host_->flushes; });
  }
  [[nodiscard]] bool read_at_once(uint64_t offset, std::span<uint8_t> to) override {
    const std::lock_guard lock(host_->mutex);
    if (host_->is_cached) std::memcpy(to.data(), host_->content.data() + offset, to.size());
    return host_->is_cached;
  }

 private:
  template <typename Act>
  bool act(const Act& what) {
    std::unique_lock lock(host_->mutex);
    ++host_->begun;
    host_->changed.notify_all();
    host_->changed.wait(lock, [&] { return !host_->is_held; });
    if (!host_->is_broken) what();
    return !host_->is_broken;
  }
  std::shared_ptr<Host> host_;
};

class BackgroundDiskTest : public ::testing::Test {
 protected:
  BackgroundDiskTest() { make(); }
  void make() {
    disk_ = std::make_unique<BackgroundDisk>(std::make_shared<HostMedium>(host_),
                                             [this] { return is_unwanted_.load(); });
    disk_->set_on_ready([this] { ++ready_; });
    disk_->set_on_news([this] {
      const std::lock_guard lock(host_->mutex);
      ++news_;
      host_->changed.notify_all();
    });
  }
  void wait_for_news(int count) {
    std::unique_lock lock(host_->mutex);
    host_->changed.wait(lock, [&] { return news_ >= count; });
  }
  [[nodiscard]] Progress read() { return disk_->advance({Kind::Read, 512, bytes_}); }

  std::shared_ptr<Host> host_ = std::make_shared<Host>();
  std::atomic<bool> is_unwanted_{false};
  int news_ = 0, ready_ = 0;
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(512);
  std::unique_ptr<BackgroundDisk> disk_;
};

TEST_F(BackgroundDiskTest, ARequestWaitsAndIsToldOfWhenItIsDone) {
  host_->hold(true);
  EXPECT_EQ(read(), Progress::Waits);
  host_->wait_until_begun(1);
  EXPECT_EQ(read(), Progress::Waits);
  disk_->deliver();
  EXPECT_EQ(ready_, 0);
  host_->hold(false);
  wait_for_news(1);
  disk_->deliver();
  disk_->deliver();
  EXPECT_EQ(ready_, 1);
  EXPECT_EQ(read(), Progress::Done);
  EXPECT_EQ(bytes_[511], 0x5a);
  EXPECT_EQ(host_->begun, 1);
}

TEST_F(BackgroundDiskTest, WhatTheHostHasIsReadAtOnce) {
  host_->is_cached = true;
  EXPECT_EQ(read(), Progress::Done);
  EXPECT_EQ(bytes_[0], 0x5a);
  EXPECT_EQ(host_->begun, 0);
  EXPECT_EQ(disk_->traffic().read, 512U);
}

TEST_F(BackgroundDiskTest, AWriteHasTakenItsBytesAtTheFirstCall) {
  host_->hold(true);
  bytes_.assign(512, 0x11);
  EXPECT_EQ(disk_->advance({Kind::Write, 1024, bytes_}), Progress::Waits);
  bytes_.assign(512, 0x22);
  host_->hold(false);
  wait_for_news(1);
  EXPECT_EQ(disk_->advance({Kind::Write, 1024, bytes_}), Progress::Done);
  EXPECT_EQ(host_->content[1024], 0x11);
  EXPECT_EQ(disk_->traffic().written, 512U);
}

TEST_F(BackgroundDiskTest, AFailureOfTheHostIsTheRequests) {
  host_->is_broken = true;
  EXPECT_EQ(disk_->advance({.kind = Kind::Flush}), Progress::Waits);
  wait_for_news(1);
  EXPECT_EQ(disk_->advance({.kind = Kind::Flush}), Progress::Failed);
}

TEST_F(BackgroundDiskTest, WhatIsAbandonedIsNoAnswerToTheNextRequest) {
  host_->hold(true);
  EXPECT_EQ(read(), Progress::Waits);
  host_->wait_until_begun(1);
  disk_->abandon();
  std::vector<uint8_t> other(1024, 0x33);
  EXPECT_EQ(disk_->advance({Kind::Write, 0, other}), Progress::Waits);
  host_->hold(false);
  wait_for_news(1);
  EXPECT_EQ(disk_->advance({Kind::Write, 0, other}), Progress::Waits);  // now it begins
  wait_for_news(2);
  EXPECT_EQ(disk_->advance({Kind::Write, 0, other}), Progress::Done);
  EXPECT_EQ(host_->content[0], 0x33);
  // Done, and not fetched: the same holds.
  EXPECT_EQ(read(), Progress::Waits);
  wait_for_news(3);
  disk_->abandon();
  EXPECT_EQ(disk_->advance({.kind = Kind::Flush}), Progress::Waits);
  wait_for_news(4);
  EXPECT_EQ(disk_->advance({.kind = Kind::Flush}), Progress::Done);
  EXPECT_EQ(host_->flushes, 1);
}

TEST_F(BackgroundDiskTest, TheOtherCallsComeAfterWhatIsOnItsWay) {
  host_->hold(true);
  bytes_.assign(512, 0x44);
  EXPECT_EQ(disk_->advance({Kind::Write, 512, bytes_}), Progress::Waits);
  std::thread releases([this] {
    host_->wait_until_begun(1);
    host_->hold(false);
  });
  std::vector<uint8_t> seen(512);
  EXPECT_TRUE(disk_->read(512, seen));
  EXPECT_EQ(seen[0], 0x44);
  releases.join();
  EXPECT_EQ(disk_->advance({Kind::Write, 512, bytes_}), Progress::Done);
}

TEST_F(BackgroundDiskTest, ItsEndWaitsForTheHost) {
  host_->hold(true);
  bytes_.assign(512, 0x55);
  EXPECT_EQ(disk_->advance({Kind::Write, 0, bytes_}), Progress::Waits);
  std::thread releases([this] {
    host_->wait_until_begun(1);
    host_->hold(false);
  });
  disk_.reset();
  EXPECT_EQ(host_->content[0], 0x55);
  releases.join();
}

// The run is to end, and the host's disk is gone: nobody waits for it, and nothing is used that is
// not there any more.
TEST_F(BackgroundDiskTest, AHostThatNeverAnswersHoldsNobody) {
  host_->hold(true);
  EXPECT_EQ(read(), Progress::Waits);
  host_->wait_until_begun(1);
  is_unwanted_.store(true);
  EXPECT_FALSE(disk_->flush());
  disk_->set_on_news({});
  is_unwanted_.store(false);  // what was asked for is forgotten with the run
  disk_.reset();
  host_->hold(false);
  EXPECT_EQ(host_->flushes, 0);
}

}  // namespace
}  // namespace ringshift
