#include "monitor/replication/replica_messages.h"

#include <gtest/gtest.h>

#include "tests/support/replication_fixture.h"

namespace ringshift {
namespace {

const HeldOutput::Totals kShown{1, 2, 3, 4, 5};

TEST(ReplicaMessages, BeginIsWhatItWas) {
  const ReplicaBegin said{.timeout = 500, .pair = {7, 8}, .run = {'{', '}'}};
  ReplicaBegin heard;
  std::string problem;
  ASSERT_TRUE(read_begin(bytes_of(said), &heard, &problem)) << problem;
  EXPECT_EQ(heard.timeout, 500U);
  EXPECT_EQ(heard.pair, said.pair);
  EXPECT_EQ(heard.run, said.run);
}

TEST(ReplicaMessages, BeginThatMakesNoSenseIsRefused) {
  ReplicaBegin heard;
  std::string problem;
  std::vector<uint8_t> bytes = bytes_of(ReplicaBegin{.timeout = 500, .pair = {}, .run = {}});
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(read_begin(std::span(bytes).first(length), &heard, &problem));
  }
  bytes[0] = 99;
  EXPECT_FALSE(read_begin(bytes, &heard, &problem));
  EXPECT_NE(problem.find("format 99"), std::string::npos) << problem;
  for (const uint32_t timeout : {0U, kLeastTimeout - 1, kMostTimeout + 1}) {
    EXPECT_FALSE(read_begin(bytes_of(ReplicaBegin{.timeout = timeout, .pair = {}, .run = {}}),
                            &heard, &problem));
  }
}

TEST(ReplicaMessages, LogIsWhatItWas) {
  const TapePosition reached = position(90, 3, true);
  ReplicaLog log;
  std::string problem;
  const auto plain = plain_of({typed_at(position(7), "ab"), typed_at(position(80, 2), "c")});
  ASSERT_TRUE(read_log(bytes_of_log(4, reached, kShown, plain), 4, &log, &problem)) << problem;
  EXPECT_EQ(log.number, 4U);
  EXPECT_EQ(log.reached, reached);
  EXPECT_EQ(log.left, kShown);
  ASSERT_EQ(log.entries.size(), 2U);
  EXPECT_EQ(log.entries[1].at, position(80, 2));
  EXPECT_EQ(log.entries[0].input.bytes, (std::vector<uint8_t>{'a', 'b'}));
  ASSERT_TRUE(read_log(bytes_of_log(5, reached, kShown, {}), 5, &log, &problem)) << problem;
  EXPECT_TRUE(log.entries.empty());
}

TEST(ReplicaMessages, DamagedLogIsRefused) {
  const auto plain = plain_of({typed_at(position(7), "some words that are typed")});
  const std::vector<uint8_t> whole = bytes_of_log(4, position(90), kShown, plain);
  ReplicaLog log;
  std::string problem;
  const size_t head = bytes_of_log(4, position(90), kShown, {}).size();
  for (size_t length = 0; length < whole.size(); ++length) {
    if (length == head) continue;  // a log of nothing
    EXPECT_FALSE(read_log(std::span(whole).first(length), 4, &log, &problem)) << length;
    EXPECT_FALSE(problem.empty());
  }
  for (size_t at = head; at < whole.size(); ++at) {
    std::vector<uint8_t> bytes = whole;
    bytes[at] ^= 1;
    EXPECT_FALSE(read_log(bytes, 4, &log, &problem)) << at;
  }
  EXPECT_FALSE(read_log(whole, 5, &log, &problem));  // another one was to come
  std::vector<uint8_t> longer = whole;
  longer.push_back(0);
  EXPECT_FALSE(read_log(longer, 4, &log, &problem));
}

TEST(ReplicaMessages, BeatHasAllPorts) {
  HeldOutput::Totals heard{};
  EXPECT_TRUE(read_beat(bytes_of_beat(kShown), &heard));
  EXPECT_EQ(heard, kShown);
  EXPECT_FALSE(read_beat({}, &heard));
  EXPECT_FALSE(read_beat(std::vector<uint8_t>(41), &heard));
}

TEST(ReplicaMessages, HeardNeverGoesBack) {
  const ReplicaHeard before{.heard = 5, .played = 3};
  const auto reads = [&](uint64_t heard, uint64_t played) {
    ReplicaHeard now;
    return read_heard(bytes_of({.heard = heard, .played = played}), before, 9, &now);
  };
  EXPECT_TRUE(reads(5, 3));
  EXPECT_TRUE(reads(9, 9));
  EXPECT_FALSE(reads(4, 3));
  EXPECT_FALSE(reads(5, 2));
  EXPECT_FALSE(reads(10, 3));  // of what was not sent
  EXPECT_FALSE(reads(6, 7));
  ReplicaHeard now;
  EXPECT_FALSE(read_heard(std::vector<uint8_t>(15), before, 9, &now));
}

TEST(ReplicaMessages, GuestHaltsAndGoesOnBehindThat) {
  const std::vector<TapePosition> in_order{position(5), position(6, 0), position(6, 1, true),
                                           position(6, 1), position(7, 1)};
  for (size_t i = 0; i < in_order.size(); ++i) {
    for (size_t j = 0; j < in_order.size(); ++j) {
      EXPECT_EQ(is_before(in_order[i], in_order[j]), i < j) << i << " " << j;
    }
  }
  TapePosition next_life = position(0);
  next_life.life = 1;
  EXPECT_TRUE(is_before(in_order.back(), next_life));
}

TEST(ReplicaMessages, LogSaysWhetherOutputWaits) {
  ReplicaLog log;
  std::string problem;
  for (const bool is_held : {true, false}) {
    ASSERT_TRUE(
        read_log(bytes_of_log(4, position(90, 1, true), kShown, {}, is_held), 4, &log, &problem));
    EXPECT_EQ(log.is_held, is_held);
    EXPECT_TRUE(log.reached.is_halted);
  }
}

TEST(ReplicaMessages, JoinIsWhatItWas) {
  const ReplicaJoin said{.at = {.life = 2, .events = 90, .halts = 3, .is_halted = true},
                         .come = kShown,
                         .taken = {1, 0, 0, 4},
                         .ram_bytes = 1 << 24,
                         .grain_bytes = 65536};
  const std::vector<uint8_t> whole = bytes_of(said);
  ReplicaJoin heard;
  ASSERT_TRUE(read_join(whole, &heard));
  EXPECT_EQ(heard.at, said.at);
  EXPECT_EQ(heard.come, kShown);
  EXPECT_EQ(heard.taken, said.taken);
  EXPECT_EQ(heard.ram_bytes, said.ram_bytes);
  EXPECT_EQ(heard.grain_bytes, said.grain_bytes);
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(read_join(std::span(whole).first(length), &heard));
  }
  for (const uint32_t grain : {0U, 2048U, 65537U, 1U << 21}) {
    ReplicaJoin bad = said;
    bad.grain_bytes = grain;
    EXPECT_FALSE(read_join(bytes_of(bad), &heard));
  }
  ReplicaJoin bad = said;
  bad.at.life = ReplicaJoin::kMostLives;
  EXPECT_FALSE(read_join(bytes_of(bad), &heard));
}

}  // namespace
}  // namespace ringshift
