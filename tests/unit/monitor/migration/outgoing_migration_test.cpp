// Both sides of a migration over a pair of sockets: the one on this thread, as a machine's would
// be, the other on a thread of its own.
#include "monitor/migration/outgoing_migration.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <random>
#include <thread>

#include "devices/bus/bus.h"
#include "monitor/migration/socket_stream.h"
#include "tests/support/migration_fixture.h"

namespace ringshift {
namespace {

constexpr uint64_t kRam = uint64_t{8} << 20;
constexpr uint64_t kGrain = 64 * 1024;

// A guest that writes somewhere between two looks of the migration.
class FakeMachine final : public MigratedMachine {
 public:
  FakeMachine() {
    std::string error;
    memory_ = GuestMemory::create(kRam, &error);
    CHECK(memory_ != nullptr);
    physical_.emplace(*memory_, bus_);
  }
  [[nodiscard]] PhysicalMemory& physical_memory() override { return *physical_; }
  [[nodiscard]] bool save_state(bool with_media, std::vector<uint8_t>* state,
                                std::string* error) override {
    const std::string text = (with_media ? "last " : "first ") + std::to_string(writes);
    state->assign(text.begin(), text.end());
    if (cannot_save) *error = "no";
    return !cannot_save;
  }
  [[nodiscard]] bool hold_guest() override { return is_held = true; }
  [[nodiscard]] bool is_guest_held() const override { return false; }
  [[nodiscard]] bool does_clock_stand() const override { return is_held; }
  void let_go() override { is_held = false; }
  [[nodiscard]] bool release_media(std::string*) override { return !(has_media = false); }
  [[nodiscard]] bool retake_media(std::string*) override { return has_media = true; }
  void stand_still(Nanoseconds) override { ++rests; }
  void end_in_two(const std::string& problem) override { lost = problem; }
  void end_migrated() override { has_ended = true; }
  void wake_for_migration() override { is_woken = true; }

  void write_somewhere(uint64_t within = kRam) {
    if (is_held) return;
    const uint64_t at = dice_() % (within / 4) * 4;
    const auto value = static_cast<uint32_t>(dice_());
    physical_->write(GuestPhysical(at), &value, sizeof(value));
    ++writes;
  }
  [[nodiscard]] GuestMemory& memory() { return *memory_; }

  int writes = 0, rests = 0;
  std::string lost;
  bool is_held = false, has_ended = false, has_media = true, cannot_save = false;
  std::atomic<bool> is_woken{false};

 private:
  std::unique_ptr<GuestMemory> memory_;
  MemoryBus bus_;
  std::optional<PhysicalMemory> physical_;
  std::mt19937 dice_{7};
};

class OutgoingMigrationTest : public ::testing::Test {
 protected:
  OutgoingMigrationTest() {
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_.data()) == 0);
    where_ = "fd:" + std::to_string(ends_[0]);
    migration_.emplace(machine_, clock_, MigrationPeers{{where_}, ""});
  }
  ~OutgoingMigrationTest() override {
    if (other_.joinable()) other_.join();
    close(ends_[0]);
  }
  // The other side takes the machine, on its thread.
  void receive() {
    other_ = std::thread([this] {
      SocketStream stream(ends_[1], [this] { return !gives_up_.load(); });
      IncomingMigration incoming(stream, arrival_, "", MigrationNonce{});
      outcome_ = incoming.receive();
      problem_ = incoming.problem();
    });
  }
  // As receive(), and goes on as a machine does whose guest runs: it looks at RAM from its end on.
  // stays: until the last of it has come; else it ends with the first that it has looked at.
  void receive_and_run(bool stays) {
    other_ = std::thread([this, stays] {
      auto stream = std::make_unique<SocketStream>(ends_[1], [this] { return !gives_up_.load(); });
      IncomingMigration incoming(*stream, arrival_, "", MigrationNonce{});
      outcome_ = incoming.receive();
      problem_ = incoming.problem();
      is_late_ = incoming.is_late();
      if (outcome_ != IncomingMigration::Outcome::Arrived || !is_late_) return;
      if (!stays) return;
      arrival_.late->start(std::move(stream), incoming.take_messages());
      MemoryBus bus;
      PhysicalMemory memory(*arrival_.memory, bus);
      for (uint64_t at = kRam; at != 0 && arrival_.late->problem().empty(); at -= kGrain) {
        (void)memory.read_entry32(GuestPhysical(at - kGrain));
      }
      arrival_.late->service(memory);
      arrival_.late->finish();
    });
  }
  void begin() {
    std::string error;
    ASSERT_TRUE(migration_->begin(where_, rounds_, &error)) << error;
    close(ends_[0]);  // or the other side would not see ours end
    ends_[0] = -1;
  }
  // Until it is over, with the guest running between two looks.
  void run(const std::function<void()>& guest) {
    constexpr int kMost = 100'000;
    const auto is_over = [&] {
      const MigrationStatus now = migration_->progress().status;
      return now != MigrationStatus::Setup && now != MigrationStatus::Active &&
             now != MigrationStatus::Device && now != MigrationStatus::PostcopyActive;
    };
    for (int i = 0; i < kMost && !is_over(); ++i) {
      guest();
      clock_.advance(1'000'000);
      if (!machine_.is_woken.exchange(false)) (void)poll(nullptr, 0, 1);
      migration_->service();
    }
    ASSERT_TRUE(is_over());
  }
  // The other side's own messages, after all up to a kind of message have come.
  void answer_until(MessageKind last, const std::function<void(MigrationMessages&)>& then) {
    other_ = std::thread([this, last, then] {
      auto stream = std::make_unique<SocketStream>(ends_[1], [] { return true; });
      MigrationMessages messages(*stream);
      std::vector<uint8_t> hash;
      for (MigrationMessage message; messages.receive(&message);) {
        if (message.kind == last) break;
        if (message.kind == MessageKind::Hello) {
          (void)messages.send(MessageKind::Hello,
                              bytes_of_hello({.has_key = false, .nonce = kNonce}));
        }
        if (message.kind == MessageKind::Rehearse) (void)messages.send(MessageKind::Accept);
        if (message.kind == MessageKind::End) {
          (void)messages.send(MessageKind::Ready, std::span(message.bytes).subspan(8));
        }
      }
      then(messages);
    });
  }

