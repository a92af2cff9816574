// Tapes: a player reads a recorder's entries; damage anywhere is found; a different run is
// reported.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "monitor/network/frame_stream.h"
#include "monitor/network/guest_packets.h"
#include "monitor/replay/tape_player.h"
#include "monitor/replay/tape_recorder.h"
#include "monitor/share/guest_files.h"

namespace ringshift {
namespace {

HostInput typed(const std::string& text) {
  return {HostInput::Kind::ConsoleBytes, 0, {text.begin(), text.end()}};
}

TapePosition at(uint64_t events, uint64_t halts = 0, bool is_halted = false) {
  return {.life = 0, .events = events, .halts = halts, .is_halted = is_halted};
}

// A file of memory; the code that gets a descriptor of it may close it.
class TapeFile {
 public:
  TapeFile() : descriptor_(memfd_create("tape", MFD_CLOEXEC)) {}
  ~TapeFile() { close(descriptor_); }
  TapeFile(const TapeFile&) = delete;
  TapeFile& operator=(const TapeFile&) = delete;
  [[nodiscard]] int again() const {
    lseek(descriptor_, 0, SEEK_SET);
    return dup(descriptor_);
  }
  [[nodiscard]] std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> all(static_cast<size_t>(lseek(descriptor_, 0, SEEK_END)));
    EXPECT_EQ(pread(descriptor_, all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
    return all;
  }
  void set(const std::vector<uint8_t>& bytes) const {
    EXPECT_EQ(ftruncate(descriptor_, 0), 0);
    EXPECT_EQ(pwrite(descriptor_, bytes.data(), bytes.size(), 0),
              static_cast<ssize_t>(bytes.size()));
  }

 private:
  int descriptor_;
};

class TapeTest : public testing::Test {
 protected:
  void record_usual() {
    std::string error;
    const auto recorder = TapeRecorder::create(file.again(), &error);
    ASSERT_NE(recorder, nullptr) << error;
    recorder->begin_life();
    recorder->note(at(100), typed("ab"));
    recorder->note(at(100), typed("c"));
    recorder->mark(at(200, 3, true), {.registers = 7, .memory = 8});
    recorder->note(at(250, 4, true), typed("d"));
    recorder->end(at(300, 4), {.registers = 9, .memory = 10}, InputTape::EndedBy::Guest);
  }
  std::unique_ptr<TapePlayer> player(const PlayRequest& request = {}) {
    std::string error;
    auto made = TapePlayer::create(file.again(), request, &error);
    EXPECT_NE(made, nullptr) << error;
    if (made != nullptr) made->begin_life();
    return made;
  }
  static void play_usual(TapePlayer& tape) {
    EXPECT_EQ(tape.next_count(), 100U);
    EXPECT_EQ(tape.next_at(at(100))->bytes, typed("ab").bytes);
    EXPECT_EQ(tape.next_at(at(100))->bytes, typed("c").bytes);
    EXPECT_FALSE(tape.next_at(at(100)));
    EXPECT_FALSE(tape.next_count());  // not before the mark
    tape.mark(at(200, 3, true), {.registers = 7, .memory = 8});
    EXPECT_EQ(tape.next_count(), 250U);
    EXPECT_FALSE(tape.next_at(at(250, 3)));  // not halted yet
    EXPECT_EQ(tape.next_at(at(250, 4, true))->bytes, typed("d").bytes);
  }

