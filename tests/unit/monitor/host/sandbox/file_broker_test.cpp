// FileBroker: opens the files of its list, and no other whatever it is asked; its end does not end
// this process.
#include "monitor/host/sandbox/file_broker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "monitor/host/sandbox/confinement.h"

namespace ringshift {
namespace {

class FileBrokerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_be_confined()) GTEST_SKIP() << "a build with a sanitizer starts no broker";
    std::string name = testing::TempDir() + "ringshift-broker-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    write("input", "given");
    write("other", "secret");
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream file(path(name));
    std::string text;
    std::getline(file, text);
    return text;
  }
  [[nodiscard]] std::unique_ptr<FileBroker> start() const {
    std::string error;
    auto broker = FileBroker::start({{path("input"), FileUse::Read},
                                     {"", FileUse::Read},
                                     {path("output"), FileUse::Replace},
                                     {path("name"), FileUse::Remove}},
                                    &error);
    EXPECT_NE(broker, nullptr) << error;
    return broker;
  }
  [[nodiscard]] static std::string read_all(int descriptor) {
    std::string text(64, '\0');
    const ssize_t count = read(descriptor, text.data(), text.size());
    close(descriptor);
    text.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return text;
  }
  static void expect_refused(FileBroker& broker, const std::string& file, FileUse use, int reason) {
    errno = 0;
    EXPECT_EQ(broker.open(file, use), -1) << file;
    EXPECT_EQ(errno, reason) << file;
  }

  std::string folder_;
};

