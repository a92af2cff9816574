#include "monitor/migration/incoming_migration.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "shadowmmu/base/hash.h"
#include "tests/support/migration_fixture.h"

namespace ringshift {
namespace {

using Outcome = IncomingMigration::Outcome;

constexpr uint64_t kRam = 64 * 1024;
constexpr uint32_t kGrain = 16 * 1024;

std::vector<uint8_t> text(const char* words) { return {words, words + std::strlen(words)}; }

std::vector<uint8_t> description(uint64_t ram = kRam, uint32_t grain = kGrain) {
  std::vector<uint8_t> bytes;
  put_u64(&bytes, ram);
  put_u32(&bytes, grain);
  put_u32(&bytes, 0);
  return bytes;
}

std::vector<uint8_t> grain(uint32_t number, uint8_t filled, size_t length = kGrain) {
  std::vector<uint8_t> bytes;
  put_u32(&bytes, number);
  put_u32(&bytes, 0);
  bytes.resize(bytes.size() + length, filled);
  return bytes;
}

std::vector<uint8_t> end_of(const std::vector<uint64_t>& hashes, uint32_t flags = 0) {
  std::vector<uint8_t> bytes;
  put_u32(&bytes, flags);
  put_u32(&bytes, 0);
  put_u64(&bytes, hash_of_grains(hashes));
  return bytes;
}

uint64_t hash_of(uint32_t number, uint8_t filled) {
  return hash_bytes(std::vector<uint8_t>(kGrain, filled), number);
}

class IncomingMigrationTest : public ::testing::Test {
 protected:
  static constexpr MigrationNonce kOwn{1, 2, 3}, kOther{4, 5, 6};

  // Up to where the target would say that it takes the machine.
  MessageBytes begin() {
    MessageBytes said;
    said.add(MessageKind::Hello, bytes_of_hello({.has_key = false, .nonce = kOther}))
        .add(MessageKind::Begin, description())
        .add(MessageKind::State, text("first"))
        .add(MessageKind::Rehearse);
    return said;
  }
  // And all the rest, but for the last word.
  MessageBytes all(uint32_t flags = 0) {
    MessageBytes said = begin();
    said.add(MessageKind::Grain, grain(1, 7))
        .add(MessageKind::Grain, grain(3, 9))
        .add(MessageKind::Grain, grain(3, 0, 0))
        .add(MessageKind::State, text("last "))
        .add(MessageKind::State, text("state"))
        .add(MessageKind::End, end_of({0, hash_of(1, 7), 0, 0}, flags));
    return said;
  }
  Outcome receive(const std::vector<uint8_t>& bytes, const std::string& key = "") {
    StreamOfBytes stream(bytes);
    IncomingMigration incoming(stream, machine_, key, kOwn);
    const Outcome outcome = incoming.receive();
    problem_ = incoming.problem();
    stands_ = incoming.stands();
    answers_.clear();
    StreamOfBytes heard(stream.written);
    MigrationMessages messages(heard);
    for (MigrationMessage message; messages.receive(&message);) answers_.push_back(message.kind);
    return outcome;
  }
  void expect_failed(const MessageBytes& said, const std::string& why) {
    EXPECT_EQ(receive(said.bytes()), Outcome::Failed);
    EXPECT_NE(problem_.find(why), std::string::npos) << problem_;
    EXPECT_EQ(answers_.back(), MessageKind::Refuse);
  }