  TapeFile file;
};

TEST_F(TapeTest, WhatWasRecordedIsPlayedWhereItWas) {
  record_usual();
  const auto tape = player({.hashes_memory = true});
  play_usual(*tape);
  EXPECT_FALSE(tape->wants_stop(at(290, 4)));
  tape->end(at(300, 4), {.registers = 9, .memory = 10}, InputTape::EndedBy::Guest);
  EXPECT_TRUE(tape->agrees()) << tape->problem();
  EXPECT_EQ(tape->report(), "replayed to event 300: 3 inputs, 2 marks agree");
}

TEST_F(TapeTest, AReplayMayGoBackToWhereItWas) {
  record_usual();
  const auto tape = player();
  const TapePlace begin = tape->place();
  EXPECT_EQ(tape->next_at(at(100))->bytes, typed("ab").bytes);
  const TapePlace middle = tape->place();
  EXPECT_EQ(tape->next_at(at(100))->bytes, typed("c").bytes);
  (void)tape->next_at(at(101, 9));
  EXPECT_FALSE(tape->next_at(at(251, 9)));
  ASSERT_TRUE(tape->go_back_to(middle));
  EXPECT_EQ(tape->next_at(at(100))->bytes, typed("c").bytes);
  ASSERT_TRUE(tape->go_back_to(begin));
  play_usual(*tape);
  tape->end(at(300, 4), {.registers = 9, .memory = 10}, InputTape::EndedBy::Guest);
  const TapePlace end = tape->place();
  EXPECT_TRUE(tape->agrees()) << tape->problem();
  EXPECT_EQ(tape->report(), "replayed to event 300: 3 inputs, 2 marks agree");
  ASSERT_TRUE(tape->go_back_to(end));
  EXPECT_TRUE(tape->wants_stop(at(300, 4)));
}

TEST_F(TapeTest, AnotherRunIsSaidToBeOne) {
  record_usual();
  const auto others = std::vector<std::function<void(TapePlayer&)>>{
      [](TapePlayer& tape) { (void)tape.next_at(at(101)); },
      [](TapePlayer& tape) { (void)tape.next_at(at(100, 1)); },
      [](TapePlayer& tape) { tape.mark(at(200, 3, true), {.registers = 7, .memory = 8}); },
      [](TapePlayer& tape) { tape.end(at(99), {}, InputTape::EndedBy::Guest); },
      [](TapePlayer& tape) {
        play_usual(tape);
        tape.end(at(300, 4), {.registers = 1, .memory = 10}, InputTape::EndedBy::Guest);
      },
      [](TapePlayer& tape) {
        play_usual(tape);
        tape.end(at(300, 4), {.registers = 9, .memory = 1}, InputTape::EndedBy::Guest);
      },
  };
  for (const auto& other : others) {
    const auto tape = player({.hashes_memory = true});
    other(*tape);
    EXPECT_TRUE(tape->problem().starts_with("the replay is not the recorded run: at event "));
    EXPECT_TRUE(tape->wants_stop(at(300)));
  }
}

TEST_F(TapeTest, TheNetworkAndTheFolderAreOnIt) {
  std::vector<uint8_t> frames;
  append_frame(std::vector<uint8_t>(60, 9), &frames);
  const std::vector<HostInput> inputs = {
      GuestPackets::link_input(true),   GuestPackets::frames_input(frames),
      GuestPackets::room_input(70'000), GuestFiles::answers_input({7, 0, 0, 0, 117, 1, 0}),
      GuestFiles::room_input(300'000),  GuestFiles::end_input()};
  std::string error;
  {
    const auto recorder = TapeRecorder::create(file.again(), &error);
    recorder->begin_life();
    for (const HostInput& input : inputs) recorder->note(at(50), input);
    recorder->mark(at(60), {.registers = 1, .memory = 2, .output = 3});
  }
  const auto tape = player();
  for (const HostInput& input : inputs) {
    const auto played = tape->next_at(at(50));
    ASSERT_TRUE(played);
    EXPECT_EQ(played->kind, input.kind);
    EXPECT_EQ(played->bytes, input.bytes);
  }
  tape->mark(at(60), {.registers = 1, .memory = 2, .output = 4});
  EXPECT_NE(tape->problem().find("what has been sent"), std::string::npos);
}

TEST_F(TapeTest, FramesAndAnswersThatAreNoneEndIt) {
  const HostInput inputs[] = {GuestPackets::frames_input({0, 0, 1, 0, 5}),
                              GuestFiles::answers_input({9, 0, 0, 0, 117, 1, 0}),
                              {HostInput::Kind::ShareEnd, 0, {1}}};
  for (const HostInput& input : inputs) {
    const TapeEntry entry{.kind = TapeEntry::Kind::Input, .at = at(1), .input = input, .mark = {}};
    std::vector<uint8_t> plain, tape = tape_header();
    append_entry(entry, &plain);
    const std::vector<uint8_t> chunk = pack_chunk(plain, 0);
    tape.insert(tape.end(), chunk.begin(), chunk.end());
    file.set(tape);
    const auto played = player();
    EXPECT_FALSE(played->next_at(at(1)));
    EXPECT_TRUE(played->wants_stop(at(1)));
    EXPECT_NE(played->problem().find("chunk 0 is damaged"), std::string::npos);
  }
}

TEST_F(TapeTest, WhatTheHostFailsInEndsIt) {
  std::string error;
  {
    const auto recorder = TapeRecorder::create(file.again(), &error);
    recorder->begin_life();
    recorder->note(at(5), typed("a"));
    recorder->give_up("no disk");
    recorder->note(at(6), typed("b"));
    EXPECT_EQ(recorder->problem(), "the recording ends here: no disk");
  }
  const auto tape = player();
  EXPECT_TRUE(tape->next_at(at(5)));
  EXPECT_FALSE(tape->next_at(at(6)));
  EXPECT_TRUE(tape->agrees());
  tape->give_up("no disk");
  EXPECT_TRUE(tape->wants_stop(at(5)));
  EXPECT_FALSE(tape->agrees());
}

TEST_F(TapeTest, ARunThatWasStoppedFromOutsideStopsThere) {
  std::string error;
  {
    const auto recorder = TapeRecorder::create(file.again(), &error);
    recorder->begin_life();
    recorder->end(at(500), {}, InputTape::EndedBy::Outside);
  }
  const auto tape = player();
  EXPECT_EQ(tape->next_count(), 500U);
  EXPECT_FALSE(tape->wants_stop(at(499)));
  EXPECT_TRUE(tape->wants_stop(at(500)));
  EXPECT_TRUE(tape->agrees());
}

TEST_F(TapeTest, ATapeThatIsCutPlaysItsWholeChunks) {
  record_usual();
  const std::vector<uint8_t> whole = file.bytes();
  for (size_t length = kTapeHeaderBytes; length < whole.size(); ++length) {
    file.set({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
    const auto tape = player();
    const auto first = tape->next_count();
    EXPECT_TRUE(first == 0U || first == 100U);
    EXPECT_TRUE(tape->wants_stop(at(1000)) || first == 100U);
    EXPECT_TRUE(tape->agrees()) << length << ": " << tape->problem();
  }
}

TEST_F(TapeTest, EachChangedByteIsFound) {
  record_usual();
  const std::vector<uint8_t> whole = file.bytes();
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<uint8_t> changed = whole;
    changed[i] ^= 0x21;
    file.set(changed);
    std::string error;
    const auto tape = TapePlayer::create(file.again(), {}, &error);
    if (tape == nullptr) {
      EXPECT_FALSE(error.empty());
      continue;
    }
    tape->begin_life();
    size_t played = 0;
    while (played < 10 && tape->next_at(at(100))) ++played;
    tape->mark(at(200, 3, true), {.registers = 7, .memory = 8});
    if (tape->agrees() && tape->next_at(at(250, 4, true))) ++played;
    EXPECT_LT(played, 3U) << "byte " << i;
  }
}

TEST_F(TapeTest, AFullDiskEndsTheRecordingAndSaysSo) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  std::string error;
  EXPECT_EQ(TapeRecorder::create(full, &error), nullptr);
  EXPECT_NE(error.find("cannot write its tape"), std::string::npos);
}

}  // namespace
}  // namespace ringshift
