// A port with its thread and a link, over a socket whose other end is this test's: changed and
// counted messages, servers that leave or lie; and a real diod, if it is installed, whose
// confinement holds against names that lead out of the folder.
#include "monitor/share/share_port.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "devices/virtio/virtio_number.h"
#include "monitor/command/options/share_options.h"

namespace ringshift {
namespace {

using Message = std::vector<uint8_t>;

void append(uint64_t value, size_t bytes, Message* to) {
  for (size_t i = 0; i < bytes; ++i) to->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

void append(const std::string& text, Message* to) {
  append(text.size(), 2, to);
  to->insert(to->end(), text.begin(), text.end());
}

Message message_of(uint8_t type, uint16_t tag, const Message& body = {}) {
  Message all;
  append(kFileHeader + body.size(), 4, &all);
  append(type, 1, &all);
  append(tag, 2, &all);
  all.insert(all.end(), body.begin(), body.end());
  return all;
}

Message attach_body(uint32_t fid, const std::string& folder, uint32_t user) {
  Message body;
  append(fid, 4, &body);
  append(0xffffffff, 4, &body);
  append("nobody", &body);
  append(folder, &body);
  append(user, 4, &body);
  return body;
}

// The vCPU's side of a port.
class SharePortTest : public ::testing::Test {
 protected:
  void begin_with(std::unique_ptr<ShareLink> link) {
    link_ = std::move(link);
    make_port();
  }
  void make_port() {
    port_.reset();  // one at a time serves a link
    port_ = std::make_unique<SharePort>(*link_, inbox_);
    port_->set_on_change([] {});
  }
  void begin_with_pair() {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer_ = ends[1];
    begin_with(std::make_unique<ShareLink>(ends[0], "/srv/music", nullptr));
  }
  void TearDown() override {
    port_.reset();
    link_.reset();
    if (peer_ >= 0) close(peer_);
  }
  template <typename Condition>
  bool eventually(Condition&& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      for (const HostInput& input : inbox_.take()) port_->take_in(input);
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  void say(const Message& message) {
    ASSERT_EQ(::send(peer_, message.data(), message.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(message.size()));
  }
  Message hear(size_t bytes) {
    Message got(bytes);
    EXPECT_EQ(recv(peer_, got.data(), bytes, MSG_WAITALL), static_cast<ssize_t>(bytes));
    return got;
  }
  // The answer to a request, as a device would take it.
  Message ask(uint8_t type, const Message& body) {
    port_->send(message_of(type, port_->free_tag(), body));
    if (!eventually([this] { return !port_->received().empty(); })) return {};
    Message answer(port_->received().begin(), port_->received().end());
    port_->take_received();
    return answer;
  }

  std::unique_ptr<ShareLink> link_;
  Inbox inbox_{[] {}};
  std::unique_ptr<SharePort> port_;
  int peer_ = -1;
};

TEST_F(SharePortTest, AttachNamesOurFolderAndOurUser) {
  begin_with_pair();
  port_->send(message_of(104, 0, attach_body(7, "/etc", 0)));
  const Message wanted = [] {
    Message body;
    append(7, 4, &body);
    append(0xffffffff, 4, &body);
    append("", &body);
    append("/srv/music", &body);
    append(geteuid(), 4, &body);
    return message_of(104, 0, body);
  }();
  EXPECT_EQ(hear(wanted.size()), wanted);
  EXPECT_FALSE(port_->is_mounted());
  say(message_of(105, 0, Message(13)));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  port_->take_received();
  EXPECT_TRUE(port_->is_mounted());
  Message fid;
  append(7, 4, &fid);
  port_->send(message_of(120, 1, fid));
  EXPECT_FALSE(port_->is_mounted());
}

TEST_F(SharePortTest, AnswersComeWholeHoweverTheyAreCut) {
  begin_with_pair();
  port_->send(message_of(116, port_->free_tag()));
  const Message answer = message_of(117, 0, Message(1000, 5));
  for (const uint8_t byte : answer) say({byte});
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  EXPECT_EQ(Message(port_->received().begin(), port_->received().end()), answer);
}

TEST_F(SharePortTest, ATagStaysInUseUntilItsAnswerEvenOverAReset) {
  begin_with_pair();
  const uint16_t first = port_->free_tag();
  port_->send(message_of(116, first));
  (void)hear(7);
  make_port();  // another life of the guest
  EXPECT_NE(port_->free_tag(), first);
  say(message_of(117, first));
  ASSERT_TRUE(eventually([this] { return !port_->received().empty(); }));
  port_->take_received();
  EXPECT_EQ(port_->free_tag(), first);
}

TEST_F(SharePortTest, WhatIsUnsentOrUntakenAtAResetFreesItsTag) {
  begin_with_pair();
  for (int i = 0; i < 100; ++i) {
    port_->send(message_of(116, port_->free_tag()));
    const uint16_t tag = static_cast<uint16_t>(number_at(hear(7), kFileTagAt, 2));
    say(message_of(117, tag));
    make_port();
  }
  ASSERT_TRUE(eventually([this] {
    while (!port_->received().empty()) port_->take_received();
    return port_->free_tag() == 0;
  }));
}

TEST_F(SharePortTest, ASlowServerMakesTheGuestWait) {
  begin_with_pair();
  const Message large = message_of(118, 0, Message(100'000));
  size_t sent = 0;
  while (port_->has_room() && sent < 400) {
    Message one = large;
    const uint16_t tag = port_->free_tag();
    one[kFileTagAt] = static_cast<uint8_t>(tag);
    one[kFileTagAt + 1] = static_cast<uint8_t>(tag >> 8);
    port_->send(one);
    ++sent;
  }
  EXPECT_LT(sent, 400U);
}

TEST_F(SharePortTest, AServerThatLeavesOrLiesIsDown) {
  begin_with_pair();
  close(std::exchange(peer_, -1));
  EXPECT_TRUE(eventually([this] { return !port_->is_up(); }));
  port_.reset();
  begin_with_pair();
  say({1, 0, 0, 0, 0, 0, 0});
  EXPECT_TRUE(eventually([this] { return !port_->is_up(); }));
}

// ---- a real server ----

class RealShareTest : public SharePortTest {
 protected:
  void SetUp() override {
    if (access("/usr/sbin/diod", X_OK) != 0) GTEST_SKIP() << "diod is not installed";
    std::string name = testing::TempDir() + "ringshift-share-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    base_ = std::filesystem::canonical(name);
    std::filesystem::create_directories(base_ / "shared/inside");
    std::ofstream(base_ / "secret") << "secret";
    std::ofstream(base_ / "shared/file") << "hello";
    std::filesystem::create_symlink(base_, base_ / "shared/out");
  }
  void TearDown() override {
    SharePortTest::TearDown();
    if (!base_.empty()) std::filesystem::remove_all(base_);
  }
  void begin(bool read_only, ShareServer::Walls walls = ShareServer::Walls::Up) {
    std::string error;
    auto link = ShareLink::open({.folder = base_ / "shared", .tag = "t", .read_only = read_only},
                                walls, &error);
    ASSERT_NE(link, nullptr) << error;
    begin_with(std::move(link));
    Message version;
    append(65536, 4, &version);
    append("9P2000.L", &version);
    ASSERT_EQ(type_of(ask(100, version)), 101);
    ASSERT_EQ(type_of(ask(104, attach_body(1, "", 1000))), 105);
  }
  static int type_of(const Message& message) {
    return message.size() < kFileHeader ? -1 : message[kFileTypeAt];
  }
  Message walk(uint32_t fid, const std::vector<std::string>& names) {
    Message body;
    append(1, 4, &body);
    append(fid, 4, &body);
    append(names.size(), 2, &body);
    for (const std::string& one : names) append(one, &body);
    return ask(110, body);
  }
  int open(uint32_t fid, uint32_t flags) {
    Message body;
    append(fid, 4, &body);
    append(flags, 4, &body);
    return type_of(ask(12, body));
  }
  // Does a walk by these names reach something that opens?
  bool reaches(uint32_t fid, const std::vector<std::string>& names, uint32_t flags = 0) {
    const Message answer = walk(fid, names);
    if (type_of(answer) != 111 || number_at(answer, kFileHeader, 2) != names.size()) return false;
    return open(fid, flags) == 13;
  }

  std::filesystem::path base_;
};

TEST_F(RealShareTest, AFileIsReadAndAnotherMade) {
  ASSERT_NO_FATAL_FAILURE(begin(false));
  ASSERT_TRUE(reaches(2, {"file"}));
  Message read;
  append(2, 4, &read);
  append(0, 8, &read);
  append(100, 4, &read);
  const Message answer = ask(116, read);
  ASSERT_EQ(answer.size(), kFileHeader + 4 + 5);
  EXPECT_EQ(std::string(answer.begin() + 11, answer.end()), "hello");
  ASSERT_EQ(type_of(walk(3, {})), 111);
  Message create;
  append(3, 4, &create);
  append("made", &create);
  append(2, 4, &create);
  append(0644, 4, &create);
  append(0, 4, &create);
  EXPECT_EQ(type_of(ask(14, create)), 15);
  EXPECT_TRUE(std::filesystem::exists(base_ / "shared/made"));
}

TEST_F(RealShareTest, NoNameLeadsOutOfTheFolder) {
  ASSERT_NO_FATAL_FAILURE(begin(false));
  EXPECT_FALSE(reaches(2, {"out", "secret"}));
  EXPECT_FALSE(reaches(3, {"../secret"}));
  EXPECT_FALSE(reaches(4, {"..", "secret"}));
  EXPECT_FALSE(reaches(5, {"inside/../../secret"}));
  EXPECT_FALSE(reaches(6, {"out/secret"}));
  EXPECT_FALSE(reaches(7, {"../../../../../../etc/passwd"}));
}

// So the names above are such as lead somewhere.
TEST_F(RealShareTest, WithoutWallsTheServerFollowsThem) {
  ASSERT_NO_FATAL_FAILURE(begin(true, ShareServer::Walls::Down));
  EXPECT_TRUE(reaches(2, {"out/secret"}));
  EXPECT_TRUE(reaches(3, {"../secret"}));
}

TEST_F(RealShareTest, AReadOnlyFolderIsNotWritten) {
  ASSERT_NO_FATAL_FAILURE(begin(true));
  EXPECT_TRUE(reaches(2, {"file"}));
  EXPECT_FALSE(reaches(3, {"file"}, 1));
  EXPECT_FALSE(reaches(4, {"file"}, 01000 | 2));
  Message make;
  append(1, 4, &make);
  append("folder", &make);
  append(0755, 4, &make);
  append(0, 4, &make);
  EXPECT_EQ(type_of(ask(72, make)), 7);
  Message remove;
  append(1, 4, &remove);
  append("file", &remove);
  append(0, 4, &remove);
  EXPECT_EQ(type_of(ask(76, remove)), 7);
  Message mode;  // Tsetattr of a mode
  append(1, 4, &mode);
  append(1, 4, &mode);
  append(0700, 4, &mode);
  append(0, 8, &mode);
  append(0, 8, &mode);
  for (int i = 0; i < 4; ++i) append(0, 8, &mode);
  struct stat before {
  }, after{};
  ASSERT_EQ(stat((base_ / "shared").c_str(), &before), 0);
  EXPECT_EQ(type_of(ask(26, mode)), 7);
  ASSERT_EQ(stat((base_ / "shared").c_str(), &after), 0);
  EXPECT_EQ(before.st_mode, after.st_mode);
  EXPECT_TRUE(std::filesystem::exists(base_ / "shared/file"));
}

TEST_F(RealShareTest, AFolderThatIsNoneIsRefusedInOneLine) {
  std::string error;
  const auto refused = [&](const std::string& folder) {
    return ShareLink::open({.folder = folder}, ShareServer::Walls::Up, &error) == nullptr;
  };
  EXPECT_TRUE(refused(base_ / "missing"));
  EXPECT_EQ(error, "--share: " + (base_ / "missing").string() + ": No such file or directory");
  EXPECT_TRUE(refused(base_ / "secret"));
  EXPECT_NE(error.find("is not a folder"), std::string::npos);
  EXPECT_TRUE(refused("/"));
}

TEST(ShareOptions, AreTakenOrNamed) {
  ShareRequest request;
  std::string problem;
  EXPECT_TRUE(parse_shares({}, &request, &problem));
  EXPECT_TRUE(request.folder.empty());
  EXPECT_TRUE(parse_shares({"/a,,b,tag=x,readonly"}, &request, &problem));
  EXPECT_EQ(request.folder, "/a,b");
  EXPECT_EQ(request.tag, "x");
  EXPECT_TRUE(request.read_only);
  EXPECT_TRUE(parse_shares({"d,readonly=off"}, &request, &problem));
  EXPECT_FALSE(request.read_only);
  for (const char* bad : {"", "d,tag=", "d,tag=a/b", "d,nothing", "d,readonly=perhaps",
                          "d,tag=12345678901234567890123456789012"}) {
    EXPECT_FALSE(parse_shares({bad}, &request, &problem)) << bad;
    EXPECT_EQ(problem.find("--share"), 0U);
  }
  EXPECT_FALSE(parse_shares({"a", "b"}, &request, &problem));
}

}  // namespace
}  // namespace ringshift
