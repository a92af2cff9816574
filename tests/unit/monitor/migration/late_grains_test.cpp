// The two sides of post-copy, each against words that a test says, and against each other.
#include "monitor/migration/late_grains.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <thread>

#include "devices/bus/bus.h"
#include "tests/support/migration_fixture.h"

namespace ringshift {
namespace {

constexpr uint32_t kGrain = 64 * 1024;
constexpr uint64_t kRam = uint64_t{4} << 20;
constexpr size_t kGrains = kRam / kGrain;
constexpr uint32_t kFirst = kNeverLate / kGrain;

std::vector<uint8_t> grain_bytes(uint32_t number, uint8_t filled, size_t length = kGrain) {
  std::vector<uint8_t> bytes;
  put_u32(&bytes, number);
  put_u32(&bytes, 0);
  bytes.resize(bytes.size() + length, filled);
  return bytes;
}

class LateGrainsTest : public ::testing::Test {
 protected:
  LateGrainsTest() {
    std::string error;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_.data()) == 0);
    ram_ = GuestMemory::create(kRam, &error);
    CHECK(ram_ != nullptr);
    memory_ = std::make_unique<PhysicalMemory>(*ram_, bus_);
    source_ = std::make_unique<SocketStream>(ends_[1], [] { return true; });
    says_ = std::make_unique<MigrationMessages>(*source_);
  }
  ~LateGrainsTest() override {
    late_.reset();
    close(ends_[0]);
  }
  // The last ones of RAM are late.
  void begin(size_t count, bool is_started = true) {
    LateGrainsSetup setup{.missing = std::vector<bool>(kGrains),
                          .had_bytes = std::vector<bool>(kGrains),
                          .grain_bytes = kGrain};
    for (size_t i = kGrains - count; i < kGrains; ++i) setup.missing[i] = true;
    auto stream = std::make_unique<SocketStream>(dup(ends_[0]), [] { return true; });
    MigrationMessages messages(*stream);
    setup.messages = &messages;
    late_ = std::make_unique<LateGrains>(*ram_, setup, [this] { has_news_ = true; });
    std::string error;
    ASSERT_TRUE(late_->begin(&error)) << error;
    if (is_started) late_->start(std::move(stream), std::move(messages));
  }
  uint8_t byte_at(uint32_t grain) {
    uint8_t value = 0;
    memory_->read(GuestPhysical(uint64_t{grain} * kGrain + 5), &value, 1);
    return value;
  }
  // Until `is` holds, with the machine's thread at safe points.
  template <typename Is>
  bool wait_until(Is is) {
    for (int i = 0; i < 5000 && !is(); ++i) {
      if (has_news_.exchange(false)) late_->service(*memory_);
      (void)poll(nullptr, 0, 1);
    }
    return is();
  }
  void expect_lost(const char* why) {
    EXPECT_TRUE(wait_until([&] { return !late_->problem().empty(); }));
    EXPECT_NE(late_->problem().find(why), std::string::npos) << late_->problem();
    EXPECT_NE(late_->problem().find("whole on neither side"), std::string::npos);
    EXPECT_FALSE(late_->is_over());
  }

  std::array<int, 2> ends_{};
  MemoryBus bus_;
  std::unique_ptr<GuestMemory> ram_;
  std::unique_ptr<PhysicalMemory> memory_;
  std::unique_ptr<SocketStream> source_;
  std::unique_ptr<MigrationMessages> says_;
  std::atomic<bool> has_news_{false};
  std::unique_ptr<LateGrains> late_;
};

TEST_F(LateGrainsTest, WhatIsTouchedIsAskedFor) {
  begin(3);
  std::thread source([&] {
    MigrationMessage message;
    ASSERT_TRUE(says_->expect(MessageKind::Want, &message));
    EXPECT_EQ(get_u32(message.bytes, 0), kGrains - 2);
    ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 2, 7)));
  });
  EXPECT_EQ(byte_at(kGrains - 2), 7);
  source.join();
  EXPECT_FALSE(late_->is_over());
}

TEST_F(LateGrainsTest, WhatComesByItselfIsTheMachinesAtASafePoint) {
  begin(3);
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 1, 1)));
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 3, 3)));
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 2, 0, 0)));
  EXPECT_TRUE(wait_until([&] { return late_->is_over(); }));
  MigrationMessage message;
  EXPECT_TRUE(says_->expect(MessageKind::Whole, &message)) << says_->problem();
  EXPECT_EQ(byte_at(kGrains - 1), 1);
  EXPECT_EQ(byte_at(kGrains - 2), 0);
  EXPECT_EQ(byte_at(kGrains - 3), 3);
  source_.reset();  // it ends
  EXPECT_TRUE(late_->problem().empty()) << late_->problem();
}

TEST_F(LateGrainsTest, AMachineThatEndsSaysThatItNeedsNoMore) {
  begin(3);
  std::thread target([&] { late_->finish(); });
  MigrationMessage message;
  EXPECT_TRUE(says_->expect(MessageKind::Whole, &message)) << says_->problem();
  source_.reset();
  target.join();
  EXPECT_TRUE(late_->problem().empty()) << late_->problem();
}

// The machine is lost with whatever is wrong, and says so.
TEST_F(LateGrainsTest, WhatIsWrongLosesTheMachine) {
  const auto try_one = [&](MessageKind kind, std::vector<uint8_t> bytes, const char* why) {
    begin(3, false);
    std::string problem;
    EXPECT_FALSE(late_->take({kind, std::move(bytes)}, &problem));
    EXPECT_NE(problem.find(why), std::string::npos) << problem;
    late_.reset();
    ASSERT_TRUE(ram_->clear());
  };
  try_one(MessageKind::Running, {}, "not to be said");
  try_one(MessageKind::Grain, {1, 2, 3}, "not to be said");
  try_one(MessageKind::Grain, grain_bytes(kFirst, 1), "not missing");
  try_one(MessageKind::Grain, grain_bytes(kGrains, 1), "not missing");
  try_one(MessageKind::Grain, grain_bytes(0xffffffff, 1), "not missing");
  try_one(MessageKind::Grain, grain_bytes(kGrains - 1, 1, kGrain - 1), "another size");
  try_one(MessageKind::Grain, grain_bytes(kGrains - 1, 1, 2 * kGrain), "another size");
}

TEST_F(LateGrainsTest, APieceThatComesTwiceLosesTheMachine) {
  begin(3);
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 1, 1)));
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 1, 1)));
  expect_lost("not missing");
}

TEST_F(LateGrainsTest, DamageLosesTheMachine) {
  begin(3);
  const std::vector<uint8_t> noise(100, 0x5a);
  ASSERT_TRUE(source_->write(noise));
  expect_lost("is damaged");
}

TEST_F(LateGrainsTest, TheOtherSidesEndLosesTheMachine) {
  begin(3);
  ASSERT_TRUE(says_->send(MessageKind::Grain, grain_bytes(kGrains - 1, 1)));
  source_.reset();
  expect_lost("has gone");
}

}  // namespace
}  // namespace ringshift
