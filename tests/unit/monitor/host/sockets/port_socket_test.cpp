// PortSocket: both directions, peers one after another, bounds and losses.
#include "monitor/host/sockets/port_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>

#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

class Port : public ::testing::Test {
 protected:
  static constexpr uint8_t kSource = 3;
  Port() {
    char pattern[] = "/tmp/ringshift-port-XXXXXX";
    folder_ = mkdtemp(pattern);
    request_.option = "--serial";
    request_.where.kind = SocketAddress::Kind::Unix;
    request_.where.path = folder_ + "/port";
  }
  ~Port() override {
    leave();
    if (port_ != nullptr) port_->detach();
    port_.reset();
    std::filesystem::remove_all(folder_);
  }
  void open() {
    std::string error;
    port_ = PortSocket::create(request_, &error);
    ASSERT_NE(port_, nullptr) << error;
    attach(true);
  }
  void attach(bool takes_input) {
    port_->attach(
        {.inbox = &inbox_, .source = kSource, .takes_input = takes_input, .on_held = [this] {
           ++held_;
         }});
  }
  void come() {
    // As many as may be are waiting to be accepted (EAGAIN).
    for (int i = 0; i < 2000; ++i) {
      peer_ = begin_connection(request_.where.name().c_str());
      if (peer_ >= 0 || errno != EAGAIN) break;
      (void)poll(nullptr, 0, 1);
    }
    ASSERT_GE(peer_, 0);
  }
  void leave() {
    if (peer_ >= 0) close(peer_);
    peer_ = -1;
  }
  void say(const std::string& text) {
    ASSERT_EQ(write(peer_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // Until the peer has been told so much.
  std::string hear(size_t count) {
    std::string text;
    for (int i = 0; i < 500 && text.size() < count; ++i) {
      pollfd waited{peer_, POLLIN, 0};
      (void)poll(&waited, 1, 10);
      char bytes[4096];
      const ssize_t now = read(peer_, bytes, sizeof(bytes));
      if (now > 0) text.append(bytes, static_cast<size_t>(now));
    }
    return text;
  }
  // The text that has come to the machine, once it has this many bytes.
  std::string come_in(size_t count) {
    std::string text;
    for (int i = 0; i < 2000 && text.size() < count; ++i) {
      for (const HostInput& input : inbox_.take()) {
        EXPECT_EQ(input.kind, HostInput::Kind::ConsoleBytes);
        EXPECT_EQ(input.source, kSource);
        text.append(input.bytes.begin(), input.bytes.end());
      }
      (void)poll(nullptr, 0, 1);
    }
    return text;
  }
  void print(const std::string& text) {
    for (const char c : text) port_->transmit(static_cast<uint8_t>(c));
  }

  std::string folder_;
  PortSocketRequest request_;
  Inbox inbox_{[] {}};
  int held_ = 0;
  int peer_ = -1;
  std::unique_ptr<PortSocket> port_;
};

TEST_F(Port, BytesGoBothWays) {
  open();
  come();
  say("typed");
  EXPECT_EQ(come_in(5), "typed");
  print("printed\n");
  EXPECT_EQ(hear(8), "printed\n");
  print("half");
  EXPECT_GE(held_, 1);
  port_->flush();
  EXPECT_EQ(hear(4), "half");
}

TEST_F(Port, OnePeerAfterAnotherAndAnotherMachine) {
  open();
  for (int i = 0; i < 3; ++i) {
    come();
    say("x");
    EXPECT_EQ(come_in(1), "x");
    port_->input_taken(1);
    leave();
  }
  come();
  say("y");
  EXPECT_EQ(come_in(1), "y");
  port_->detach();
  say("z");
  attach(true);
  EXPECT_EQ(come_in(1), "z");
}

TEST_F(Port, APeerIsReadAsFarAsTheGuestTakesIt) {
  open();
  come();
  ASSERT_EQ(fcntl(peer_, F_SETFL, O_NONBLOCK), 0);
  const std::string piece(4096, 'a');
  size_t sent = 0;
  for (int i = 0, quiet = 0; i < 4000 && quiet < 100; ++i) {
    const ssize_t now = write(peer_, piece.data(), piece.size());
    quiet = now > 0 ? 0 : quiet + 1;
    if (now > 0) sent += static_cast<size_t>(now);
    if (now <= 0) (void)poll(nullptr, 0, 1);
  }
  size_t has_come = come_in(64 * 1024).size();
  EXPECT_LT(has_come, size_t{200} * 1024);
  EXPECT_GT(sent, has_come);
  for (int i = 0; i < 1000 && has_come < sent; ++i) {
    port_->input_taken(has_come);
    has_come += come_in(1).size();
  }
  EXPECT_EQ(has_come, sent);
}

TEST_F(Port, WhoHasGoneHasBeenHeardAndKeepsNobodyOut) {
  open();
  size_t heard = 0;
  for (int i = 0; i < 40; ++i) {  // none of it finds its reader
    come();
    say(std::string(16 * 1024, 'b'));
    leave();
  }
  heard += come_in(300 * 1024).size();
  EXPECT_GE(heard, size_t{64} * 1024);
  EXPECT_LT(heard, size_t{400} * 1024);
  port_->input_taken(heard);
  come();
  say("!");
  std::string last = come_in(1);
  port_->input_taken(last.size());
  for (int i = 0; i < 100 && last.find('!') == std::string::npos; ++i) {
    const std::string more = come_in(1);
    port_->input_taken(more.size());
    last += more;
  }
  EXPECT_NE(last.find('!'), std::string::npos);
}

TEST_F(Port, IsFullWhenThePeerDoesNotRead) {
  open();
  print("nobody is there\n");
  EXPECT_FALSE(port_->is_full());
  come();
  say("x");
  (void)come_in(1);
  for (int i = 0; i < 10'000 && !port_->is_full(); ++i) print("a line of what is printed\n");
  EXPECT_TRUE(port_->is_full());
  leave();
  for (int i = 0; i < 2000 && port_->is_full(); ++i) (void)poll(nullptr, 0, 1);
  EXPECT_FALSE(port_->is_full());
}

TEST_F(Port, OfADebugConsoleWhatThePeerSaysIsPassedOver) {
  open();
  attach(false);
  come();
  say("typed");
  print("printed\n");
  for (int i = 0; i < 100 && hear(1).empty(); ++i) print("printed\n");
  EXPECT_TRUE(inbox_.take().empty());
}

TEST_F(Port, APseudoTerminalChangesNoByte) {
  request_.where = {};
  request_.where.kind = SocketAddress::Kind::Pty;
  ::testing::internal::CaptureStderr();
  open();
  const std::string said = ::testing::internal::GetCapturedStderr();
  const size_t at = said.find("/dev/pts/");
  ASSERT_NE(at, std::string::npos) << said;
  const std::string path = said.substr(at, said.find(' ', at) - at);
  EXPECT_NE(said.find("char device redirected to " + path + " (label serial0)\n"),
            std::string::npos)
      << said;
  for (int i = 0; i < 2; ++i) {
    print("nobody is there\n");
    peer_ = ::open(path.c_str(), O_RDWR | O_NOCTTY);
    ASSERT_GE(peer_, 0);
    say("\x03\r\n\x01");
    EXPECT_EQ(come_in(4), "\x03\r\n\x01");
    port_->input_taken(4);
    print("a\nb\r\n");
    EXPECT_EQ(hear(5), "a\nb\r\n");
    leave();
    (void)poll(nullptr, 0, 300);  // it is looked for whether it is closed
  }
}

// A listening socket of this test's, for ports that look for somebody.
class Listener {
 public:
  explicit Listener(const SocketAddress& where) {
    ConnectionName name;
    uint16_t port = 0;
    if (parse_connection(where.name().c_str(), &name)) socket_ = listen_for_connection(name, &port);
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  [[nodiscard]] int accept() const {
    pollfd waited{socket_, POLLIN, 0};
    return poll(&waited, 1, 10'000) == 1 ? accept_connection(socket_) : -1;
  }

 private:
  int socket_ = -1;
};

TEST_F(Port, WhoeverComesLateOrComesBackIsFound) {
  request_.where.connects = true;
  request_.where.again_after = std::chrono::milliseconds(5);
  open();
  print("nobody is there\n");
  for (int i = 0; i < 3; ++i) {
    std::filesystem::remove(request_.where.path);
    const Listener listener(request_.where);
    peer_ = listener.accept();
    ASSERT_GE(peer_, 0);
    say("x");
    EXPECT_EQ(come_in(1), "x");
    port_->input_taken(1);
    print("!\n");
    EXPECT_EQ(hear(2), "!\n");
    leave();
  }
}

TEST_F(Port, ThePeerThatIsLookedForInVainHoldsNothingUp) {
  request_.where.connects = true;
  request_.where.again_after = std::chrono::hours(1);
  open();
  for (int i = 0; i < 10'000; ++i) print("to nobody\n");
  EXPECT_FALSE(port_->is_full());
  port_->detach();
  port_.reset();
}

TEST_F(Port, APairOfFifosIsReadAndWritten) {
  request_.where.kind = SocketAddress::Kind::Fifos;
  request_.where.path = folder_ + "/fifo";
  const std::string in = request_.where.path + ".in", out = request_.where.path + ".out";
  std::string error;
  EXPECT_EQ(PortSocket::create(request_, &error), nullptr);
  EXPECT_NE(error.find("cannot open the FIFOs"), std::string::npos) << error;
  ASSERT_EQ(mkfifo(in.c_str(), 0600), 0);
  EXPECT_EQ(PortSocket::create(request_, &error), nullptr);
  ASSERT_EQ(mkfifo(out.c_str(), 0600), 0);
  open();
  for (int i = 0; i < 2; ++i) {  // one after another
    const int writer = ::open(in.c_str(), O_WRONLY);
    ASSERT_EQ(write(writer, "typed", 5), 5);
    ::close(writer);
    EXPECT_EQ(come_in(5), "typed");
    port_->input_taken(5);
    print("printed\n");
    peer_ = ::open(out.c_str(), O_RDONLY | O_NONBLOCK);
    EXPECT_EQ(hear(8), "printed\n");
    leave();
  }
  ASSERT_EQ(std::filesystem::remove(in) && std::filesystem::remove(out), true);
}

TEST_F(Port, OneFifoIsBoth) {
  request_.where.kind = SocketAddress::Kind::Fifos;
  request_.where.path = folder_ + "/file";
  ::close(::open(request_.where.path.c_str(), O_CREAT | O_WRONLY, 0600));
  std::string error;
  EXPECT_EQ(PortSocket::create(request_, &error), nullptr);  // it is none
  std::filesystem::remove(request_.where.path);
  ASSERT_EQ(mkfifo(request_.where.path.c_str(), 0600), 0);
  open();
  print("x\n");
  EXPECT_EQ(come_in(2), "x\n");  // nobody else has read it
}

// One that listens at a port of its own, and does not at first.
TEST_F(Port, DatagramsAreSentAndComeAndAreLost) {
  ConnectionName other, ours;
  ASSERT_TRUE(parse_connection("tcp:127.0.0.1:0", &ours));
  uint16_t port = 0;
  const int taken = listen_for_connection(ours, &port);  // a number that is likely to be free
  ASSERT_GE(taken, 0);
  request_.where.kind = SocketAddress::Kind::Udp;
  request_.where.port = port;
  request_.where.own_host = "127.0.0.1";
  request_.where.own_port = static_cast<uint16_t>(port == 65535 ? 1024 : port + 1);
  open();
  for (int i = 0; i < 20; ++i) print("nobody is there\n");
  ASSERT_TRUE(parse_connection(request_.where.name().c_str(), &ours));
  ASSERT_TRUE(parse_connection(("tcp:127.0.0.1:" + std::to_string(request_.where.own_port)).c_str(),
                               &other));
  peer_ = open_datagrams(ours, other);
  ASSERT_GE(peer_, 0);
  say("");  // one without a byte in it
  say("typed");
  EXPECT_EQ(come_in(5), "typed");
  print(std::string(4000, 'a'));
  port_->flush();
  std::string heard;  // some lines may have waited for the peer
  for (int i = 0; i < 100 && !heard.ends_with(std::string(4000, 'a')); ++i) heard += hear(1);
  EXPECT_TRUE(heard.ends_with(std::string(4000, 'a'))) << heard.size();
  EXPECT_FALSE(port_->is_full());
  ::close(taken);
}

}  // namespace
}  // namespace ringshift
