#include "monitor/host/memory/available_memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace ringshift {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class AvailableMemoryTest : public ::testing::Test {
 protected:
  AvailableMemoryTest() {
    std::string name = std::filesystem::temp_directory_path() / "available-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~AvailableMemoryTest() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    const std::filesystem::path file(root_ + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string root_;
};

TEST_F(AvailableMemoryTest, IsWhatTheHostSays) {
  EXPECT_EQ(available_memory(root_), std::nullopt);
  put("/proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    2048000 kB\nCached: 1 kB\n");
  EXPECT_EQ(available_memory(root_), 2000 * kMiB);
  put("/proc/meminfo", "MemAvailable:    none\n");
  EXPECT_EQ(available_memory(root_), std::nullopt);
}

TEST_F(AvailableMemoryTest, IsNoMoreThanTheGroupsLeave) {
  put("/proc/meminfo", "MemAvailable:    2048000 kB\n");
  put("/proc/self/cgroup", "1:name=x:/y\n0::/outer/inner\n");
  put("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
  put("/sys/fs/cgroup/outer/inner/memory.current", "1048576\n");
  EXPECT_EQ(available_memory(root_), 2000 * kMiB);
  put("/sys/fs/cgroup/outer/memory.max", std::to_string(100 * kMiB));
  put("/sys/fs/cgroup/outer/memory.current", std::to_string(30 * kMiB));
  EXPECT_EQ(available_memory(root_), 70 * kMiB);
  put("/sys/fs/cgroup/outer/inner/memory.max", std::to_string(kMiB / 2));
  EXPECT_EQ(available_memory(root_), 0U);
}

// The host that this runs on has some.
TEST_F(AvailableMemoryTest, ThisHostSaysSomethingOrNothing) {
  EXPECT_GT(available_memory().value_or(1), 0U);
}

}  // namespace
}  // namespace ringshift
