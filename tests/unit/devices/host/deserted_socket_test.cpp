// DesertedSocket: names that are removed, and names that stay.
#include "devices/host/deserted_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringshift {
namespace {

class DesertedSocketTest : public ::testing::Test {
 protected:
  DesertedSocketTest() {
    std::string name = ::testing::TempDir() + "desertedXXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~DesertedSocketTest() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path() const { return folder_ + "/one"; }
  // Its descriptor; it listens there.
  [[nodiscard]] int listen_here() const {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path().copy(at.sun_path, sizeof(at.sun_path) - 1);
    const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(made, reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
    EXPECT_EQ(listen(made, 1), 0);
    return made;
  }
  std::string folder_;
};

TEST_F(DesertedSocketTest, GoesIfNobodyListensAtIt) {
  close(listen_here());
  ASSERT_TRUE(std::filesystem::exists(path()));
  remove_deserted_socket(path());
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(DesertedSocketTest, StaysIfSomebodyDoes) {
  const int listening = listen_here();
  remove_deserted_socket(path());
  EXPECT_TRUE(std::filesystem::exists(path()));
  close(listening);
}

TEST_F(DesertedSocketTest, AFileStays) {
  std::ofstream(path()) << "somebody's work";
  remove_deserted_socket(path());
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(DesertedSocketTest, ALinkStaysAndWhatItLeadsTo) {
  close(listen_here());
  const std::string link = folder_ + "/link";
  std::filesystem::create_symlink(path(), link);
  remove_deserted_socket(link);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(DesertedSocketTest, NothingAndTooLongANameAreNothingToDo) {
  remove_deserted_socket(path());
  remove_deserted_socket(std::string(200, 'x'));
}

}  // namespace
}  // namespace ringshift
