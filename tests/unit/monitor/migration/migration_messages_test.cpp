#include "monitor/migration/migration_messages.h"

#include <gtest/gtest.h>

#include "tests/support/migration_fixture.h"

namespace ringshift {
namespace {

std::vector<uint8_t> some(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + 1);
  return bytes;
}

TEST(MigrationMessages, AreReadAsTheyWereSent) {
  StreamOfBytes out;
  MigrationMessages sender(out);
  const std::vector<uint8_t> most = some(MigrationMessages::kMostBytes);
  ASSERT_TRUE(sender.send(MessageKind::Rehearse));
  ASSERT_TRUE(sender.send(MessageKind::Grain, some(8), some(100)));
  ASSERT_TRUE(sender.send(MessageKind::State, most));
  EXPECT_EQ(sender.bytes_sent(), out.written.size());
  StreamOfBytes in(out.written);
  MigrationMessages receiver(in);
  MigrationMessage message;
  ASSERT_TRUE(receiver.receive(&message));
  EXPECT_EQ(message.kind, MessageKind::Rehearse);
  EXPECT_TRUE(message.bytes.empty());
  ASSERT_TRUE(receiver.receive(&message));
  EXPECT_EQ(message.bytes.size(), 108U);
  ASSERT_TRUE(receiver.receive(&message));
  EXPECT_EQ(message.bytes, most);
  EXPECT_FALSE(receiver.receive(&message));
  EXPECT_EQ(receiver.problem(), "the other side has gone");
}

TEST(MigrationMessages, KeepTheirOrder) {
  MessageBytes said;
  said.add(MessageKind::State, some(5)).add(MessageKind::State, some(6));
  const size_t first = MigrationMessages::kHeaderBytes + 5;
  std::vector<uint8_t> swapped(said.bytes().begin() + static_cast<ptrdiff_t>(first),
                               said.bytes().end());
  swapped.insert(swapped.end(), said.bytes().begin(),
                 said.bytes().begin() + static_cast<ptrdiff_t>(first));
  StreamOfBytes in(swapped);
  MigrationMessages receiver(in);
  MigrationMessage message;
  EXPECT_FALSE(receiver.receive(&message));
  EXPECT_NE(receiver.problem().find("damaged"), std::string::npos);
}

TEST(MigrationMessages, ThatAreTooLongAreNotWaitedFor) {
  std::vector<uint8_t> header;
  put_u32(&header, static_cast<uint32_t>(MessageKind::State));
  put_u32(&header, 0xffffffff);
  put_u64(&header, 0);
  StreamOfBytes in(header);
  MigrationMessages receiver(in);
  MigrationMessage message;
  EXPECT_FALSE(receiver.receive(&message));
  EXPECT_NE(receiver.problem().find("damaged"), std::string::npos);
  EXPECT_LT(message.bytes.size(), 10U);
}

TEST(MigrationMessages, ARefusalIsShownAsALine) {
  MessageBytes said;
  std::vector<uint8_t> words = {'n', 'o', '\n', 0x1b, 0xff};
  words.resize(5000, 'a');
  StreamOfBytes in(said.add(MessageKind::Refuse, words).bytes());
  MigrationMessages receiver(in);
  MigrationMessage message;
  EXPECT_FALSE(receiver.expect(MessageKind::Accept, &message));
  EXPECT_EQ(receiver.problem().substr(0, 31), "the other side refuses: no???aa");
  EXPECT_LT(receiver.problem().size(), 400U);
}

TEST(MigrationKey, ProvesWhoHasIt) {
  const MigrationNonce one{1}, other{2};
  const MigrationProof proof = prove("secret", MigrationSide::Source, one, other);
  EXPECT_TRUE(is_same_proof(proof, prove("secret", MigrationSide::Source, one, other)));
  EXPECT_FALSE(is_same_proof(proof, prove("Secret", MigrationSide::Source, one, other)));
  EXPECT_FALSE(is_same_proof(proof, prove("secret", MigrationSide::Target, one, other)));
  EXPECT_FALSE(is_same_proof(proof, prove("secret", MigrationSide::Source, other, one)));
  EXPECT_FALSE(is_same_proof(std::span(proof).first(31), proof));
}

}  // namespace
}  // namespace ringshift
