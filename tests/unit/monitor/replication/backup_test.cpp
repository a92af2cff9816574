// A backup, and a test in the place of its primary.
#include "monitor/replication/backup.h"

#include <gtest/gtest.h>

#include <optional>
#include <semaphore>
#include <thread>

#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

using Side = TieBreaker::Side;
using ReplicaTurn = Replica::Turn;

class BackupTest : public ::testing::Test {
 protected:
  BackupTest() {
    backup_.emplace(std::move(ends_.theirs), file_.open(Side::Backup), 10'000);
    backup_->attach({.wake = [this] { news_.release(); }, .look = [] {}});
    backup_->begin_life();
    backup_->output().set_sink(HeldOutput::Serial, [this](std::span<const uint8_t> bytes) {
      shown_.append(bytes.begin(), bytes.end());
    });
  }
  ~BackupTest() override {
    if (backup_) backup_->detach();
  }

  void say(MessageKind kind, const std::vector<uint8_t>& bytes) {
    ASSERT_TRUE(ends_.ours.messages->send(kind, bytes));
    news_.acquire();
  }
  void log(const TapePosition& reached, const std::vector<TapeEntry>& entries = {},
           uint64_t shown = 0) {
    HeldOutput::Totals totals{};
    totals[HeldOutput::Serial] = shown;
    say(MessageKind::Log, bytes_of_log(++number_, reached, totals, plain_of(entries)));
  }
  // The last that the backup says, when it says that it has heard so much.
  ReplicaHeard heard(uint64_t logs) {
    ReplicaHeard heard;
    while (heard.heard < logs) {
      MigrationMessage message;
      EXPECT_TRUE(ends_.ours.messages->expect(MessageKind::Heard, &message));
      EXPECT_TRUE(read_heard(message.bytes, heard, number_, &heard));
      if (HasFailure()) break;
    }
    return heard;
  }
  void lose_primary() {
    ends_.hang_up();
    news_.acquire();
  }
  void print(const std::string& text) {
    for (const char c : text) {
      backup_->output().device_end(HeldOutput::Serial)->transmit(static_cast<uint8_t>(c));
    }
  }
  // At an event: what the guest is given there, and what is to be done then.
  ReplicaTurn come_to(const TapePosition& at, std::string* given = nullptr) {
    while (const auto input = backup_->next_at(at)) {
      if (given != nullptr) given->append(input->bytes.begin(), input->bytes.end());
    }
    return backup_->turn(at, false);
  }

  TieFile file_;
  std::unique_ptr<TieBreaker> primary_ = file_.open(Side::Primary);
  TwoEnds ends_;
  std::counting_semaphore<> news_{0};
  std::string shown_;
  uint64_t number_ = 0;
  std::optional<Backup> backup_;
};

TEST_F(BackupTest, PlaysUpToWhereThePrimaryIsKnownToBe) {
  EXPECT_EQ(backup_->next_count(), 0U);
  EXPECT_EQ(come_to(position(0)), ReplicaTurn::Wait);
  log(position(100), {typed_at(position(40), "ab"), typed_at(position(40), "c")});
  EXPECT_EQ(heard(1).played, 0U);
  EXPECT_EQ(come_to(position(0)), ReplicaTurn::GoOn);
  EXPECT_EQ(backup_->next_count(), 40U);
  std::string given;
  EXPECT_EQ(come_to(position(40), &given), ReplicaTurn::GoOn);
  EXPECT_EQ(given, "abc");
  EXPECT_EQ(backup_->next_count(), 100U);
  EXPECT_EQ(come_to(position(100)), ReplicaTurn::GoOn);  // its timers are looked at
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::Wait);
  log(position(120));
  EXPECT_EQ(heard(2).played, 1U);
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::GoOn);
  EXPECT_TRUE(backup_->is_replay());
}

TEST_F(BackupTest, DoesNotSayTheSameAllTheTime) {
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  backup_.reset();
  int words = 0;
  MigrationMessage message;
  while (ends_.ours.messages->receive(&message)) ++words;
  EXPECT_GE(words, 1);
  EXPECT_LE(words, 50);
}