  FakeArrival machine_{kRam};
  std::string problem_;
  bool stands_ = false;
  std::vector<MessageKind> answers_;
};

constexpr MigrationNonce IncomingMigrationTest::kOwn;
constexpr MigrationNonce IncomingMigrationTest::kOther;

TEST_F(IncomingMigrationTest, AMachineArrives) {
  EXPECT_EQ(receive(all().add(MessageKind::Commit).bytes()), Outcome::Arrived) << problem_;
  EXPECT_EQ(answers_, (std::vector<MessageKind>{MessageKind::Hello, MessageKind::Accept,
                                                MessageKind::Ready, MessageKind::Running}));
  EXPECT_EQ(machine_.rehearsal, "first");
  EXPECT_EQ(machine_.state, "last state");
  EXPECT_TRUE(machine_.has_media);
  EXPECT_FALSE(stands_);
  for (uint64_t at = 0; at < kRam; ++at) {
    ASSERT_EQ(*machine_.memory->at(GuestPhysical(at)), at / kGrain == 1 ? 7 : 0) << at;
  }
  EXPECT_EQ(receive(all(kMigratedStands).add(MessageKind::Commit).bytes()), Outcome::Arrived);
  EXPECT_TRUE(stands_);
}

TEST_F(IncomingMigrationTest, ItIsNotOursBeforeTheLastWord) {
  const std::vector<uint8_t> bytes = all().add(MessageKind::Commit).bytes();
  for (size_t length = 0; length < bytes.size(); length += length + 100 < bytes.size() ? 89 : 1) {
    const Outcome outcome =
        receive({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length)});
    ASSERT_NE(outcome, Outcome::Arrived) << length;
    ASSERT_EQ(problem_, "the other side has gone");
    ASSERT_EQ(outcome == Outcome::TurnedAway,
              length < MigrationMessages::kHeaderBytes + kHelloBytes);
    ASSERT_FALSE(machine_.has_media);
  }
}

TEST_F(IncomingMigrationTest, DamageIsFound) {
  const std::vector<uint8_t> whole = all().add(MessageKind::Commit).bytes();
  for (size_t at = 0; at < whole.size(); at += at < 400 || at + 400 > whole.size() ? 1 : 97) {
    std::vector<uint8_t> bytes = whole;
    bytes[at] ^= 0x10;
    ASSERT_NE(receive(bytes), Outcome::Arrived) << at;
    ASSERT_NE(problem_, "") << at;
  }
}

TEST_F(IncomingMigrationTest, OtherMachinesAreRefused) {
  MessageBytes hello;
  const auto said = [&](std::vector<uint8_t> begin) {
    MessageBytes bytes;
    bytes.add(MessageKind::Hello, bytes_of_hello({.has_key = false, .nonce = kOther}))
        .add(MessageKind::Begin, begin);
    return bytes;
  };
  expect_failed(said(description(kRam * 2)), "of memory, and here");
  expect_failed(said(description(kRam, 0)), "impossible pieces");
  expect_failed(said(description(kRam, 12345)), "impossible pieces");
  expect_failed(said(description(kRam, 2048)), "impossible pieces");
  expect_failed(said(description(kRam, 1U << 31)), "impossible pieces");
  expect_failed(said(text("no")), "is none");
  expect_failed(said(description()).add(MessageKind::State, text("x")).add(MessageKind::Rehearse),
                "it begins with an x");
  expect_failed(said(description()).add(MessageKind::Commit), "out of turn");
}

TEST_F(IncomingMigrationTest, MemoryIsWrittenWhereItIsAndNowhereElse) {
  expect_failed(begin().add(MessageKind::Grain, grain(4, 1)), "behind its end");
  expect_failed(begin().add(MessageKind::Grain, grain(0xffffffff, 1)), "behind its end");
  expect_failed(begin().add(MessageKind::Grain, grain(1, 1, kGrain - 1)), "another size");
  expect_failed(begin().add(MessageKind::Grain, grain(1, 1, kGrain + 1)), "another size");
  expect_failed(begin().add(MessageKind::Grain, text("123")), "is none");
  expect_failed(begin().add(MessageKind::Begin, description()), "out of turn");
  expect_failed(begin().add(MessageKind::Commit), "out of turn");
  expect_failed(begin().add(MessageKind::End, text("end")), "is none");
}

TEST_F(IncomingMigrationTest, WhatIsNotAllThereDoesNotRun) {
  expect_failed(begin()
                    .add(MessageKind::Grain, grain(1, 7))
                    .add(MessageKind::End, end_of({0, hash_of(1, 8), 0, 0})),
                "otherwise than it was sent");
  expect_failed(
      begin().add(MessageKind::State, text("x")).add(MessageKind::End, end_of({0, 0, 0, 0})),
      "it begins with an x");
  machine_.media_are_taken = true;
  expect_failed(all().add(MessageKind::Commit), "in use by another machine");
}

TEST_F(IncomingMigrationTest, AStrangerIsTurnedAway) {
  const std::string key = "sixteen bytes...";
  const auto hello = [](bool has_key) {
    return bytes_of_hello({.has_key = has_key, .nonce = kOther});
  };
  const auto proof = [](const MigrationProof& bytes) { return std::span<const uint8_t>(bytes); };
  EXPECT_EQ(receive(MessageBytes().add(MessageKind::Hello, hello(false)).bytes(), key),
            Outcome::TurnedAway);
  EXPECT_NE(problem_.find("--migration-key"), std::string::npos) << problem_;
  EXPECT_EQ(receive(MessageBytes().add(MessageKind::Hello, hello(true)).bytes()),
            Outcome::TurnedAway);
  EXPECT_NE(problem_.find("--migration-key"), std::string::npos) << problem_;
  EXPECT_EQ(receive(MessageBytes().add(MessageKind::Hello, text("HTTP")).bytes()),
            Outcome::TurnedAway);
  const MigrationProof wrong = prove("another key.....", MigrationSide::Source, kOther, kOwn);
  const MigrationProof mirrored = prove(key, MigrationSide::Target, kOther, kOwn);
  const MigrationProof right = prove(key, MigrationSide::Source, kOther, kOwn);
  for (const MigrationProof& one : {wrong, mirrored}) {
    EXPECT_EQ(receive(MessageBytes()
                          .add(MessageKind::Hello, hello(true))
                          .add(MessageKind::Proof, proof(one))
                          .add(MessageKind::Begin, description())
                          .bytes(),
                      key),
              Outcome::TurnedAway);
    EXPECT_EQ(problem_, "the other side has another key");
  }
  EXPECT_EQ(receive(MessageBytes()
                        .add(MessageKind::Hello, hello(true))
                        .add(MessageKind::Proof, proof(right))
                        .bytes(),
                    key),
            Outcome::Failed);
  EXPECT_EQ(problem_, "the other side has gone");
}

}  // namespace
}  // namespace ringshift
