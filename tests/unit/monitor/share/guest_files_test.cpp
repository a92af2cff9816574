// The guest's half of a shared folder: its view depends on its inputs alone, no matter how they are
// made.
#include "monitor/share/guest_files.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

using Message = std::vector<uint8_t>;

Message message_of(uint8_t type, uint16_t tag, size_t more = 0) {
  const size_t length = kFileHeader + more;
  Message bytes = {static_cast<uint8_t>(length),
                   static_cast<uint8_t>(length >> 8),
                   static_cast<uint8_t>(length >> 16),
                   0,
                   type,
                   static_cast<uint8_t>(tag),
                   static_cast<uint8_t>(tag >> 8)};
  bytes.resize(length);
  return bytes;
}

Message joined(const std::vector<Message>& messages) {
  Message all;
  for (const Message& one : messages) all.insert(all.end(), one.begin(), one.end());
  return all;
}

TEST(GuestFiles, AnswersComeInOrderAndFreeTheirTags) {
  GuestFiles files;
  int changes = 0;
  files.set_on_change([&] { ++changes; });
  for (uint16_t tag = 0; tag < 2; ++tag) {
    EXPECT_EQ(files.free_tag(), tag);
    files.send(message_of(116, tag));
  }
  files.take_in(GuestFiles::answers_input(joined({message_of(117, 1, 9), message_of(117, 0)})));
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(files.received().size(), kFileHeader + 9);
  files.take_received();
  EXPECT_EQ(files.free_tag(), 1);
  files.take_received();
  EXPECT_EQ(files.free_tag(), 0);
  EXPECT_TRUE(files.received().empty());
}

TEST(GuestFiles, ThereIsRoomAgainWhenItIsTold) {
  GuestFiles files;
  size_t sent = 0;
  while (files.has_room()) {
    const Message message = message_of(118, files.free_tag(), 60'000);
    files.send(message);
    sent += message.size();
  }
  EXPECT_GE(sent, GuestFiles::kMostOutgoing);
  files.take_in(GuestFiles::room_input(0));
  EXPECT_FALSE(files.has_room());
  files.take_in(GuestFiles::room_input(120'000));
  EXPECT_TRUE(files.has_room());
  files.take_in(GuestFiles::room_input(~0U));  // more than there ever was
  EXPECT_TRUE(files.has_room());
}

TEST(GuestFiles, AServerThatHasGoneStaysSo) {
  GuestFiles files;
  EXPECT_TRUE(files.is_up());
  files.take_in(GuestFiles::end_input());
  EXPECT_FALSE(files.is_up());
}

TEST(GuestFiles, AreSavedAsAWhole) {
  GuestFiles files;
  files.send(message_of(104, 0, 20));  // attach
  files.send(message_of(116, 1));
  files.take_in(GuestFiles::answers_input(joined({message_of(105, 0), message_of(117, 1)})));
  files.take_received();
  EXPECT_TRUE(files.is_mounted());
  std::vector<uint8_t> bytes;
  std::string error;
  const auto save = [&](StateArchive& archive) { files.visit_state(archive); };
  ASSERT_TRUE(StateArchive::save(save, &bytes, &error)) << error;
  GuestFiles again;
  const auto load = [&](StateArchive& archive) { again.visit_state(archive); };
  ASSERT_TRUE(StateArchive::load(bytes, load, &error)) << error;
  EXPECT_TRUE(again.is_mounted());
  EXPECT_EQ(again.sent_hash(), files.sent_hash());
  EXPECT_EQ(again.free_tag(), 0);
  EXPECT_EQ(again.received().size(), files.received().size());
  again.take_received();
  EXPECT_FALSE(again.has_requests());
}

TEST(GuestFiles, InputsOfATapeAreChecked) {
  EXPECT_TRUE(GuestFiles::is_sound(GuestFiles::answers_input({})));
  EXPECT_TRUE(GuestFiles::is_sound(GuestFiles::answers_input(message_of(117, 0))));
  EXPECT_TRUE(GuestFiles::is_sound(GuestFiles::room_input(5)));
  EXPECT_TRUE(GuestFiles::is_sound(GuestFiles::end_input()));
  EXPECT_FALSE(GuestFiles::is_sound(GuestFiles::answers_input({1, 2, 3})));
  EXPECT_FALSE(GuestFiles::is_sound(GuestFiles::answers_input({6, 0, 0, 0, 117, 0, 0})));
  EXPECT_FALSE(GuestFiles::is_sound(GuestFiles::answers_input({8, 0, 0, 0, 117, 0, 0})));
  EXPECT_FALSE(GuestFiles::is_sound(GuestFiles::answers_input({7, 0, 0, 1, 117, 0, 0})));
  EXPECT_FALSE(GuestFiles::is_sound({HostInput::Kind::ShareRoom, 0, {1, 2, 3}}));
  EXPECT_FALSE(GuestFiles::is_sound({HostInput::Kind::ShareEnd, 0, {1}}));
  EXPECT_FALSE(GuestFiles::is_sound({HostInput::Kind::ConsoleBytes, 0, {1}}));
}

TEST(GuestFiles, AGuestThatTakesNothingIsGivenSoMuchAndNoMore) {
  GuestFiles files;
  const Message bytes = joined(std::vector<Message>(40, message_of(117, 0, 3000)));
  for (int i = 0; i < 1000; ++i) files.take_in(GuestFiles::answers_input(bytes));
  size_t kept = 0;
  for (; !files.received().empty(); files.take_received()) kept += files.received().size();
  EXPECT_LT(kept, 3 * GuestFiles::kMostReceived);
}

}  // namespace
}  // namespace ringshift
