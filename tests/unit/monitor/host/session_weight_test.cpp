#include "monitor/host/session_weight.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ringshift {
namespace {

// In a process that leads a session, or that does not.
bool sets_level(bool leads, const std::string& file) {
  const pid_t child = fork();
  if (child == 0) {
    if (leads) setsid();
    _exit(set_session_level(5, file) ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(SessionWeight, IsSetByTheLeaderOfASessionAlone) {
  const std::string file = testing::TempDir() + "session-weight" + std::to_string(getpid());
  EXPECT_FALSE(sets_level(false, file));
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_TRUE(sets_level(true, file));
  std::string text;
  std::ifstream(file) >> text;
  EXPECT_EQ(text, "5");
  std::filesystem::remove(file);
}

TEST(SessionWeight, IsRefusedWhereTheHostHasNoSuchGroups) {
  EXPECT_FALSE(sets_level(true, "/no/such/folder/autogroup"));
}

TEST(SessionWeight, IsWhatTheHostSaysAfterwards) {
  const std::string file = "/proc/self/autogroup";
  if (access(file.c_str(), W_OK) != 0) GTEST_SKIP() << "this host does not group by sessions";
  EXPECT_TRUE(sets_level(true, file));
}

}  // namespace
}  // namespace ringshift
