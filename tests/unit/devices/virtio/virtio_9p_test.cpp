// A folder's device with a port of this test's: requests and answers find each other, whatever
// their order; hostile messages break the device or get an error, and nothing else.
#include "devices/virtio/virtio_9p.h"

#include <deque>
#include <set>

#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

using Message = std::vector<uint8_t>;

Message message_of(uint8_t type, uint16_t tag, const Message& body = {}) {
  Message all;
  const size_t length = kFileHeader + body.size();
  for (unsigned i = 0; i < 4; ++i) all.push_back(static_cast<uint8_t>(length >> (8 * i)));
  all.push_back(type);
  all.push_back(static_cast<uint8_t>(tag));
  all.push_back(static_cast<uint8_t>(tag >> 8));
  all.insert(all.end(), body.begin(), body.end());
  return all;
}

uint16_t tag_of(const Message& message) {
  return static_cast<uint16_t>(message[kFileTagAt] | message[kFileTagAt + 1] << 8);
}

class TestFilePort final : public FilePort {
 public:
  [[nodiscard]] bool is_up() const override { return up; }
  [[nodiscard]] bool has_room() const override { return room != 0; }
  [[nodiscard]] uint16_t free_tag() const override {
    uint16_t tag = 0;
    while (in_use.count(tag) != 0) ++tag;
    return tag;
  }
  void send(std::span<const uint8_t> message) override {
    sent.emplace_back(message.begin(), message.end());
    in_use.insert(tag_of(sent.back()));
    --room;
  }
  [[nodiscard]] std::span<const uint8_t> received() const override {
    return answers.empty() ? std::span<const uint8_t>() : answers.front();
  }
  void take_received() override {
    in_use.erase(tag_of(answers.front()));
    answers.pop_front();
  }
  void give_up(uint16_t tag) override { in_use.erase(tag); }
  void set_on_change(std::function<void()> on_change) override { change = std::move(on_change); }

  std::vector<Message> sent;
  std::deque<Message> answers;
  std::set<uint16_t> in_use;
  std::function<void()> change;
  int room = 1000;
  bool up = true;
};

class Virtio9pTest : public ::testing::Test {
 protected:
  void SetUp() override { bench.start(Interface::Modern); }
  // In a chain of its own: the request, and room for the answer.
  void ask(uint16_t head, const Message& message, uint32_t room = 64) {
    const uint64_t at = 0x80000 + uint64_t{head} * 0x1000;
    std::copy(message.begin(), message.end(),
              bench.memory.bytes.begin() + static_cast<ptrdiff_t>(at));
    bench.add(0, head,
              {{at, static_cast<uint32_t>(message.size()), false}, {at + 0x800, room, true}});
    bench.notify(0);
  }
  Message answer_in(uint16_t head, size_t bytes) {
    const auto at = bench.memory.bytes.begin() + 0x80800 + ptrdiff_t{head} * 0x1000;
    return {at, at + static_cast<ptrdiff_t>(bytes)};
  }
  void come(const Message& message) {
    port.answers.push_back(message);
    port.change();
    bench.clock.run_due();
  }

  TestFilePort port;
  Virtio9p device{port, "music"};
  VirtioBench bench{device};
};

TEST_F(Virtio9pTest, ItsTagIsInTheConfiguration) {
  EXPECT_EQ(bench.config(Interface::Modern, 0, 2), 5U);
  EXPECT_EQ(bench.config(Interface::Modern, 2, 5), 0x636973756dU);  // "music"
  EXPECT_EQ(bench.offered(Interface::Modern) & 1, 1U);
}

TEST_F(Virtio9pTest, AnswersFindTheirRequestsInAnyOrder) {
  ask(0, message_of(110, 700, {1, 2}));
  ask(4, message_of(116, 701, {3}));
  ASSERT_EQ(port.sent.size(), 2U);
  EXPECT_NE(tag_of(port.sent[0]), tag_of(port.sent[1]));
  come(message_of(117, tag_of(port.sent[1]), {9, 9, 9}));
  come(message_of(111, tag_of(port.sent[0])));
  EXPECT_EQ(bench.next_used(0), (Used{4, 10}));
  EXPECT_EQ(bench.next_used(0), (Used{0, 7}));
  EXPECT_EQ(answer_in(4, 10), message_of(117, 701, {9, 9, 9}));
  EXPECT_EQ(answer_in(0, 7), message_of(111, 700));
}