  static constexpr MigrationNonce kNonce{};
  std::array<int, 2> ends_{};
  std::string where_;
  FakeMachine machine_;
  FakeArrival arrival_{kRam};
  ManualClock clock_;
  std::optional<OutgoingMigration> migration_;
  std::thread other_;
  std::atomic<bool> gives_up_{false};
  IncomingMigration::Outcome outcome_ = IncomingMigration::Outcome::Failed;
  std::string problem_;
  std::optional<uint32_t> rounds_;
  std::atomic<bool> is_late_{false};
};

TEST_F(OutgoingMigrationTest, MovesAllThatIsWrittenMeanwhile) {
  for (int i = 0; i < 2000; ++i) machine_.write_somewhere();
  receive();
  begin();
  run([this] {
    for (int i = 0; i < 50; ++i) machine_.write_somewhere(kRam / 4);
  });
  other_.join();
  EXPECT_EQ(outcome_, IncomingMigration::Outcome::Arrived) << problem_;
  EXPECT_TRUE(machine_.has_ended);
  EXPECT_FALSE(machine_.has_media);
  EXPECT_TRUE(arrival_.has_media);
  EXPECT_EQ(arrival_.state, "last " + std::to_string(machine_.writes));
  EXPECT_EQ(std::memcmp(arrival_.memory->at(GuestPhysical(0)),
                        machine_.memory().at(GuestPhysical(0)), kRam),
            0);
  EXPECT_EQ(migration_->take_news(),
            (std::vector<MigrationStatus>{MigrationStatus::Setup, MigrationStatus::Active,
                                          MigrationStatus::Device, MigrationStatus::Completed}));
  EXPECT_GT(migration_->progress().sent, kRam / kGrain);
}

TEST_F(OutgoingMigrationTest, WithPostCopyTheRestGoesLater) {
  for (const uint32_t rounds : {0U, 1U}) {
    if (rounds != 0) {
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_.data()),
                0);
      where_ = "fd:" + std::to_string(ends_[0]);
      migration_.emplace(machine_, clock_, MigrationPeers{{where_}, ""});
      arrival_.late.reset();
      ASSERT_TRUE(arrival_.memory->clear());
      machine_.is_held = false;
    }
    rounds_ = rounds;
    for (int i = 0; i < 2000; ++i) machine_.write_somewhere();
    receive_and_run(true);
    begin();
    std::string error;
    ASSERT_TRUE(migration_->set_limits({.bandwidth = 64 << 20, .downtime = 0}, &error)) << error;
    run([this] {
      for (int i = 0; i < 50; ++i) machine_.write_somewhere(kRam);
    });
    other_.join();
    EXPECT_EQ(outcome_, IncomingMigration::Outcome::Arrived) << problem_;
    EXPECT_TRUE(is_late_) << rounds;
    EXPECT_FALSE(arrival_.memory->has_absent());
    EXPECT_EQ(migration_->progress().status, MigrationStatus::Completed);
    EXPECT_TRUE(machine_.has_ended);
    EXPECT_TRUE(machine_.lost.empty()) << machine_.lost;
    ASSERT_EQ(std::memcmp(arrival_.memory->at(GuestPhysical(0)),
                          machine_.memory().at(GuestPhysical(0)), kRam),
              0);
    EXPECT_EQ(migration_->take_news().back(), MigrationStatus::Completed);
    EXPECT_GT(migration_->progress().wanted_grains, 0U);
  }
}

