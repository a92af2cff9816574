// A machine that runs is brought to a backup: a primary and a backup with a socket between them, or
// a test in the place of either.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "devices/host/host_random.h"
#include "monitor/migration/greeting/greeting.h"
#include "monitor/replication/backup.h"
#include "monitor/replication/incoming_join.h"
#include "monitor/replication/primary.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/host_connection.h"
#include "tests/support/joined_fixture.h"
#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

using Side = TieBreaker::Side;
using ReplicaTurn = Replica::Turn;
constexpr uint32_t kGrain = FewGrains::kGrain;

class JoinTest : public ::testing::Test {
 protected:
  JoinTest() {
    path_ = "/tmp/ringshift-join-test-" + std::to_string(getpid());
    unlink(path_.c_str());
    ConnectionName name;
    CHECK(parse_connection(("unix:" + path_).c_str(), &name));
    listener_ = listen_for_connection(name, &name.port);
    CHECK(listener_ >= 0);
    source_.at = position(500, 3);
    source_.state = {1, 2, 3};
    for (uint32_t i = 0; i < FewGrains::kGrains; i += 2) source_.write(i * kGrain, 0x100 + i);
    primary_.emplace(
        file_.open(Side::Primary),
        JoinPlace{
            .where = "unix:" + path_, .key = "", .again = 1, .timeout = 10'000, .run = {'{', '}'}});
    primary_->attach({.wake = [this] { ++wakes_; }, .look = [] {}, .machine = &source_});
    primary_->begin_life();
    primary_->output().set_sink(HeldOutput::Serial, [this](std::span<const uint8_t> bytes) {
      shown_.append(bytes.begin(), bytes.end());
    });
  }
  ~JoinTest() override {
    primary_->detach();
    primary_.reset();
    close(listener_);
    unlink(path_.c_str());
  }
  template <typename OfReplica>
  static void print(OfReplica& replica, const std::string& text) {
    for (const char c : text) {
      replica.output().device_end(HeldOutput::Serial)->transmit(static_cast<uint8_t>(c));
    }
  }
  void step() {
    primary_->service();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // A peer that is found by the primary, up to the point where the machine comes.
  ReplicaConnection be_found() {
    int socket = -1;
    for (int i = 0; i < 5000 && socket < 0; ++i) {
      step();
      socket = accept_connection(listener_);
    }
    ReplicaConnection connection = connection_over(socket);
    std::thread other([&] {
      MigrationMessage message;
      ReplicaBegin begin;
      std::string problem;
      EXPECT_TRUE(answer_greeting(*connection.messages, "", {}, &problem)) << problem;
      EXPECT_TRUE(connection.messages->expect(MessageKind::Begin, &message));
      EXPECT_TRUE(read_begin(message.bytes, &begin, &problem)) << problem;
      EXPECT_TRUE(begin.joins);
      pair_ = begin.pair;
      EXPECT_TRUE(connection.messages->send(MessageKind::Ready));
    });
    other.join();
    return connection;
  }
  // A backup that has the machine of this moment, while the primary's guest does `meanwhile`.
  void bring(const std::function<void()>& meanwhile = [] {}) {
    ReplicaConnection connection = be_found();
    backup_.emplace(std::move(connection), file_.open(Side::Backup, pair_), 10'000,
                    Backup::Plan{.joins = true, .next = {}});
    backup_->attach({.wake = [this] { ++wakes_; }, .look = [] {}});
    backup_->begin_life();
    EXPECT_TRUE(backup_->is_to_join());
    std::atomic<bool> is_done = false;
    bool is_good = false;
    std::thread other([&] {
      is_good = backup_->join(target_, &error_);
      is_done = true;
    });
    while (!is_done) {
      step();
      meanwhile();
    }
    other.join();
    ASSERT_TRUE(is_good) << error_;
    EXPECT_FALSE(backup_->is_to_join());
  }
  // The guest comes to event after event, in both.
  void run_until(const std::function<bool()>& is_so) {
    for (int i = 0; i < 5000 && !is_so(); ++i) {
      source_.at.events += 10;
      primary_->passed(source_.at);
      step();
      if (!backup_) continue;
      while (backup_->next_at(target_.at)) {
      }
      if (backup_->turn(target_.at, true) == ReplicaTurn::GoOn) {
        target_.at.events = *backup_->next_count();
        (void)backup_->turn(target_.at, true);
      }
    }
    EXPECT_TRUE(is_so());
  }

  TieFile file_;
  std::string path_, shown_, error_;
  int listener_ = -1;
  std::atomic<int> wakes_{0};
  FewGrains source_, target_;
  TieBreaker::Pair pair_{};
  std::optional<Primary> primary_;
  std::optional<Backup> backup_;
};

TEST_F(JoinTest, BringsAMachineThatRuns) {
  print(*primary_, "before");
  primary_->note(position(400), typed_at(position(400), "ab").input);
  EXPECT_EQ(shown_, "before");
  uint32_t round = 0;
  bring([&] {
    if (source_.at.events == 500) source_.at.events = 520;  // the moment may have been
    source_.write((round++ % FewGrains::kGrains) * kGrain + 8, 7);
  });
  for (uint32_t i = 0; i < FewGrains::kGrains; i += 2) {
    EXPECT_EQ(target_.read(i * kGrain), 0x100 + i);
  }
  EXPECT_EQ(target_.state, source_.state);
  EXPECT_EQ(target_.at.halts, 3U);
  EXPECT_EQ(backup_->output().come()[HeldOutput::Serial], 6U);
  EXPECT_FALSE(primary_->needs_grains());
  run_until([this] { return !primary_->output().is_open(); });
  print(*primary_, " held");
  EXPECT_EQ(shown_, "before");
  run_until([this] { return shown_ == "before held"; });
  EXPECT_EQ(primary_->problem(), "");
  // It takes over, and sends what it does not know of.
  print(*backup_, " held more");
  primary_->detach();
  primary_.reset();
  for (int i = 0; i < 5000 && !backup_->is_live(); ++i) {
    backup_->service();
    const ReplicaTurn turn = backup_->turn(target_.at, true);
    if (turn == ReplicaTurn::GoOn) target_.at.events = *backup_->next_count();
    ASSERT_NE(turn, ReplicaTurn::End) << backup_->problem();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(backup_->is_live());
  EXPECT_GE(backup_->output().left()[HeldOutput::Serial], 6U);
  backup_->detach();
  primary_.emplace(file_.open(Side::Primary), JoinPlace{});
}

TEST_F(JoinTest, NothingWaitsBeforeTheBackupIsNear) {
  bring();
  print(*primary_, "x");
  for (int i = 0; i < 20; ++i) step();
  EXPECT_EQ(shown_, "x");
  EXPECT_TRUE(primary_->output().is_open());
  backup_->detach();
}

TEST_F(JoinTest, ABackupThatHasNotJoinedDoesNotTakeOver) {
  bring();
  primary_->detach();
  primary_.emplace(file_.open(Side::Primary, {9}), JoinPlace{});
  for (int i = 0; i < 5000 && backup_->turn(target_.at, true) == ReplicaTurn::Wait; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(backup_->turn(target_.at, true), ReplicaTurn::End);
  EXPECT_NE(backup_->problem().find("before this machine could be its backup"), std::string::npos)
      << backup_->problem();
  EXPECT_FALSE(backup_->is_live());
  backup_->detach();
}

TEST_F(JoinTest, WhoGoesAnywhereLeavesTheMachineAlone) {
  for (const int messages : {0, 3, 7}) {
    ReplicaConnection connection = be_found();
    std::thread other([&] {
      MigrationMessage message;
      for (int i = 0; i < messages; ++i) {
        if (!connection.messages->receive(&message) || message.kind == MessageKind::End) break;
      }
      if (messages == 7) (void)connection.messages->send(MessageKind::Ready);
      connection = {};
    });
    for (int i = 0; i < 100; ++i) step();
    other.join();
    EXPECT_EQ(primary_->problem(), "");
    EXPECT_TRUE(primary_->output().is_open());
    source_.write(kGrain, static_cast<uint32_t>(messages));
  }
  bring();
  EXPECT_EQ(target_.read(kGrain), 7U);
  backup_->detach();
}

TEST_F(JoinTest, AMachineThatEndsTakesItsRamWithIt) {
  ReplicaConnection connection = be_found();
  for (int i = 0; i < 5000 && !primary_->needs_grains(); ++i) step();
  primary_->detach();
  EXPECT_FALSE(primary_->needs_grains());
  source_.write(0, 9);
  EXPECT_EQ(source_.read(0), 9U);
}

// ---- what comes is hostile ----

class IncomingJoinTest : public ::testing::Test {
 protected:
  void say(MessageKind kind, const std::vector<uint8_t>& bytes) {
    ASSERT_TRUE(ends_.ours.messages->send(kind, bytes));
  }
  void join(uint64_t ram = FewGrains::kRam, uint32_t grain = kGrain) {
    say(MessageKind::Join,
        bytes_of(ReplicaJoin{.at = position(5), .ram_bytes = ram, .grain_bytes = grain}));
  }
  void grain(uint32_t number, size_t bytes, uint8_t value) {
    std::vector<uint8_t> message;
    put_u32(&message, number);
    put_u32(&message, 0);
    message.resize(message.size() + bytes, value);
    if (number < hashes_.size()) {
      hashes_[number] = hash_bytes(std::span(message).subspan(kGrainHeadBytes), number);
    }
    say(MessageKind::Grain, message);
  }
  void end() {
    std::vector<uint8_t> message;
    put_u64(&message, hash_of_grains(hashes_));
    say(MessageKind::End, message);
  }
  std::string problem() {
    ends_.hang_up();
    IncomingJoin incoming(*ends_.theirs.messages, machine_);
    return incoming.receive() ? "" : incoming.problem();
  }

  TwoEnds ends_;
  FewGrains machine_;
  std::vector<uint64_t> hashes_ = std::vector<uint64_t>(FewGrains::kGrains);
};

TEST_F(IncomingJoinTest, TakesAMachine) {
  join();
  say(MessageKind::State, {1});
  say(MessageKind::State, {2});
  grain(3, kGrain, 0x55);
  end();
  IncomingJoin incoming(*ends_.theirs.messages, machine_);
  EXPECT_TRUE(incoming.receive()) << incoming.problem();
  EXPECT_EQ(machine_.read(3 * kGrain), 0x55555555U);
  EXPECT_EQ(machine_.state, (std::vector<uint8_t>{1, 2}));
  EXPECT_EQ(machine_.at, position(5));
}

TEST_F(IncomingJoinTest, RefusesAnotherSize) {
  join(FewGrains::kRam / 2);
  EXPECT_NE(problem().find("another size"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesImpossiblePieces) {
  join(FewGrains::kRam, 3000);
  EXPECT_NE(problem().find("description is none"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesAPieceBehindTheEnd) {
  join();
  grain(FewGrains::kGrains, kGrain, 1);
  EXPECT_NE(problem().find("behind its end"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesAPieceOfAnotherSize) {
  join();
  grain(1, kGrain - 1, 1);
  EXPECT_NE(problem().find("another size"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesRamThatHasComeOtherwise) {
  join();
  say(MessageKind::State, {1});
  grain(1, kGrain, 1);
  hashes_[1] = 0;
  end();
  EXPECT_NE(problem().find("otherwise than it was sent"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesAStateThatIsNone) {
  join();
  end();
  EXPECT_NE(problem().find("made otherwise: it has no state"), std::string::npos);
}

TEST_F(IncomingJoinTest, RefusesWhatIsOutOfTurn) {
  join();
  say(MessageKind::Log, {});
  EXPECT_NE(problem().find("out of turn"), std::string::npos);
}

TEST_F(IncomingJoinTest, SaysWhyNothingHasCome) {
  EXPECT_NE(problem().find("has gone"), std::string::npos);
}

}  // namespace
}  // namespace ringshift