TEST_F(Virtio9pTest, NoAnswerOfAnEarlierDriverReachesALaterOne) {
  ask(0, message_of(116, 5));
  const Message old = port.sent[0];
  bench.start(Interface::Modern);
  ask(0, message_of(116, 5));
  ASSERT_EQ(port.sent.size(), 2U);
  EXPECT_NE(tag_of(old), tag_of(port.sent[1]));
  come(message_of(117, tag_of(old), {1}));
  EXPECT_FALSE(bench.next_used(0));
  come(message_of(117, tag_of(port.sent[1]), {2}));
  EXPECT_EQ(bench.next_used(0), (Used{0, 8}));
  EXPECT_EQ(answer_in(0, 8), message_of(117, 5, {2}));
}

TEST_F(Virtio9pTest, AFlushNamesTheServersTagAndEndsItsRequest) {
  ask(0, message_of(116, 0x1234));
  ask(4, message_of(108, 2, {0x34, 0x12}));
  ASSERT_EQ(port.sent.size(), 2U);
  EXPECT_EQ(port.sent[1][7], port.sent[0][kFileTagAt]);
  come(message_of(109, tag_of(port.sent[1])));
  EXPECT_EQ(bench.next_used(0), (Used{0, 0}));
  EXPECT_EQ(bench.next_used(0), (Used{4, 7}));
  EXPECT_TRUE(port.in_use.empty());
}

TEST_F(Virtio9pTest, AFlushOfNothingIsAnsweredAtOnce) {
  ask(0, message_of(108, 2, {1, 0}));
  EXPECT_TRUE(port.sent.empty());
  EXPECT_EQ(bench.next_used(0), (Used{0, 7}));
  EXPECT_EQ(answer_in(0, 7), message_of(109, 2));
}

// The server would hang up on it.
TEST_F(Virtio9pTest, AnUnknownRequestGetsAnErrorHere) {
  for (const uint8_t type : {uint8_t{0}, uint8_t{7}, uint8_t{101}, uint8_t{200}}) {
    ask(0, message_of(type, 3));
    EXPECT_EQ(bench.next_used(0), (Used{0, 11}));
    EXPECT_EQ(answer_in(0, 11), message_of(7, 3, {95, 0, 0, 0}));
  }
  EXPECT_TRUE(port.sent.empty());
}

TEST_F(Virtio9pTest, RequestsWaitInTheRingForRoom) {
  port.room = 1;
  ask(0, message_of(116, 1));
  ask(4, message_of(116, 2));
  EXPECT_EQ(port.sent.size(), 1U);
  port.room = 1;
  port.change();
  bench.clock.run_due();
  EXPECT_EQ(port.sent.size(), 2U);
}

TEST_F(Virtio9pTest, AServerThatHasGoneLeavesErrors) {
  ask(0, message_of(116, 1));
  port.up = false;
  port.change();
  bench.clock.run_due();
  EXPECT_EQ(bench.next_used(0), (Used{0, 11}));
  EXPECT_EQ(answer_in(0, 11), message_of(7, 1, {5, 0, 0, 0}));
  ask(4, message_of(116, 2));
  EXPECT_EQ(bench.next_used(0), (Used{4, 11}));
  EXPECT_EQ(port.sent.size(), 1U);
}

TEST_F(Virtio9pTest, MessagesThatMakeNoSenseBreakIt) {
  Message lies = message_of(116, 1, {0, 0});
  lies[0] = 200;
  Message is_short = message_of(116, 1);
  is_short[0] = 6;
  for (const Message& message : {lies, is_short, Message(3)}) {
    bench.start(Interface::Modern);
    ask(0, message);
    EXPECT_TRUE(bench.needs_reset());
  }
  bench.start(Interface::Modern);
  ask(0, message_of(116, 1), 10);  // no room for an error
  EXPECT_TRUE(bench.needs_reset());
  bench.start(Interface::Modern);
  bench.add(0, 0, {{0x80000, kMostFileMessage + 1, false}, {0x90000, 64, true}});
  bench.notify(0);
  EXPECT_TRUE(bench.needs_reset());
  EXPECT_TRUE(port.sent.empty());
}

TEST_F(Virtio9pTest, ATagThatIsInUseBreaksIt) {
  ask(0, message_of(116, 1));
  ask(4, message_of(116, 1));
  EXPECT_TRUE(bench.needs_reset());
}

TEST_F(Virtio9pTest, AnAnswerThatHasNoRoomBreaksIt) {
  ask(0, message_of(116, 1), 11);
  come(message_of(117, tag_of(port.sent[0]), Message(5)));
  EXPECT_TRUE(bench.needs_reset());
}

TEST_F(Virtio9pTest, SpareBytesOfAChainAreNotSent) {
  Message message = message_of(116, 1, {7});
  const Message exact = message;
  message.insert(message.end(), 20, 0xff);
  ask(0, message);
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent[0].size(), exact.size());
}

}  // namespace
}  // namespace ringshift