// From the moment that the other side runs it, it does not run here any more, whatever happens.
TEST_F(OutgoingMigrationTest, WithPostCopyTheOtherSidesEndLosesTheMachine) {
  rounds_ = 0;
  for (int i = 0; i < 2000; ++i) machine_.write_somewhere();
  receive_and_run(false);
  begin();
  run([] {});
  other_.join();
  EXPECT_EQ(outcome_, IncomingMigration::Outcome::Arrived) << problem_;
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Failed);
  EXPECT_NE(machine_.lost.find("whole on neither side"), std::string::npos) << machine_.lost;
  EXPECT_TRUE(machine_.is_held);
  EXPECT_FALSE(machine_.has_media);
  EXPECT_FALSE(machine_.has_ended);
}

// The other side may ask only for grains that have not come.
TEST_F(OutgoingMigrationTest, WithPostCopyWhatMakesNoSenseLosesTheMachine) {
  rounds_ = 0;
  for (int i = 0; i < 2000; ++i) machine_.write_somewhere();
  answer_until(MessageKind::Commit, [](MigrationMessages& messages) {
    (void)messages.send(MessageKind::Running);
    std::vector<uint8_t> want;
    put_u32(&want, 3);  // it has come already
    put_u32(&want, 0);
    (void)messages.send(MessageKind::Want, want);
    for (MigrationMessage message; messages.receive(&message);) continue;
  });
  begin();
  run([] {});
  other_.join();
  EXPECT_NE(machine_.lost.find("not to be said"), std::string::npos) << machine_.lost;
  EXPECT_TRUE(machine_.is_held);
}

TEST_F(OutgoingMigrationTest, PostCopyCanBeAskedForWhileItIsUnderWay) {
  std::string error;
  EXPECT_FALSE(migration_->start_postcopy(&error));
  ASSERT_TRUE(migration_->set_limits({.bandwidth = 1 << 20, .downtime = 0}, &error));
  for (int i = 0; i < 2000; ++i) machine_.write_somewhere();
  receive_and_run(true);
  begin();
  run([&, i = 0]() mutable {
    machine_.write_somewhere();
    ++i;
    EXPECT_TRUE(i != 20 || migration_->start_postcopy(&error)) << error;
    EXPECT_TRUE(i != 40 || migration_->set_limits({.bandwidth = 0}, &error)) << error;
  });
  other_.join();
  EXPECT_TRUE(is_late_);
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Completed);
  EXPECT_FALSE(migration_->start_postcopy(&error));
}

TEST_F(OutgoingMigrationTest, PartsThatAreZerosAgainAreSentAsZeros) {
  constexpr uint64_t kPlace = 5 * kGrain;
  const uint64_t value = 77, none = 0;
  machine_.physical_memory().write(GuestPhysical(kPlace), &value, sizeof(value));
  receive();
  begin();
  run([&, i = 0]() mutable {
    if (++i == 3) machine_.physical_memory().write(GuestPhysical(kPlace), &none, sizeof(none));
    if (i < 3) machine_.physical_memory().write(GuestPhysical(kPlace), &value, sizeof(value));
  });
  other_.join();
  EXPECT_EQ(outcome_, IncomingMigration::Outcome::Arrived) << problem_;
  uint64_t found = 1;
  std::memcpy(&found, arrival_.memory->at(GuestPhysical(kPlace)), sizeof(found));
  std::memcpy(&found, arrival_.memory->at(GuestPhysical(kPlace)), sizeof(found));
  uint64_t here = 1;
  std::memcpy(&here, machine_.memory().at(GuestPhysical(kPlace)), sizeof(here));
  EXPECT_EQ(found, here);
}

TEST_F(OutgoingMigrationTest, AGuestThatWritesTooMuchIsSlowedDown) {
  std::string error;
  ASSERT_TRUE(migration_->set_limits({.bandwidth = 4 << 20, .downtime = 1}, &error));
  receive();
  begin();
  run([this] {
    if (machine_.rests > 20) return;  // it has become slow enough
    for (int i = 0; i < 100; ++i) machine_.write_somewhere(kRam / 8);
  });
  other_.join();
  EXPECT_EQ(outcome_, IncomingMigration::Outcome::Arrived) << problem_;
  EXPECT_GT(machine_.rests, 20);
  EXPECT_GT(migration_->progress().throttle, 0U);
  EXPECT_GT(migration_->progress().rounds, 3U);
}

