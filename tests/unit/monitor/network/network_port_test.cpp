// A port with its thread and a link over a socket of this test's: frames both ways, full sides,
// peers that leave, lie or fall silent.
#include "monitor/network/network_port.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace ringshift {
namespace {

using Frame = std::vector<uint8_t>;

class NetworkPortTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "ringshift-network-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    open_link(folder_ + "/dump");
  }
  void open_link(const std::string& dump) {
    NetworkRequest request;
    request.kind = NetworkRequest::Kind::Stream;
    request.peer = {.is_unix = true, .path = folder_ + "/wire", .listens = true};
    request.dump_path = dump;
    std::string error;
    link_ = NetworkLink::open(request, SlirpProcess::Walls::Down, &error);
    ASSERT_NE(link_, nullptr) << error;
    make_port();
  }
  void TearDown() override {
    port_.reset();
    link_.reset();
    if (peer_ >= 0) close(peer_);
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  void make_port() {
    port_ = std::make_unique<NetworkPort>(*link_, inbox_);
    port_->set_on_change([this] { ++changes_; });
  }
  void connect() {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    (folder_ + "/wire").copy(at.sun_path, sizeof(at.sun_path) - 1);
    peer_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(peer_, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    ASSERT_TRUE(eventually([this] { return port_->is_up(); }));
  }
  // As the vCPU does at its safe points.
  void look() {
    for (const HostInput& input : inbox_.take()) port_->take_in(input);
  }
  template <typename Condition>
  bool eventually(Condition&& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      look();
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  void say(const Frame& bytes) {
    ASSERT_EQ(::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  static Frame framed(const Frame& frame) {
    Frame bytes;
    append_frame(frame, &bytes);
    return bytes;
  }

  std::string folder_;
  std::unique_ptr<NetworkLink> link_;
  Inbox inbox_{[] {}};
  std::unique_ptr<NetworkPort> port_;
  int peer_ = -1;
  int changes_ = 0;
};

TEST_F(NetworkPortTest, FramesGoBothWays) {
  connect();
  const Frame out(100, 7), in(60, 9);
  port_->send(out);
  port_->flush();
  Frame got(104);
  ASSERT_EQ(recv(peer_, got.data(), got.size(), MSG_WAITALL), 104);
  EXPECT_EQ(got, framed(out));
  say(framed(in));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_EQ(Frame(port_->received().begin(), port_->received().end()), in);
  port_->take_received();
  EXPECT_TRUE(port_->received().empty());
}

// Unless the thread has the link just then.
TEST_F(NetworkPortTest, LittleLeavesAtOnceWhereThereIsNoDump) {
  port_.reset();
  link_.reset();
  open_link("");
  connect();
  int at_once = 0;
  for (int i = 0; i < 50; ++i) {
    port_->send(Frame(60, 7));
    port_->flush();
    Frame got(64);
    if (recv(peer_, got.data(), got.size(), MSG_DONTWAIT) == 64) {
      ++at_once;
    } else {
      ASSERT_EQ(recv(peer_, got.data(), got.size(), MSG_WAITALL), 64);
    }
    EXPECT_EQ(got, framed(Frame(60, 7)));
  }
  EXPECT_GT(at_once, 0);
  // Frames that the peer does not read wait for it, in order.
  size_t sent = 0;
  for (; sent < 2000 && port_->has_room(); ++sent) {
    port_->send(Frame(1000, static_cast<uint8_t>(sent)));
    port_->flush();
    look();
  }
  for (size_t i = 0; i < sent; ++i) {
    Frame got(1004);
    ASSERT_EQ(recv(peer_, got.data(), got.size(), MSG_WAITALL), 1004);
    EXPECT_EQ(got.back(), static_cast<uint8_t>(i));
  }
  EXPECT_TRUE(eventually([this] { return port_->has_room(); }));
}

// 100 frames of 1,004 bytes at 256 KiB a second, of which a tenth of a second's are there at once.
TEST_F(NetworkPortTest, ARateHoldsFramesBackBothWays) {
  constexpr size_t kFrames = 100, kBytes = kFrames * 1004;
  port_.reset();
  link_->limit_to(256 << 10);
  make_port();
  connect();
  const auto began = std::chrono::steady_clock::now();
  const auto passed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  Frame in;
  for (size_t i = 0; i < kFrames; ++i) {
    port_->send(Frame(1000, 7));
    port_->flush();
    append_frame(Frame(1000, 9), &in);
  }
  say(in);
  Frame got(kBytes);
  ASSERT_EQ(recv(peer_, got.data(), got.size(), MSG_WAITALL), static_cast<ssize_t>(kBytes));
  EXPECT_GT(passed(), 0.2);
  size_t frames = 0;
  ASSERT_TRUE(eventually([&] {
    for (; !port_->received().empty(); ++frames) port_->take_received();
    return frames == kFrames;
  }));
  EXPECT_GT(passed(), 0.1);
}

TEST_F(NetworkPortTest, AFrameMayComeInPieces) {
  connect();
  const Frame whole = framed(Frame(80, 3));
  for (const uint8_t byte : whole) say({byte});
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_EQ(port_->received().size(), 80U);
}

TEST_F(NetworkPortTest, FramesThatNoCardTakesAreLost) {
  connect();
  for (const size_t bytes : {0U, 13U, 1519U, 60'000U}) say(framed(Frame(bytes, 1)));
  say(framed(Frame(14, 2)));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_EQ(port_->received().size(), 14U);
}

TEST_F(NetworkPortTest, WhatIsNoStreamOfFramesEndsTheConnection) {
  connect();
  say({0xff, 0xff, 0xff, 0xff, 1, 2, 3});
  EXPECT_TRUE(eventually([this] { return !port_->is_up(); }));
  uint8_t byte = 0;
  EXPECT_EQ(recv(peer_, &byte, 1, 0), 0);
  close(peer_);
  connect();  // and the next one is welcome
  say(framed(Frame(60, 1)));
  EXPECT_TRUE(eventually([this] { return !port_->received().empty(); }));
}

TEST_F(NetworkPortTest, APeerThatDoesNotReadFillsThePortAndNoMore) {
  connect();
  const Frame frame(1500, 1);
  size_t sent = 0;
  for (int i = 0; i < 2000; ++i) {
    while (port_->has_room()) {
      port_->send(frame);
      port_->flush();
      ++sent;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    look();
    if (i > 300 && !port_->has_room()) break;
  }
  EXPECT_FALSE(port_->has_room());
  EXPECT_LT(sent * frame.size(), size_t{4} << 20);
  const int before = changes_;
  std::thread reader([this, sent] {
    Frame all(1504);
    for (size_t i = 0; i < sent; ++i) {
      if (recv(peer_, all.data(), all.size(), MSG_WAITALL) != 1504) return;
    }
  });
  EXPECT_TRUE(eventually([this] { return port_->has_room(); }));
  EXPECT_TRUE(eventually([this, before] { return changes_ > before; }));
  reader.join();
}

TEST_F(NetworkPortTest, AGuestThatDoesNotReadIsWaitedFor) {
  connect();
  std::thread writer([this] {
    const Frame bytes = framed(Frame(1500, 4));
    for (int i = 0; i < 2000; ++i) {
      if (::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) return;
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  look();
  size_t count = 0;
  EXPECT_TRUE(eventually([this, &count] {
    while (!port_->received().empty()) {
      EXPECT_EQ(port_->received().size(), 1500U);
      port_->take_received();
      ++count;
    }
    return count == 2000;
  }));
  writer.join();
}

TEST_F(NetworkPortTest, APeerThatLeavesIsNoticedAndTheNextOneServed) {
  connect();
  close(peer_);
  EXPECT_TRUE(eventually([this] { return !port_->is_up(); }));
  port_->send(Frame(60, 1));  // to nobody
  port_->flush();
  connect();
  say(framed(Frame(60, 5)));
  EXPECT_TRUE(eventually([this] { return !port_->received().empty(); }));
}

TEST_F(NetworkPortTest, AResetOfTheMachineCutsNoFrame) {
  connect();
  const Frame whole = framed(Frame(1000, 8));
  say(Frame(whole.begin(), whole.begin() + 500));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  port_.reset();
  (void)inbox_.take();
  make_port();
  say(Frame(whole.begin() + 500, whole.end()));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_EQ(port_->received().size(), 1000U);
}

TEST_F(NetworkPortTest, TheDumpHasBothWays) {
  connect();
  port_->send(Frame(100, 7));
  port_->flush();
  Frame got(104);
  ASSERT_EQ(recv(peer_, got.data(), got.size(), MSG_WAITALL), 104);
  say(framed(Frame(60, 9)));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_TRUE(port_->finish());
  EXPECT_EQ(std::filesystem::file_size(folder_ + "/dump"), 24U + 16 + 100 + 16 + 60);
}

TEST_F(NetworkPortTest, TheNameGoesWithTheLink) {
  port_.reset();
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/wire"));
  link_.reset();
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/wire"));
}

}  // namespace
}  // namespace ringshift
