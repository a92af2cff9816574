#include "devices/host/host_console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace ringshift {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    reading = ends[0];
    writing = ends[1];
  }
  ~Pipe() {
    close(reading);
    if (writing >= 0) close(writing);
  }
  void close_writer() {
    close(writing);
    writing = -1;
  }
  int reading = -1;
  int writing = -1;
};

template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

void type(int descriptor, std::string_view text) {
  ASSERT_EQ(write(descriptor, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

std::string read_available(int descriptor) {
  std::string text;
  pollfd ready{descriptor, POLLIN, 0};
  char bytes[4096];
  while (poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0) {
    const ssize_t count = read(descriptor, bytes, sizeof bytes);
    if (count <= 0) break;
    text.append(bytes, static_cast<size_t>(count));
  }
  return text;
}

// The text that the console's writer has written by the time that `length` bytes are there.
std::string read_eventually(int descriptor, size_t length) {
  std::string text;
  (void)eventually([&] { return (text += read_available(descriptor)).size() >= length; });
  return text;
}

void print(HostConsole& console, std::string_view text) {
  for (const char c : text) console.transmit(static_cast<uint8_t>(c));
}

class Console : public ::testing::Test {
 protected:
  HostConsoleConfig config() {
    HostConsoleConfig config;
    config.input = input_.reading;
    config.output = output_.writing;
    config.inbox = &inbox_;
    config.source = kSource;
    config.on_quit = [this] { ++quits_; };
    return config;
  }
  // As the vCPU does at its safe point.
  void empty_inbox() {
    for (HostInput& input : inbox_.take()) {
      if (input.kind == HostInput::Kind::Quit) {
        quit_is_wanted_ = true;
        continue;
      }
      EXPECT_EQ(input.source, kSource);
      inputs_.push_back(std::move(input));
    }
  }
  [[nodiscard]] std::string typed() {
    empty_inbox();
    std::string text;
    for (const HostInput& input : inputs_) text.append(input.bytes.begin(), input.bytes.end());
    return text;
  }
  [[nodiscard]] bool has_typed(std::string_view text) {
    return eventually([&] { return typed() == text; });
  }
  [[nodiscard]] bool has_ended() {
    empty_inbox();
    return !inputs_.empty() && inputs_.back().kind == HostInput::Kind::ConsoleEnd;
  }
  static constexpr uint8_t kSource = 3;
  std::atomic<int> woken_ = 0;
  std::atomic<int> quits_ = 0;
  bool quit_is_wanted_ = false;
  Inbox inbox_{[this] { ++woken_; }};
  std::vector<HostInput> inputs_;  // taken out of it
  Pipe input_, output_;
};

TEST_F(Console, SaysOnceThatALineIsHeldBack) {
  int held = 0;
  HostConsoleConfig with_notice = config();
  with_notice.on_held = [&] { ++held; };
  HostConsole console(std::move(with_notice));
  print(console, "=> ");
  EXPECT_EQ(held, 1);
  EXPECT_EQ(read_available(output_.reading), "");
  console.flush();
  EXPECT_EQ(read_eventually(output_.reading, 3), "=> ");
  print(console, "x");
  EXPECT_EQ(held, 2);
}

TEST_F(Console, InputReachesTheInboxAndWakesTheVcpu) {
  HostConsole console(config());
  type(input_.writing, "hello");
  EXPECT_TRUE(has_typed("hello"));
  EXPECT_GT(woken_, 0);
}

TEST_F(Console, EscapeKeysAreTakenOutOfTheInput) {
  HostConsole console(config());
  type(input_.writing,
       "a\x01\x01"
       "b\x01"
       "ac\x01"
       "xd");
  EXPECT_TRUE(
      has_typed("a\x01"
                "b\x01"
                "cd"));
  EXPECT_EQ(quits_, 1);
  EXPECT_TRUE(quit_is_wanted_);
}

TEST_F(Console, HelpIsPrintedOnRequest) {
  HostConsole console(config());
  type(input_.writing, "\x01h");
  std::string text;
  ASSERT_TRUE(eventually([&] { return !(text += read_available(output_.reading)).empty(); }));
  EXPECT_NE(text.find("Ctrl-A x"), std::string::npos);
}

TEST_F(Console, EndOfInputStopsReadingQuietly) {
  HostConsole console(config());
  type(input_.writing, "x");
  input_.close_writer();
  ASSERT_TRUE(eventually([&] { return has_ended(); }));
  EXPECT_EQ(typed(), "x");
}

TEST_F(Console, NullDeviceIsAnInputThatEnds) {
  HostConsoleConfig null_input = config();
  null_input.input = open("/dev/null", O_RDONLY);
  {
    HostConsole console(null_input);
    EXPECT_TRUE(eventually([&] { return has_ended(); }));
  }
  close(null_input.input);
}

TEST_F(Console, ReaderWaitsForItsInputToBeTakenAndGoesOnAfterwards) {
  HostConsoleConfig small = config();
  small.read_ahead_limit = 4;
  HostConsole console(small);
  type(input_.writing, "abcd");
  ASSERT_TRUE(has_typed("abcd"));
  type(input_.writing, "efgh");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(typed(), "abcd");
  console.input_taken(3);
  EXPECT_TRUE(has_typed("abcdefgh"));
}

TEST_F(Console, OutputIsWrittenAtNewlineFlushAndLimit) {
  HostConsole console(config());
  print(console, "login: ");
  EXPECT_EQ(read_available(output_.reading), "");
  console.flush();
  EXPECT_EQ(read_eventually(output_.reading, 7), "login: ");
  print(console, "line\n");
  EXPECT_EQ(read_eventually(output_.reading, 5), "line\n");
  print(console, std::string(16 * 1024, 'x'));
  EXPECT_EQ(read_eventually(output_.reading, 16 * 1024).size(), 16U * 1024);
}

TEST_F(Console, OutputLeftOverIsWrittenAtTheEnd) {
  { HostConsole(config()).transmit('z'); }
  EXPECT_EQ(read_available(output_.reading), "z");
}

TEST_F(Console, ClosedOutputDoesNotEndTheProgram) {
  Pipe broken;
  HostConsoleConfig to_broken = config();
  to_broken.output = broken.writing;
  HostConsole console(to_broken);
  close(broken.reading);
  print(console, "one\ntwo\n");
  broken.reading = open("/dev/null", O_RDONLY);
  SUCCEED();
}

TEST_F(Console, NonBlockingOutputIsWaitedFor) {
  ASSERT_EQ(fcntl(output_.writing, F_SETFL, O_NONBLOCK), 0);
  HostConsole console(config());
  size_t received = 0;
  constexpr size_t kTotal = 512 * 1024;
  std::thread slow_reader([&] {
    char bytes[4096];
    while (received < kTotal) {
      const ssize_t count = read(output_.reading, bytes, sizeof bytes);
      if (count <= 0) break;
      received += static_cast<size_t>(count);
    }
  });
  print(console, std::string(kTotal, 'x'));
  console.flush();
  slow_reader.join();
  EXPECT_EQ(received, kTotal);
}

TEST_F(Console, AReaderThatDoesNotReadIsSaidToBeFullAndNothingIsLostOrWaitedFor) {
  HostConsole console(config());
  size_t printed = 0;
  while (!console.is_full()) {
    ASSERT_LT(printed, 1U << 20);
    print(console, std::string(1024, 'x'));
    printed += 1024;
    console.flush();
  }
  EXPECT_GT(woken_, 0);
  woken_ = 0;
  EXPECT_EQ(read_eventually(output_.reading, printed).size(), printed);
  EXPECT_TRUE(eventually([&] { return woken_ > 0 && !console.has_backlog(); }));
  EXPECT_FALSE(console.is_full());
}

TEST_F(Console, WhoPrintsOnAlthoughItIsFullIsBounded) {
  bool is_ending = false;
  HostConsoleConfig unread = config();
  unread.is_ending = [&] { return is_ending; };
  HostConsole console(unread);
  for (int i = 0; i < 64; ++i) print(console, std::string(64 * 1024, 'x'));
  EXPECT_LE(read_eventually(output_.reading, 3U << 20).size(), (2U << 20) + (256U << 10));
  is_ending = true;
}

TEST_F(Console, TheEndOfTheRunDoesNotWaitForAReaderThatDoesNotRead) {
  const auto begin = std::chrono::steady_clock::now();
  {
    HostConsoleConfig unread = config();
    unread.is_ending = [] { return true; };
    HostConsole console(unread);
    print(console, std::string(512 * 1024, 'x'));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(Console, HelpIsNotWaitedForEither) {
  HostConsole console(config());
  while (!console.is_full()) print(console, std::string(16 * 1024, 'x'));
  type(input_.writing, "\x01h\x01x");
  EXPECT_TRUE(eventually([&] { return quits_ > 0; }));
  (void)read_eventually(output_.reading, 1 << 20);
}

TEST_F(Console, AFullDiskIsSaidAndAGoneReaderIsNot) {
  HostConsoleConfig full = config();
  full.output = open("/dev/full", O_WRONLY);
  {
    HostConsole console(full);
    print(console, "one\n");
    console.drain();
    EXPECT_TRUE(console.lost_output());
  }
  close(full.output);
  Pipe broken;
  HostConsoleConfig to_broken = config();
  to_broken.output = broken.writing;
  close(broken.reading);
  {
    HostConsole console(to_broken);
    print(console, "one\n");
    console.drain();
    EXPECT_FALSE(console.lost_output());
  }
  broken.reading = open("/dev/null", O_RDONLY);
}

// A pseudo-terminal, raw, with the console's input at its slave.
struct Terminal {
  Terminal() {
    EXPECT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(fcntl(master, F_SETFL, O_NONBLOCK), 0);
  }
  ~Terminal() {
    if (master >= 0) close(master);
    close(slave);
  }
  int master = -1;
  int slave = -1;
};

TEST_F(Console, ATerminalIsReadForItsEscapeKeyBehindWhatItMayNotReadAhead) {
  Terminal terminal;
  HostConsoleConfig small = config();
  small.input = terminal.slave;
  small.read_ahead_limit = 4;
  HostConsole console(small);
  const std::string pasted = std::string(100'000, 'y') + "\x01x";
  size_t written = 0;
  EXPECT_TRUE(eventually([&] {
    const ssize_t count = write(terminal.master, pasted.data() + written,
                                std::min<size_t>(1000, pasted.size() - written));
    if (count > 0) written += static_cast<size_t>(count);
    return quits_ > 0;
  }));
  EXPECT_LT(typed().size(), 4096U);
}

TEST_F(Console, ATerminalThatIsHungUpAsksForTheEnd) {
  Terminal terminal;
  HostConsoleConfig hung_up = config();
  hung_up.input = terminal.slave;
  HostConsole console(hung_up);
  close(terminal.master);
  terminal.master = -1;
  EXPECT_TRUE(eventually([&] { return quits_ > 0 && has_ended(); }));
  EXPECT_TRUE(quit_is_wanted_);
}

TEST_F(Console, OutputToATerminalThatIsHungUpIsNotCountedAsLost) {
  Terminal terminal;
  HostConsoleConfig hung_up = config();
  hung_up.output = terminal.slave;
  HostConsole console(hung_up);
  close(terminal.master);
  terminal.master = -1;
  for (int i = 0; i < 20; ++i) {  // the writer has a thread of its own
    console.transmit('\n');
    console.flush();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(console.lost_output());
}

TEST_F(Console, AStopGivesTheTerminalBackAndGoingOnTakesItAgain) {
  Terminal terminal;
  termios before, during, stopped, after;
  ASSERT_EQ(tcgetattr(terminal.slave, &before), 0);
  HostConsoleConfig raw = config();
  raw.input = terminal.slave;
  HostConsole console(raw);
  ASSERT_EQ(tcgetattr(terminal.slave, &during), 0);
  suspend_terminal();
  ASSERT_EQ(tcgetattr(terminal.slave, &stopped), 0);
  EXPECT_EQ(stopped.c_lflag, before.c_lflag);
  resume_terminal();
  ASSERT_EQ(tcgetattr(terminal.slave, &after), 0);
  EXPECT_EQ(after.c_lflag, during.c_lflag);
}

TEST_F(Console, TerminalIsRawWhileOpenAndRestoredAfter) {
  int master = -1, slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  termios before, during, after;
  ASSERT_EQ(tcgetattr(slave, &before), 0);
  HostConsoleConfig terminal = config();
  terminal.input = slave;
  {
    HostConsole console(terminal);
    ASSERT_EQ(tcgetattr(slave, &during), 0);
    type(master, "\x03");
    EXPECT_TRUE(has_typed("\x03"));
  }
  ASSERT_EQ(tcgetattr(slave, &after), 0);
  EXPECT_EQ(during.c_lflag & (ICANON | ECHO | ISIG), 0U);
  EXPECT_EQ(during.c_oflag, before.c_oflag);  // LF alone begins a line
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
  close(master);
  close(slave);
}

TEST_F(Console, RestoreTerminalMayBeCalledEarlyAndTwice) {
  int master = -1, slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  termios before, after;
  ASSERT_EQ(tcgetattr(slave, &before), 0);
  HostConsoleConfig terminal = config();
  terminal.input = slave;
  HostConsole console(terminal);
  restore_terminal();
  restore_terminal();
  ASSERT_EQ(tcgetattr(slave, &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  close(master);
  close(slave);
}

TEST_F(Console, ThePromptsKeyIsInItsPlaceAmongTheOthers) {
  HostConsoleConfig asking = config();
  asking.offers_prompt = true;
  HostConsole console(asking);
  type(input_.writing,
       "before\x01"
       "cinside");
  ASSERT_TRUE(has_typed("beforeinside"));
  ASSERT_GE(inputs_.size(), 3U);
  EXPECT_EQ(inputs_.front().kind, HostInput::Kind::ConsoleBytes);
  EXPECT_EQ(inputs_[1].kind, HostInput::Kind::PromptKey);
  EXPECT_EQ(inputs_.front().bytes.size(), 6U);
  console.input_taken(13);  // the key counts as one
}

TEST_F(Console, WithoutAPromptItsKeyIsTheGuests) {
  HostConsole console(config());
  type(input_.writing,
       "\x01"
       "c");
  EXPECT_TRUE(
      has_typed("\x01"
                "c"));
}

}  // namespace
}  // namespace ringshift