TEST_F(FileBrokerTest, OpensWhatIsNamedAsOftenAsAsked) {
  const auto broker = start();
  for (int i = 0; i < 100; ++i) {
    const int descriptor = broker->open(path("input"), FileUse::Read);
    ASSERT_GE(descriptor, 3);
    EXPECT_NE(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_EQ(read_all(descriptor), "given");
  }
}

TEST_F(FileBrokerTest, MakesAndEmptiesWhatIsToBeReplaced) {
  const auto broker = start();
  for (const std::string text : {"longer", "short"}) {
    const int descriptor = broker->open(path("output"), FileUse::Replace);
    ASSERT_GE(descriptor, 0);
    ASSERT_EQ(::write(descriptor, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(descriptor);
    EXPECT_EQ(content("output"), text);
  }
}

TEST_F(FileBrokerTest, RemovesAName) {
  const auto broker = start();
  write("name", "");
  EXPECT_EQ(broker->open(path("name"), FileUse::Remove), 0);
  EXPECT_FALSE(std::filesystem::exists(path("name")));
  expect_refused(*broker, path("name"), FileUse::Remove, ENOENT);
}

TEST_F(FileBrokerTest, SaysWhyAFileCannotBeOpened) {
  const auto broker = start();
  std::filesystem::remove(path("input"));
  expect_refused(*broker, path("input"), FileUse::Read, ENOENT);
  std::filesystem::create_directory(path("output"));
  expect_refused(*broker, path("output"), FileUse::Replace, EISDIR);
}

TEST_F(FileBrokerTest, AFileReplacedUnderItsNameIsTheOneMeant) {
  const auto broker = start();
  write("newer", "newer");
  std::filesystem::rename(path("newer"), path("input"));
  EXPECT_EQ(read_all(broker->open(path("input"), FileUse::Read)), "newer");
}

TEST_F(FileBrokerTest, RefusesWhatIsNotNamedOrNotForThatUse) {
  const auto broker = start();
  expect_refused(*broker, path("other"), FileUse::Read, EACCES);
  expect_refused(*broker, path("input"), FileUse::Replace, EACCES);
  expect_refused(*broker, path("output"), FileUse::Read, EACCES);
  expect_refused(*broker, path("input"), FileUse::Remove, EACCES);
  expect_refused(*broker, path("../" + folder_ + "/input"), FileUse::Read, EACCES);
  expect_refused(*broker, "", FileUse::Read, ENOENT);
  EXPECT_EQ(content("other"), "secret");
}

TEST_F(FileBrokerTest, OfAFolderOpensFilesOfPlainNames) {
  std::filesystem::create_directory(path("open"));
  std::filesystem::create_directory(path("open/deeper"));
  std::filesystem::create_symlink(path("other"), path("open/link"));
  std::string error;
  const auto broker = FileBroker::start({{path("open"), FileUse::Folder}}, &error);
  ASSERT_NE(broker, nullptr) << error;
  const int made = broker->open(path("open/new.part"), FileUse::Replace);
  ASSERT_GE(made, 0);
  ASSERT_EQ(::write(made, "kept", 4), 4);
  close(made);
  EXPECT_EQ(broker->open(path("open/new"), FileUse::TakePlace), 0);
  EXPECT_EQ(read_all(broker->open(path("open/new"), FileUse::Read)), "kept");
  expect_refused(*broker, path("open/link"), FileUse::Read, ELOOP);
  expect_refused(*broker, path("open/link"), FileUse::Replace, ELOOP);
  for (const std::string name :
       {"open/../other", "open/deeper/x", "open/.hidden", "open/", "open", "other", "opened"}) {
    expect_refused(*broker, path(name), FileUse::Replace, EACCES);
  }
  expect_refused(*broker, path("open/" + std::string(101, 'x')), FileUse::Replace, EACCES);
  EXPECT_EQ(content("other"), "secret");
}

// A monitor that has been taken over may send anything: the broker ends, and nothing is opened.
TEST_F(FileBrokerTest, NonsenseOnTheSocketEndsIt) {
  const std::vector<std::string> nonsense = {
      std::string(1, '\0'),         std::string("\3\0\0\0", 4), std::string("\xff\xff\xff\xff", 4),
      std::string("\0\0\0", 3),     std::string(5, '\0'),       std::string(4096, 'A'),
      std::string("\0\0\0\x80", 4), std::string("\2\0\0\1", 4)};
  for (const std::string& packet : nonsense) {
    const auto broker = start();
    ASSERT_EQ(send(broker->socket(), packet.data(), packet.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(packet.size()));
    char answer = 0;
    EXPECT_EQ(recv(broker->socket(), &answer, 1, 0), 0) << packet.size();
    expect_refused(*broker, path("input"), FileUse::Read, EPIPE);
  }
}

TEST_F(FileBrokerTest, DescriptorsSentToItAreDropped) {
  // Less the one that the iteration itself has open.
  const auto inherited =
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}) - 1;
  const auto broker = start();
  // A whole request, of the first file of the list.
  struct {
    uint32_t index = 0;
    FileUse use = FileUse::Read;
    std::array<char, kLongestPlainName + 1> name{};
  } request;
  int given = open(path("other").c_str(), O_RDONLY | O_CLOEXEC);
  iovec part{&request, sizeof(request)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  std::copy_n(reinterpret_cast<const char*>(&given), sizeof(given),
              reinterpret_cast<char*>(CMSG_DATA(header)));
  const std::string descriptors = "/proc/" + std::to_string(broker->process()) + "/fd";
  const auto count = [&] {
    return std::distance(std::filesystem::directory_iterator(descriptors), {});
  };
  EXPECT_EQ(read_all(broker->open(path("input"), FileUse::Read)), "given");  // it is ready
  constexpr auto kItsOwn = 1;  // its socket; what it hands over it closes after the answer
  const auto settles_at = [&](ptrdiff_t wanted) {
    for (int i = 0; i < 1000 && count() != wanted; ++i) usleep(1000);
    return count() == wanted;
  };
  const ptrdiff_t before = static_cast<ptrdiff_t>(inherited) + kItsOwn;
  EXPECT_TRUE(settles_at(before));
  ASSERT_EQ(sendmsg(broker->socket(), &message, MSG_NOSIGNAL), ssize_t{sizeof(request)});
  close(given);
  int32_t answer = -1;
  ASSERT_EQ(recv(broker->socket(), &answer, sizeof(answer), 0), 4);
  EXPECT_EQ(answer, 0);
  EXPECT_TRUE(settles_at(before)) << count();
}

TEST_F(FileBrokerTest, ItsEndIsAnErrorAndNoSignal) {
  const auto broker = start();
  kill(broker->process(), SIGKILL);
  int waited = 0;
  while (broker->open(path("input"), FileUse::Read) >= 0 && ++waited < 1000) usleep(1000);
  expect_refused(*broker, path("input"), FileUse::Read, EPIPE);
}

TEST_F(FileBrokerTest, ATerminalsSignalsDoNotEndIt) {
  const auto broker = start();
  EXPECT_EQ(read_all(broker->open(path("input"), FileUse::Read)), "given");
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGTSTP, SIGUSR1}) {
    kill(broker->process(), number);
  }
  EXPECT_EQ(read_all(broker->open(path("input"), FileUse::Read)), "given");
}

TEST_F(FileBrokerTest, ItGoesWithItsOwner) {
  auto broker = start();
  const pid_t process = broker->process();
  EXPECT_EQ(kill(process, 0), 0);
  broker.reset();
  EXPECT_EQ(kill(process, 0), -1);
}

}  // namespace
}  // namespace ringshift
