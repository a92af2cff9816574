// BaseGuard: damage and changes of the file that RAM is shared from are found, and nothing else is.
#include "monitor/machine/media/base_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

namespace ringshift {
namespace {

class BaseGuardTest : public ::testing::Test {
 protected:
  BaseGuardTest() : file_(std::tmpfile()) {
    std::string error;
    const auto memory = GuestMemory::create(1U << 20, &error);
    for (uint64_t at = 0; at < memory->size(); at += kPageSize) {
      *memory->at(GuestPhysical(at)) = 0x5a;
    }
    EXPECT_TRUE(write_snapshot(descriptor(), {}, *memory, &error)) << error;
    EXPECT_TRUE(read_snapshot(descriptor(), &snapshot_, &error)) << error;
    // The file system's clock may be coarse: what is done from here on is done later.
    const timespec times[2] = {{0, UTIME_OMIT}, {1'000'000'000, 0}};
    EXPECT_EQ(futimens(descriptor(), times), 0);
  }
  ~BaseGuardTest() override { std::fclose(file_); }
  [[nodiscard]] int descriptor() const { return fileno(file_); }
  void damage() {
    const uint8_t byte = 0;
    ASSERT_EQ(pwrite(descriptor(), &byte, 1, static_cast<off_t>(snapshot_.ram.offset)), 1);
  }
  void make() {
    guard_ = std::make_unique<BaseGuard>(descriptor(), snapshot_.ram, [this] { ++problems_; });
  }
  void wait_for_problem() {
    for (int i = 0; i < 1000 && problems_.load() == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  std::FILE* file_;
  Snapshot snapshot_;
  std::atomic<int> problems_{0};
  std::string error_;
  std::unique_ptr<BaseGuard> guard_;
};

TEST_F(BaseGuardTest, AGoodFileIsNoProblem) {
  for (const VerifyRam when : {VerifyRam::First, VerifyRam::Later, VerifyRam::Off}) {
    make();
    ASSERT_TRUE(guard_->begin(when, &error_)) << error_;
    EXPECT_TRUE(guard_->finish(&error_)) << error_;
    EXPECT_EQ(guard_->problem(), "");
  }
  EXPECT_EQ(problems_.load(), 0);
}

TEST_F(BaseGuardTest, DamageIsRefusedFirstOrReportedLater) {
  damage();
  make();
  EXPECT_FALSE(guard_->begin(VerifyRam::First, &error_));
  EXPECT_EQ(error_, "saved machine: its RAM is damaged");
  make();
  ASSERT_TRUE(guard_->begin(VerifyRam::Later, &error_));
  EXPECT_FALSE(guard_->finish(&error_));
  EXPECT_EQ(error_, "saved machine: its RAM is damaged");
  wait_for_problem();
  EXPECT_EQ(problems_.load(), 1);
}

TEST_F(BaseGuardTest, WhatIsChangedMeanwhileIsReported) {
  make();
  ASSERT_TRUE(guard_->begin(VerifyRam::Off, &error_));
  damage();
  wait_for_problem();
  EXPECT_EQ(problems_.load(), 1);
  EXPECT_EQ(guard_->problem(), "saved machine: its file was changed while the machine ran from it");
}

TEST_F(BaseGuardTest, AChangeThatNobodyHasNoticedYetCountsAtTheEnd) {
  make();
  ASSERT_TRUE(guard_->begin(VerifyRam::First, &error_));
  ASSERT_EQ(ftruncate(descriptor(), kPageSize), 0);
  EXPECT_FALSE(guard_->finish(&error_));
}

}  // namespace
}  // namespace ringshift