TEST_F(OutgoingMigrationTest, StaysIfItIsCancelled) {
  std::string error;
  ASSERT_TRUE(migration_->set_limits({.bandwidth = 64 * 1024, .downtime = 1}, &error));
  for (int i = 0; i < 500; ++i) machine_.write_somewhere();
  receive();
  begin();
  EXPECT_FALSE(migration_->begin(where_, {}, &error));
  run([&, i = 0]() mutable {
    machine_.write_somewhere();
    if (++i != 40) return;
    EXPECT_TRUE(migration_->cancel(&error)) << error;
  });
  other_.join();
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Cancelled);
  EXPECT_NE(outcome_, IncomingMigration::Outcome::Arrived);
  EXPECT_FALSE(machine_.has_ended);
  EXPECT_TRUE(machine_.has_media);
  EXPECT_FALSE(migration_->cancel(&error));
  machine_.write_somewhere();
}

TEST_F(OutgoingMigrationTest, StaysIfTheOtherSideCannotTakeIt) {
  arrival_.media_are_taken = true;
  receive();
  begin();
  run([this] { machine_.write_somewhere(); });
  other_.join();
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Failed);
  EXPECT_EQ(migration_->progress().problem,
            "the other side refuses: disk: is in use by another machine");
  EXPECT_TRUE(machine_.has_media);
  EXPECT_FALSE(machine_.is_held);
  EXPECT_FALSE(machine_.has_ended);
}

TEST_F(OutgoingMigrationTest, StaysIfItCannotBeSaved) {
  receive();
  begin();
  run([this] { machine_.cannot_save = true; });
  other_.join();
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Failed);
  EXPECT_FALSE(machine_.is_held);
  EXPECT_NE(outcome_, IncomingMigration::Outcome::Arrived);
}

// Wherever the other side ends, but after it has said that it runs the machine.
TEST_F(OutgoingMigrationTest, StaysIfTheOtherSideEnds) {
  for (const MessageKind last : {MessageKind::Hello, MessageKind::Begin, MessageKind::Rehearse,
                                 MessageKind::Grain, MessageKind::End, MessageKind::Commit}) {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    close(ends_[0]);
    ends_ = ends;
    where_ = "fd:" + std::to_string(ends_[0]);
    migration_.emplace(machine_, clock_, MigrationPeers{{where_}, ""});
    for (int i = 0; i < 100; ++i) machine_.write_somewhere();
    answer_until(last, [](MigrationMessages&) {});
    begin();
    run([this] { machine_.write_somewhere(); });
    other_.join();
    EXPECT_EQ(migration_->progress().status, MigrationStatus::Failed) << static_cast<int>(last);
    EXPECT_EQ(migration_->progress().problem, "the other side has gone") << static_cast<int>(last);
    EXPECT_TRUE(machine_.has_media);
    EXPECT_FALSE(machine_.is_held);
  }
}

// An answer that is damaged may have been the one that says that it runs.
TEST_F(OutgoingMigrationTest, StandsIfItIsNotKnownWhoHasIt) {
  answer_until(MessageKind::Commit, [](MigrationMessages& messages) {
    (void)messages.send(MessageKind::Hello);
    (void)poll(nullptr, 0, 200);
  });
  begin();
  run([this] { machine_.write_somewhere(); });
  other_.join();
  EXPECT_EQ(migration_->progress().status, MigrationStatus::Unknown);
  EXPECT_TRUE(machine_.is_held);
  EXPECT_FALSE(machine_.has_ended);
  EXPECT_FALSE(migration_->is_handing_over());
  std::string error;
  EXPECT_FALSE(migration_->begin(where_, {}, &error));
}

TEST_F(OutgoingMigrationTest, GoesOnlyWhereItMay) {
  std::string error;
  EXPECT_FALSE(migration_->begin("unix:/somewhere", {}, &error));
  EXPECT_NE(error.find("--migrate-to"), std::string::npos);
  EXPECT_FALSE(migration_->set_limits({.bandwidth = 5, .downtime = 1}, &error));
  EXPECT_FALSE(migration_->set_limits({.bandwidth = 0, .downtime = 5000}, &error));
  EXPECT_FALSE(migration_->cancel(&error));
  EXPECT_EQ(migration_->progress().status, MigrationStatus::None);
  close(ends_[1]);
}

}  // namespace
}  // namespace ringshift
