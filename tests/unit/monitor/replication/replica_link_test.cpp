#include "monitor/replication/replica_link.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

class ReplicaLinkTest : public ::testing::Test {
 protected:
  void start(uint32_t timeout) {
    link_.emplace(
        std::move(ends_.theirs),
        ReplicaLink::Setup{.timeout = timeout,
                           .on_message =
                               [this](const MigrationMessage& message, std::string* problem) {
                                 ++messages_;
                                 *problem = "a word too many";
                                 return message.kind != MessageKind::Grain;
                               },
                           .on_tick = [](std::string*) { return true; },
                           .on_end = [this](const std::string& why) { end_.set_value(why); }});
    link_->start();
  }
  std::string end() { return end_.get_future().get(); }

  TwoEnds ends_;
  std::atomic<int> messages_{0};
  std::promise<std::string> end_;
  std::optional<ReplicaLink> link_;
};

TEST_F(ReplicaLinkTest, SendsInOrderAndSaysFarewell) {
  start(10'000);
  for (uint8_t i = 0; i < 50; ++i) link_->send(MessageKind::Beat, {i});
  link_->finish();
  MigrationMessage message;
  for (uint8_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(ends_.ours.messages->expect(MessageKind::Beat, &message));
    EXPECT_EQ(message.bytes, std::vector<uint8_t>{i});
  }
  EXPECT_FALSE(ends_.ours.messages->receive(&message));
}

TEST_F(ReplicaLinkTest, TakesWhatWasSaidBeforeTheOtherHasGone) {
  start(10'000);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(ends_.ours.messages->send(MessageKind::Heard, {}));
  ends_.hang_up();
  EXPECT_NE(end(), "");
  EXPECT_EQ(messages_, 5);
}

TEST_F(ReplicaLinkTest, SaysThatTheOtherIsSilent) {
  start(100);
  EXPECT_EQ(end(), "the other side is silent");
}

TEST_F(ReplicaLinkTest, EndsByAWordThatMakesNoSense) {
  start(10'000);
  ASSERT_TRUE(ends_.ours.messages->send(MessageKind::Grain, {}));
  EXPECT_EQ(end(), "a word too many");
}

TEST_F(ReplicaLinkTest, IsNotKeptByOneThatDoesNotRead) {
  start(60'000);
  for (int i = 0; i < 100; ++i) link_->send(MessageKind::Log, std::vector<uint8_t>(100'000));
  link_->finish();  // in a tenth of a second, or this test takes a minute
}

}  // namespace
}  // namespace ringshift
