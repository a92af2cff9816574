#include "monitor/migration/migration_listener.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/host_connection.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

bool always() { return true; }

// Words pass both ways between the listener and a peer that connects by its name.
void expect_words(const std::string& where) {
  std::string error;
  const auto listener = MigrationListener::create(where, &error);
  ASSERT_NE(listener, nullptr) << error;
  const int source = open_host_file(listener->where(), FileUse::Connect);
  ASSERT_GE(source, 0);
  SocketStream here(source, always);
  ASSERT_TRUE(here.wait_until_connected(&error)) << error;
  const int target = listener->wait(&error);
  ASSERT_GE(target, 0) << error;
  std::array<uint8_t, 3> heard{};
  {
    SocketStream there(target, always);
    ASSERT_TRUE(here.write(std::array<uint8_t, 3>{1, 2, 3}));
    ASSERT_TRUE(there.read(heard));
    EXPECT_EQ(heard[2], 3);
    EXPECT_FALSE(here.has_news());
    ASSERT_TRUE(there.write(heard));
  }
  // Words said before the end are heard before it.
  ASSERT_TRUE(here.read(heard));
  EXPECT_FALSE(here.read(heard));
  EXPECT_EQ(here.end(), MigrationStream::End::Closed);
}

TEST(MigrationListener, IsReachedByItsName) {
  expect_words("unix:" + ::testing::TempDir() + "listener_" + std::to_string(getpid()));
  expect_words("tcp:127.0.0.1:0");
  expect_words("tcp::0");
}

TEST(MigrationListener, TakesItsNameAway) {
  const std::string path = ::testing::TempDir() + "listener_gone_" + std::to_string(getpid());
  std::string error;
  const auto listener = MigrationListener::create("unix:" + path, &error);
  ASSERT_NE(listener, nullptr) << error;
  EXPECT_EQ(MigrationListener::create("unix:" + path, &error), nullptr);
  EXPECT_NE(error.find("cannot listen"), std::string::npos) << error;
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  listener->close();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(listener->wait(&error), -1);
}

// A process that ends without having read all it was sent has ended its connection all the same.
TEST(SocketStream, KnowsAnEndByReset) {
  std::string error;
  const auto listener = MigrationListener::create("tcp:127.0.0.1:0", &error);
  ASSERT_NE(listener, nullptr) << error;
  SocketStream here(begin_connection(listener->where().c_str()), always);
  ASSERT_TRUE(here.wait_until_connected(&error)) << error;
  const int target = listener->wait(&error);
  ASSERT_TRUE(here.write(std::array<uint8_t, 3>{1, 2, 3}));
  close(target);
  std::array<uint8_t, 1> heard{};
  EXPECT_FALSE(here.read(heard));
  EXPECT_EQ(here.end(), MigrationStream::End::Closed);
}

TEST(SocketStream, DoesNotWaitForEver) {
  std::string error;
  const auto listener = MigrationListener::create("tcp:127.0.0.1:0", &error);
  ASSERT_NE(listener, nullptr) << error;
  int looks = 0;
  SocketStream here(begin_connection(listener->where().c_str()), [&] { return ++looks < 4; });
  std::array<uint8_t, 1> heard{};
  EXPECT_FALSE(here.read(heard));
  EXPECT_EQ(here.end(), MigrationStream::End::NotWanted);
  SocketStream other(begin_connection(listener->where().c_str()), always);
  other.set_patience(40);
  EXPECT_FALSE(other.read(heard));
  EXPECT_EQ(other.end(), MigrationStream::End::Silent);
}

TEST(MigrationAddress, DoesNotLeaveThisHostWithoutAKey) {
  std::string problem;
  const auto check = [&](const char* where, bool has_key) {
    return check_migration_address("--x", where, has_key, &problem);
  };
  for (const char* good : {"unix:/a", "tcp:127.0.0.1:5", "tcp:localhost:5", "tcp::5", "fd:5"}) {
    EXPECT_TRUE(check(good, false)) << good;
  }
  EXPECT_FALSE(check("tcp:10.0.0.1:5", false));
  EXPECT_NE(problem.find("--migration-key"), std::string::npos);
  EXPECT_TRUE(check("tcp:10.0.0.1:5", true));
  const std::string long_path = "unix:/" + std::string(120, 'a');
  for (const char* bad : {"", "tcp", "tcp:5", "tcp:x:5", "tcp:1.2.3.4:", "tcp:1.2.3.4:65536",
                          "tcp:1.2.3.4:5x", "unix:", "fd:", "fd:1", "fd:5x", "fd:-1", "exec:ls",
                          "tcp:1.2.3.4.5.6.7.8.9.10.11:5", long_path.c_str()}) {
    EXPECT_FALSE(check(bad, true)) << bad;
  }
}

}  // namespace
}  // namespace ringshift
