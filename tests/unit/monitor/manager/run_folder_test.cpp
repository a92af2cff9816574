#include "monitor/manager/run_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "monitor/manager/bounded_log.h"
#include "monitor/manager/event_log.h"

namespace ringshift::manager {
namespace {

class RunFolderTest : public testing::Test {
 protected:
  RunFolderTest() {
    std::string made = testing::TempDir() + "runXXXXXX";
    base_ = mkdtemp(made.data());
  }
  ~RunFolderTest() override { std::filesystem::remove_all(base_); }

  bool opens(const std::string& path, IfAbsent if_absent = IfAbsent::Make) {
    problem_.clear();
    return open_run_folder(path, if_absent, &folder_, &problem_);
  }

  std::string base_;
  RunFolder folder_;
  std::string problem_;
};

TEST_F(RunFolderTest, IsItsOwnersAlone) {
  ASSERT_TRUE(opens(base_ + "/r")) << problem_;
  struct stat status {};
  ASSERT_EQ(stat((base_ + "/r").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST_F(RunFolderTest, ThatOthersCanEnterIsRefused) {
  ASSERT_EQ(mkdir((base_ + "/r").c_str(), 0700), 0);
  ASSERT_EQ(chmod((base_ + "/r").c_str(), 0755), 0);
  EXPECT_FALSE(opens(base_ + "/r"));
  EXPECT_NE(problem_.find("can be entered by others"), std::string::npos);
}

TEST_F(RunFolderTest, ThatIsALinkIsRefused) {
  ASSERT_EQ(symlink(base_.c_str(), (base_ + "/r").c_str()), 0);
  EXPECT_FALSE(opens(base_ + "/r"));
}

TEST_F(RunFolderTest, ThatIsNotThereIsRefusedOrMade) {
  EXPECT_FALSE(opens(base_ + "/r", IfAbsent::Refuse));
  EXPECT_TRUE(opens(base_ + "/r", IfAbsent::Make)) << problem_;
  EXPECT_TRUE(opens(base_ + "/r", IfAbsent::Refuse)) << problem_;
}

TEST_F(RunFolderTest, TooLongForSocketsIsRefused) {
  EXPECT_FALSE(opens(base_ + "/" + std::string(90, 'x')));
  EXPECT_NE(problem_.find("too long"), std::string::npos);
}

TEST_F(RunFolderTest, MachinesAreThoseWithNames) {
  ASSERT_TRUE(opens(base_ + "/r"));
  std::string problem;
  ASSERT_TRUE(make_machine_folder(folder_.machine("b"), &problem)) << problem;
  ASSERT_TRUE(make_machine_folder(folder_.machine("a"), &problem)) << problem;
  ASSERT_EQ(mkdir((folder_.machines() + "/not a name").c_str(), 0700), 0);
  const std::vector<std::string> expected{"a", "b"};
  EXPECT_EQ(machine_names(folder_), expected);
}

TEST_F(RunFolderTest, AMachineBeginsWithNothingOfAnEarlierOne) {
  ASSERT_TRUE(opens(base_ + "/r"));
  const MachineFolder machine = folder_.machine("a");
  std::string problem;
  ASSERT_TRUE(make_machine_folder(machine, &problem));
  ASSERT_TRUE(write_whole(machine.ended(), "old"));
  ASSERT_TRUE(make_machine_folder(machine, &problem)) << problem;
  EXPECT_FALSE(read_whole(machine.ended()).has_value());
}

TEST_F(RunFolderTest, ALockIsOnesAlone) {
  FileLock first, second;
  EXPECT_TRUE(first.take(base_ + "/lock"));
  EXPECT_FALSE(second.take(base_ + "/lock"));
}

TEST_F(RunFolderTest, ALogKeepsItsEnd) {
  BoundedLog log;
  ASSERT_TRUE(log.begin(base_ + "/log", 10));
  log.append("0123456789abcdefghijklmno");
  EXPECT_EQ(read_whole(base_ + "/log"), "klmno");
  EXPECT_EQ(read_whole(BoundedLog::older(base_ + "/log")), "abcdefghij");
}

TEST_F(RunFolderTest, EventsAreGoneOnWith) {
  {
    EventLog events;
    ASSERT_TRUE(events.open(base_ + "/events"));
    events.add("a", "ended", "exit code 1");
  }
  EventLog events;
  ASSERT_TRUE(events.open(base_ + "/events"));
  ASSERT_EQ(events.all().size(), 1U);
  EXPECT_EQ(events.all().front().detail, "exit code 1");
  EXPECT_TRUE(events.has_told_end_of("a"));
  events.add("a", "started");
  EXPECT_FALSE(events.has_told_end_of("a"));
  EXPECT_FALSE(events.has_told_end_of("b"));
}

TEST(MachineName, HasLettersDigitsAndTwoSigns) {
  for (const char* good : {"a", "web-1", "A_b", "0"}) EXPECT_TRUE(is_machine_name(good)) << good;
  for (const char* bad : {"", "-a", "_a", ".", "..", "a/b", "a b", "a.b", "a\n"}) {
    EXPECT_FALSE(is_machine_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace ringshift::manager
