// A primary, and a test in the place of its backup.
#include "monitor/replication/primary.h"

#include <gtest/gtest.h>

#include <optional>
#include <semaphore>

#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

using Side = TieBreaker::Side;

class PrimaryTest : public ::testing::Test {
 protected:
  PrimaryTest() {
    primary_.emplace(std::move(ends_.theirs), file_.open(Side::Primary), 10'000);
    primary_->attach({.wake = [this] { news_.release(); }, .look = [this] { ++looks_; }});
    primary_->begin_life();
    primary_->output().set_sink(HeldOutput::Serial, [this](std::span<const uint8_t> bytes) {
      shown_.append(bytes.begin(), bytes.end());
    });
  }
  ~PrimaryTest() override { primary_->detach(); }

  void print(const std::string& text) {
    for (const char c : text) {
      primary_->output().device_end(HeldOutput::Serial)->transmit(static_cast<uint8_t>(c));
    }
  }
  // The next that the backup gets, beats aside.
  ReplicaLog log() {
    ReplicaLog log;
    MigrationMessage message;
    while (ends_.ours.messages->receive(&message)) {
      if (message.kind != MessageKind::Log) continue;
      std::string problem;
      EXPECT_TRUE(read_log(message.bytes, ++number_, &log, &problem)) << problem;
      break;
    }
    return log;
  }
  uint64_t beat() {
    MigrationMessage message;
    HeldOutput::Totals totals{};
    EXPECT_TRUE(ends_.ours.messages->expect(MessageKind::Beat, &message));
    EXPECT_TRUE(read_beat(message.bytes, &totals));
    return totals[HeldOutput::Serial];
  }
  void hear(uint64_t heard, uint64_t played = 0) {
    ASSERT_TRUE(ends_.ours.messages->send(
        MessageKind::Heard, bytes_of(ReplicaHeard{.heard = heard, .played = played})));
  }
  // Until that is so, as the vCPU's thread comes to its safe point again and again.
  template <typename IsSo>
  void serve_until(IsSo is_so) {
    for (int i = 0; i < 500 && !is_so(); ++i) {
      (void)news_.try_acquire_for(std::chrono::milliseconds(20));
      primary_->service();
    }
    EXPECT_TRUE(is_so());
  }

  TieFile file_;
  TwoEnds ends_;
  std::counting_semaphore<> news_{0};
  std::string shown_;
  int looks_ = 0;
  uint64_t number_ = 0;
  std::optional<Primary> primary_;
};

TEST_F(PrimaryTest, ShowsWhatTheBackupHasTheCauseOf) {
  primary_->note(position(40), typed_at(position(40), "x").input);
  print("answer");
  EXPECT_EQ(looks_, 1);
  primary_->passed(position(100));
  const ReplicaLog sent = log();
  EXPECT_EQ(sent.reached, position(100));
  ASSERT_EQ(sent.entries.size(), 1U);
  EXPECT_EQ(sent.entries[0].at, position(40));
  primary_->service();
  EXPECT_EQ(shown_, "");
  print(" more");
  hear(1);
  serve_until([this] { return !shown_.empty(); });
  EXPECT_EQ(shown_, "answer");
  while (beat() != 6) {
    if (HasFailure()) break;
  }
}

// Often, since a tick may ask for a look at any moment.
TEST_F(PrimaryTest, LooksAgainForWhatCameBehindTheLastLog) {
  for (uint64_t round = 1; round <= 20; ++round) {
    print("a");
    primary_->passed(position(10 * round));
    print("b");
    (void)log();
    hear(round);
    serve_until([&] { return shown_.size() == 2 * round - 1; });
    EXPECT_TRUE(primary_->wants_look());
  }
}

TEST_F(PrimaryTest, HasOneLogOnItsWay) {
  print("a");
  primary_->passed(position(10));
  print("b");
  primary_->passed(position(20));
  print("c");
  EXPECT_EQ(log().reached, position(10));
  hear(1);
  serve_until([this] { return shown_ == "a"; });
  EXPECT_TRUE(primary_->wants_look());
  primary_->passed(position(30));
  EXPECT_EQ(log().reached, position(30));
  hear(2);
  serve_until([this] { return shown_ == "abc"; });
}

TEST_F(PrimaryTest, GoesOnWithoutABackup) {
  print("abc");
  primary_->passed(position(10));
  ends_.hang_up();
  serve_until([this] { return shown_ == "abc"; });
  print("d");
  EXPECT_EQ(shown_, "abcd");
  EXPECT_EQ(primary_->problem(), "");
  std::string why;
  EXPECT_FALSE(file_.open(Side::Backup)->win(&why));
}

TEST_F(PrimaryTest, EndsWhenTheBackupGoesOn) {
  std::string why;
  ASSERT_TRUE(file_.open(Side::Backup)->win(&why));
  print("abc");
  ends_.hang_up();
  serve_until([this] { return !primary_->problem().empty(); });
  EXPECT_NE(primary_->problem().find("says that the other machine goes on"), std::string::npos);
  EXPECT_EQ(shown_, "");
}

TEST_F(PrimaryTest, GivesUpABackupThatMakesNoSense) {
  hear(5);  // of no log
  serve_until([this] { return primary_->output().is_open(); });
  EXPECT_EQ(primary_->problem(), "");
}

TEST_F(PrimaryTest, WaitsForABackupThatIsFarBehind) {
  EXPECT_FALSE(primary_->is_full());
  print(std::string(300'000, 'x'));
  primary_->passed(position(10));
  EXPECT_TRUE(primary_->is_full());
  hear(1, 1);
  serve_until([this] { return shown_.size() == 300'000; });
  EXPECT_FALSE(primary_->is_full());
}

TEST_F(PrimaryTest, SaysThatItWasEnded) {
  primary_->end(position(50), {}, InputTape::EndedBy::Outside);
  const ReplicaLog sent = log();
  ASSERT_EQ(sent.entries.size(), 1U);
  EXPECT_EQ(sent.entries[0].kind, TapeEntry::Kind::Stop);
}

TEST_F(PrimaryTest, HandsADiskThatFailsToTheBackup) {
  primary_->give_up("the disk");
  EXPECT_NE(primary_->problem().find("the disk"), std::string::npos);
}

}  // namespace
}  // namespace ringshift
