// Control groups: the group that is taken for delegated, and the numbers written to it. A folder of
// files stands for the host's file system; the kernel's own rules are tested by
// tests/guests/limit_test.py where there is a group.
#include "monitor/host/control_group.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace ringshift {
namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class ControlGroups : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "groups-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    fs::create_directories(root_ / "proc/self");
    write("proc/self/mountinfo",
          "20 1 0:5 / /proc rw - proc proc rw\n"
          "31 20 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 none rw\n");
    write("proc/self/cgroup", "3:cpuset:/elsewhere\n0::/user/app\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
  }
  fs::path add_group(const std::string& path, const std::string& controllers) const {
    const fs::path folder = fs::path("sys/fs/cgroup/unified") / path;
    fs::create_directories(root_ / folder);
    write(folder / "cgroup.controllers", controllers);
    write(folder / "cgroup.subtree_control", "");
    write(folder / "cgroup.procs", "");
    return root_ / folder;
  }
  [[nodiscard]] std::optional<DelegatedGroup> found() const {
    return find_delegated_group({root_.string(), kUser});
  }

  static constexpr uint32_t kUser = 54321;
  fs::path root_;
};

bool belongs_to(const fs::path& folder, uint32_t user) {
  return chown(folder.c_str(), user, static_cast<gid_t>(-1)) == 0;
}

TEST_F(ControlGroups, AGroupOfTheUsersIsDelegated) {
  const fs::path own = add_group("user/app", "cpu memory\n");
  if (!belongs_to(own, kUser)) GTEST_SKIP() << "only root may give files away";
  const auto group = found();
  ASSERT_TRUE(group);
  EXPECT_EQ(group->folder, own.string());
  EXPECT_TRUE(group->has_processes);
}

TEST_F(ControlGroups, MachinesOfAManagerHaveTheGroupAroundIts) {
  add_group("user/app/ringshift-manager", "cpu\n");
  const fs::path parent = add_group("user/app", "cpu\n");
  write("proc/self/cgroup", "0::/user/app/ringshift-manager\n");
  if (!belongs_to(parent, kUser)) GTEST_SKIP() << "only root may give files away";
  const auto group = found();
  ASSERT_TRUE(group);
  EXPECT_EQ(group->folder, parent.string());
  EXPECT_FALSE(group->has_processes);
}

TEST_F(ControlGroups, AGroupOfOthersOrWithoutTheProcessorIsNot) {
  const fs::path own = add_group("user/app", "memory cpuset\n");
  EXPECT_FALSE(found());
  if (belongs_to(own, kUser)) {
    EXPECT_FALSE(found());
  }
  write("proc/self/cgroup", "3:cpu:/user/app\n");
  EXPECT_FALSE(found());
}

TEST_F(ControlGroups, RootNeedsTheMark) {
  const fs::path own = add_group("user/app", "cpu\n");
  const GroupHost host{root_.string(), 0};
  EXPECT_FALSE(find_delegated_group(host));
  if (setxattr(own.c_str(), "user.delegate", "1", 1, 0) != 0) {
    GTEST_SKIP() << "the file system of " << own << " keeps no marks";
  }
  EXPECT_TRUE(find_delegated_group(host));
}

// A folder made here has no files of the kernel's, so what is said is found in those made before.
TEST_F(ControlGroups, LimitsAreSaidBeforeTheProcessIsThere) {
  const fs::path own = add_group("user/app", "cpu\n");
  const fs::path group = add_group("user/app/ringshift-" + std::to_string(getpid()), "cpu\n");
  for (const char* name : {"cpu.max", "cpu.weight", "memory.min"}) {
    std::ofstream(group / name) << "";
  }
  std::string problem;
  const auto folder = enter_group_of_its_own({own.string(), true}, {25, 50, 4096}, &problem);
  ASSERT_TRUE(folder) << problem;
  EXPECT_EQ(*folder, group.string());
  EXPECT_EQ(content_of(group / "cpu.max"), "5000 20000");
  EXPECT_EQ(content_of(group / "cpu.weight"), "50");
  EXPECT_EQ(content_of(group / "memory.min"), "4096");
  EXPECT_EQ(content_of(group / "cgroup.procs"), std::to_string(getpid()));
}

TEST_F(ControlGroups, WhatIsRefusedLeavesEverythingAsItWas) {
  const fs::path own = add_group("user/app", "cpu\n");
  std::string problem;
  // There is no cpu.max in a new folder.
  EXPECT_FALSE(enter_group_of_its_own({own.string(), false}, {25, 0, 0}, &problem));
  EXPECT_NE(problem.find(own.string()), std::string::npos);
  EXPECT_FALSE(fs::exists(own / ("ringshift-" + std::to_string(getpid()))));
}

pid_t ended_process() {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  (void)waitpid(child, nullptr, 0);
  return child;
}

TEST_F(ControlGroups, EmptyGroupsOfMachinesThatHaveEndedGo) {
  const fs::path own = add_group("user/app", "cpu\n");
  const std::string left = "ringshift-" + std::to_string(ended_process());
  const std::string parent = "ringshift-" + std::to_string(getppid());
  fs::create_directories(own / left);
  fs::create_directories(own / parent);
  fs::create_directories(own / "other-1");
  std::string problem;
  (void)enter_group_of_its_own({own.string(), false}, {25, 0, 0}, &problem);
  EXPECT_FALSE(fs::exists(own / left));
  EXPECT_TRUE(fs::exists(own / parent)) << "a process that lives may be about to enter it";
  EXPECT_TRUE(fs::exists(own / "other-1"));
}

}  // namespace
}  // namespace ringshift
