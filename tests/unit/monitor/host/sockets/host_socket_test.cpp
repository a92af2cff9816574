// HostSocket: one peer at a time; its bytes, its leaving, and a peer that does not read.
#include "monitor/host/sockets/host_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>

namespace ringshift {
namespace {

class Socket : public ::testing::Test {
 protected:
  Socket() {
    char pattern[] = "/tmp/ringshift-socket-XXXXXX";
    folder_ = mkdtemp(pattern);
    address_.kind = SocketAddress::Kind::Unix;
    address_.path = folder_ + "/gdb";
  }
  ~Socket() override {
    for (const int peer : {first_, second_}) {
      if (peer >= 0) close(peer);
    }
    socket_.reset();
    std::filesystem::remove_all(folder_);
  }
  void listen() {
    socket_ = HostSocket::create(address_, "--gdb", &error_);
    ASSERT_NE(socket_, nullptr) << error_;
    socket_->start([this] { ++notified_; });
  }
  int connect_to_it() {
    const int peer = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::strncpy(at.sun_path, address_.path.c_str(), sizeof(at.sun_path) - 1);
    EXPECT_EQ(connect(peer, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    return peer;
  }
  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

  std::string folder_, error_;
  SocketAddress address_;
  std::atomic<int> notified_{0};
  std::unique_ptr<HostSocket> socket_;
  int first_ = -1, second_ = -1;
};

TEST_F(Socket, BytesGoBothWays) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  ASSERT_EQ(write(first_, "hello", 5), 5);
  std::vector<uint8_t> bytes;
  ASSERT_TRUE(eventually([&] {
    const auto received = socket_->receive();
    bytes.insert(bytes.end(), received.bytes.begin(), received.bytes.end());
    return bytes.size() == 5;
  }));
  socket_->send("world");
  char back[8];
  EXPECT_EQ(read(first_, back, sizeof(back)), 5);
  EXPECT_GE(notified_, 2);
}

TEST_F(Socket, TheOwnerAloneMayConnect) {
  listen();
  struct stat status {};
  ASSERT_EQ(stat(address_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(Socket, AfterOnePeerComesTheNext) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  second_ = connect_to_it();  // waits in the kernel
  close(first_);
  first_ = -1;
  ASSERT_TRUE(eventually([&] { return socket_->receive().ended; }));
  socket_->close();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  ASSERT_EQ(write(second_, "2", 1), 1);
  EXPECT_TRUE(eventually([&] { return socket_->receive().bytes.size() == 1; }));
}

TEST_F(Socket, APeerThatHasSaidAllStillGetsItsAnswers) {
  listen();
  first_ = connect_to_it();
  ASSERT_EQ(write(first_, "all", 3), 3);
  ASSERT_EQ(shutdown(first_, SHUT_WR), 0);
  ASSERT_TRUE(eventually([&] { return socket_->receive().ended; }));
  const std::string answer(100'000, 'x');
  socket_->send(answer);
  socket_->close();
  std::string got;
  char part[4096];
  for (ssize_t count = 0; (count = read(first_, part, sizeof(part))) > 0;) {
    got.append(part, static_cast<size_t>(count));
  }
  EXPECT_EQ(got, answer);
}

TEST_F(Socket, WhatWaitsForAPeerThatHasGoneIsGone) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  socket_->send(std::string(250 * 1024, 'x'));
  socket_->send(std::string(200 * 1024, 'x'));
  (void)eventually([&] { return !socket_->has_room(); });
  close(first_);
  first_ = -1;
  EXPECT_TRUE(eventually([&] { return socket_->has_room(); }));
  EXPECT_TRUE(eventually([&] { return socket_->receive().ended; }));
}

TEST_F(Socket, ConnectsToWhoeverListensAlready) {
  const int listening = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, address_.path.c_str(), sizeof(at.sun_path) - 1);
  ASSERT_EQ(bind(listening, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  address_.connects = true;
  EXPECT_EQ(HostSocket::create(address_, "--qmp", &error_), nullptr);
  EXPECT_EQ(error_, "--qmp: cannot connect to " + address_.path + ": Connection refused");
  ASSERT_EQ(::listen(listening, 1), 0);
  listen();
  first_ = accept(listening, nullptr, nullptr);
  close(listening);
  EXPECT_TRUE(socket_->is_connected());
  ASSERT_EQ(write(first_, "x", 1), 1);
  EXPECT_TRUE(eventually([&] { return socket_->receive().bytes.size() == 1; }));
}

TEST_F(Socket, WhatNobodyTakesOutIsBounded) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  const std::vector<uint8_t> block(64 * 1024);
  size_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    const ssize_t count = send(first_, block.data(), block.size(), MSG_DONTWAIT);
    if (count > 0) sent += static_cast<size_t>(count);
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  EXPECT_GT(sent, 128U * 1024);
  EXPECT_LE(socket_->receive().bytes.size(), 72U * 1024);
}

TEST_F(Socket, APeerThatDoesNotReadIsNotWaitedForAndGivenUp) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return notified_ > 0; }));
  const int told = notified_;
  const auto begin = std::chrono::steady_clock::now();
  const std::string block(64 * 1024, 'x');
  for (int i = 0; i < 64; ++i) socket_->send(block);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  EXPECT_TRUE(eventually([&] { return notified_ > told; }))
      << "whoever sleeps until it says more has to know";
  EXPECT_TRUE(socket_->receive().ended);
  socket_->close();
  second_ = connect_to_it();
  EXPECT_TRUE(eventually([&] { return socket_->is_connected(); }));
}

TEST_F(Socket, TheLastWordsArriveBeforeTheEnd) {
  listen();
  first_ = connect_to_it();
  ASSERT_TRUE(eventually([&] { return socket_->is_connected(); }));
  socket_->send("bye");
  socket_.reset();
  char back[8];
  EXPECT_EQ(read(first_, back, sizeof(back)), 3);
}

TEST_F(Socket, ASocketThatNobodyListensAtIsReplaced) {
  listen();
  socket_.reset();
  EXPECT_FALSE(std::filesystem::exists(address_.path));
  const int left = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::strncpy(at.sun_path, address_.path.c_str(), sizeof(at.sun_path) - 1);
  ASSERT_EQ(bind(left, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
  close(left);
  listen();
}

TEST_F(Socket, AFileOrAnotherListenerIsLeftAlone) {
  listen();
  EXPECT_EQ(HostSocket::create(address_, "--gdb", &error_), nullptr);
  EXPECT_NE(error_.find("cannot listen at"), std::string::npos);
  first_ = connect_to_it();
  EXPECT_TRUE(eventually([&] { return socket_->is_connected(); }));
}

}  // namespace
}  // namespace ringshift
