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

std::string take(HostConsole& console, size_t limit = 1 << 20) {
  std::string text;
  console.deliver_input([&](std::span<const uint8_t> bytes) {
    const size_t count = std::min(limit, bytes.size());
    text.assign(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    return count;
  });
  return text;
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

// What the console's writer has written by the time that `length` bytes are there.
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
    config.notify = [this] { ++notified_; };
    config.on_quit = [this] { ++quits_; };
    return config;
  }
  Pipe input_, output_;
  std::atomic<int> notified_ = 0;
  std::atomic<int> quits_ = 0;
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

TEST_F(Console, InputReachesTheInboxAndNotifies) {
  HostConsole console(config());
  type(input_.writing, "hello");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_TRUE(eventually([&] { return notified_ > 0; }));
  EXPECT_EQ(take(console), "hello");
  EXPECT_FALSE(console.has_input());
}

TEST_F(Console, InputNotTakenStays) {
  HostConsole console(config());
  type(input_.writing, "hello");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_EQ(take(console, 2), "he");
  EXPECT_EQ(take(console), "llo");
}

TEST_F(Console, EscapeKeysAreTakenOutOfTheInput) {
  HostConsole console(config());
  type(input_.writing,
       "a\x01\x01"
       "b\x01"
       "ac\x01"
       "xd");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_EQ(take(console),
            "a\x01"
            "b\x01"
            "cd");
  EXPECT_EQ(quits_, 1);
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
  ASSERT_TRUE(eventually([&] { return console.input_ended(); }));
  EXPECT_EQ(take(console), "x");
}

TEST_F(Console, NullDeviceIsAnInputThatEnds) {
  HostConsoleConfig null_input = config();
  null_input.input = open("/dev/null", O_RDONLY);
  {
    HostConsole console(null_input);
    EXPECT_TRUE(eventually([&] { return console.input_ended(); }));
  }
  close(null_input.input);
}

TEST_F(Console, ReaderWaitsWhenTheInboxIsFullAndGoesOnAfterwards) {
  HostConsoleConfig small = config();
  small.inbox_limit = 4;
  HostConsole console(small);
  type(input_.writing, "abcd");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  type(input_.writing, "efgh");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(take(console), "abcd");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_EQ(take(console), "efgh");
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
  EXPECT_GT(notified_, 0);
  notified_ = 0;
  EXPECT_EQ(read_eventually(output_.reading, printed).size(), printed);
  EXPECT_TRUE(eventually([&] { return notified_ > 0 && !console.has_backlog(); }));
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

TEST_F(Console, ATerminalIsReadForItsEscapeKeyBehindWhatTheInboxCannotHold) {
  Terminal terminal;
  HostConsoleConfig small = config();
  small.input = terminal.slave;
  small.inbox_limit = 4;
  HostConsole console(small);
  const std::string pasted = std::string(100'000, 'y') + "\x01x";
  size_t typed = 0;
  EXPECT_TRUE(eventually([&] {
    const ssize_t count = write(terminal.master, pasted.data() + typed,
                                std::min<size_t>(1000, pasted.size() - typed));
    if (count > 0) typed += static_cast<size_t>(count);
    return quits_ > 0;
  }));
  EXPECT_LT(take(console).size(), 4096U);
}

TEST_F(Console, ATerminalThatIsHungUpAsksForTheEnd) {
  Terminal terminal;
  HostConsoleConfig hung_up = config();
  hung_up.input = terminal.slave;
  HostConsole console(hung_up);
  close(terminal.master);
  terminal.master = -1;
  EXPECT_TRUE(eventually([&] { return quits_ > 0 && console.input_ended(); }));
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
    ASSERT_TRUE(eventually([&] { return console.has_input(); }));
    EXPECT_EQ(take(console), "\x03");
  }
  ASSERT_EQ(tcgetattr(slave, &after), 0);
  EXPECT_EQ(during.c_lflag & (ICANON | ECHO | ISIG), 0U);
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

TEST(HostConsole, KeysAreThePromptsWhileItIsOpen) {
  Pipe input, output;
  HostConsoleConfig config;
  config.input = input.reading;
  config.output = output.writing;
  config.offers_prompt = true;
  HostConsole console(config);
  type(input.writing,
       "before\x01"
       "cinside");
  ASSERT_TRUE(eventually([&] { return console.prompt_is_open(); }));
  EXPECT_EQ(take(console), "before");
  std::string taken;
  ASSERT_TRUE(eventually([&] {
    for (const uint8_t byte : console.take_prompt_input()) taken.push_back(static_cast<char>(byte));
    return taken.size() == 6;
  }));
  EXPECT_EQ(taken, "inside");
  type(input.writing,
       "\x01"
       "cafter");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_FALSE(console.prompt_is_open());
  EXPECT_EQ(take(console), "after");
}

TEST(HostConsole, ThePromptThatBeginsHasWhatWasTypedBeforeAndTheEndIsTold) {
  Pipe input, output;
  std::atomic<int> notices = 0;
  HostConsoleConfig config;
  config.input = input.reading;
  config.output = output.writing;
  config.offers_prompt = true;
  config.notify = [&notices] { ++notices; };
  HostConsole console(std::move(config));
  type(input.writing, "step\r");
  ASSERT_TRUE(eventually([&] { return notices == 1; }));
  console.begin_at_prompt();
  EXPECT_FALSE(console.has_input());
  EXPECT_TRUE(console.has_prompt_input());
  EXPECT_EQ(console.take_prompt_input().size(), 5U);
  EXPECT_FALSE(console.has_prompt_input());
  input.close_writer();
  ASSERT_TRUE(eventually([&] { return console.input_ended(); }));
  EXPECT_TRUE(eventually([&] { return notices == 2; }));
}

TEST(HostConsole, WhatThePromptLeavesIsTheGuests) {
  Pipe input, output;
  HostConsoleConfig config;
  config.input = input.reading;
  config.output = output.writing;
  config.offers_prompt = true;
  HostConsole console(config);
  console.set_prompt_open(true);
  console.set_prompt_open(false);
  console.put_back(std::array<uint8_t, 2>{'l', 's'});
  EXPECT_EQ(take(console), "ls");
}

TEST(HostConsole, WithoutAPromptItsKeyIsTheGuests) {
  Pipe input, output;
  HostConsoleConfig config;
  config.input = input.reading;
  config.output = output.writing;
  HostConsole console(config);
  type(input.writing,
       "\x01"
       "c");
  ASSERT_TRUE(eventually([&] { return console.has_input(); }));
  EXPECT_EQ(take(console),
            "\x01"
            "c");
  console.set_prompt_open(true);
  EXPECT_FALSE(console.prompt_is_open());
}

}  // namespace
}  // namespace ringshift