TEST_F(BackupTest, TakesOverWhereThePrimaryWasLastHeardOf) {
  print("abcdef");
  log(position(100), {typed_at(position(40), "x")}, 2);
  lose_primary();
  EXPECT_EQ(come_to(position(40)), ReplicaTurn::GoOn);
  EXPECT_EQ(come_to(position(100)), ReplicaTurn::GoOn);
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::GoLive);
  EXPECT_FALSE(backup_->is_replay());
  EXPECT_TRUE(backup_->is_live());
  backup_->output().open();
  EXPECT_EQ(shown_, "cdef");
  EXPECT_EQ(backup_->turn(position(500), true), ReplicaTurn::GoOn);
  EXPECT_FALSE(backup_->next_count());
  std::string why;
  EXPECT_FALSE(primary_->win(&why));
}

TEST_F(BackupTest, DoesNotTakeOverFromOneThatLives) {
  log(position(100));
  std::string why;
  ASSERT_TRUE(primary_->win(&why));
  lose_primary();
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::End);
  EXPECT_NE(backup_->problem().find("says that the other machine goes on"), std::string::npos)
      << backup_->problem();
  EXPECT_FALSE(backup_->is_live());
}

TEST_F(BackupTest, EndsByDamage) {
  log(position(100));
  say(MessageKind::Log, bytes_of_log(7, position(200), {}, {}));  // 2 was to come
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::End);
  EXPECT_NE(backup_->problem().find("the log is damaged"), std::string::npos);
  std::string why;
  EXPECT_TRUE(primary_->win(&why)) << "nobody takes over from a primary that may live";
}

TEST_F(BackupTest, EndsByDisorder) {
  log(position(100), {typed_at(position(40), "x")});
  log(position(200), {typed_at(position(90), "y")});  // where no more was to come
  EXPECT_EQ(backup_->turn(position(100), true), ReplicaTurn::End);
  EXPECT_NE(backup_->problem().find("in disorder"), std::string::npos) << backup_->problem();
}

TEST_F(BackupTest, EndsByAWordThatIsNotForIt) {
  say(MessageKind::Grain, {});
  EXPECT_EQ(backup_->turn(position(0), true), ReplicaTurn::End);
  EXPECT_NE(backup_->problem().find("not to be said here"), std::string::npos);
}

TEST_F(BackupTest, EndsWithThePrimary) {
  log(position(100),
      {{.kind = TapeEntry::Kind::Stop, .at = position(100), .input = {}, .mark = {}}});
  EXPECT_EQ(backup_->turn(position(50), false), ReplicaTurn::End);
  EXPECT_TRUE(backup_->was_ended());
  EXPECT_EQ(backup_->problem(), "");
}

TEST_F(BackupTest, SaysWhenItIsAnotherMachine) {
  const TapeMark there{.registers = 7, .memory = 0, .output = 8};
  log(position(100),
      {{.kind = TapeEntry::Kind::Mark, .at = position(60), .input = {}, .mark = there}});
  backup_->mark(position(60), {.registers = 7, .memory = 5, .output = 8});
  EXPECT_EQ(backup_->problem(), "");
  log(position(200),
      {{.kind = TapeEntry::Kind::Mark, .at = position(160), .input = {}, .mark = there}});
  backup_->mark(position(160), {.registers = 6, .memory = 5, .output = 8});
  EXPECT_NE(backup_->problem().find("the registers are others"), std::string::npos);
  EXPECT_EQ(backup_->turn(position(160), true), ReplicaTurn::End);
}

TEST_F(BackupTest, SaysWhenAnInputWasPassed) {
  log(position(100), {typed_at(position(40), "x")});
  EXPECT_FALSE(backup_->next_at(position(50)));
  EXPECT_NE(backup_->problem().find("an input has been passed"), std::string::npos);
}

TEST_F(BackupTest, ShowsAtTheEndWhatThePrimaryHasNot) {
  const TapeMark mark{.registers = 1, .memory = 0, .output = 2};
  log(position(100),
      {{.kind = TapeEntry::Kind::End, .at = position(100), .input = {}, .mark = mark}}, 1);
  print("abc");
  lose_primary();
  backup_->service();
  backup_->end(position(100), mark, InputTape::EndedBy::Guest);
  EXPECT_EQ(backup_->problem(), "");
  EXPECT_EQ(shown_, "bc");
}

}  // namespace
}  // namespace ringshift
