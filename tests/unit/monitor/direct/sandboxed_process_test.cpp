// SandboxedProcess: the host's calls that each policy allows a process, and that nothing of ours is
// left in it.
#include "monitor/direct/sandboxed_process.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "monitor/direct/direct_sandbox.h"
#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

using Policy = SandboxPolicy;

constexpr uint64_t kRamBytes = 1 << 20, kAt = 0x400000, kPage = 0x1000;

DirectCommand command(uint64_t number, std::array<uint64_t, 6> arguments) {
  DirectCommand made;
  made.number = number;
  made.arguments = arguments;
  return made;
}

DirectCommand map(uint64_t at, uint64_t bytes, uint64_t rights, uint64_t flags,
                  uint64_t descriptor = kDirectRamDescriptor) {
  return command(SYS_mmap, {at, bytes, rights, flags, descriptor, 0});
}

class Sandbox : public ::testing::TestWithParam<Policy> {
 protected:
  static constexpr uint64_t kRead = PROT_READ, kCode = PROT_READ | PROT_EXEC,
                            kAll = PROT_READ | PROT_WRITE | PROT_EXEC;
  static constexpr uint64_t kShared = MAP_SHARED | MAP_FIXED;
  static constexpr uint64_t kSharedDirect = kShared | MAP_NORESERVE;

  void SetUp() override {
    ASSERT_TRUE(create_memfd("ram", kRamBytes, &ram_).ok());
    start();
  }
  void TearDown() override { close(ram_); }
  void start() {
    std::string error;
    std::shared_ptr<CommandPage> page = CommandPage::create(&error);
    ASSERT_NE(page, nullptr) << error;
    process_ = SandboxedProcess::start(ram_, std::move(page), GetParam(), &error);
    if (process_ == nullptr) GTEST_SKIP() << error;
  }
  [[nodiscard]] bool does(const DirectCommand& what) {
    std::string error;
    return process_->carry_out({&what, 1}, &error);
  }
  [[nodiscard]] uint64_t flags() const {
    return GetParam() == Policy::UserCode ? kSharedDirect : kShared;
  }

  int ram_ = -1;
  std::unique_ptr<SandboxedProcess> process_;
};

TEST_P(Sandbox, NothingOfOursIsLeft) {
  std::ifstream maps("/proc/" + std::to_string(process_->id()) + "/maps");
  std::vector<std::string> lines;
  for (std::string line; std::getline(maps, line);) lines.push_back(line);
  size_t ours = 0;
  for (const std::string& line : lines)
    ours += line.find("[vsyscall]") == std::string::npos ? 1 : 0;
  EXPECT_EQ(ours, 2U) << "the stub and the commands";
  size_t descriptors = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(process_->id()) + "/fd")) {
    EXPECT_EQ(entry.path().filename(), std::to_string(kDirectRamDescriptor));
    ++descriptors;
  }
  EXPECT_EQ(descriptors, 1U);
}

TEST_P(Sandbox, GuestPagesComeAndGo) {
  EXPECT_TRUE(does(map(kAt, kPage, kCode, flags())));
  EXPECT_TRUE(does(command(SYS_munmap, {kAt, kPage, 0, 0, 0, 0})));
  EXPECT_FALSE(process_->is_gone());
  // The host says no: beyond what a user may map.
  EXPECT_FALSE(does(command(SYS_munmap, {kAt + 1, kPage, 0, 0, 0, 0})));
  EXPECT_FALSE(process_->is_gone());
}

// Each ends the process, and not by the host's refusal.
TEST_P(Sandbox, NothingElseIsAsked) {
  const std::vector<DirectCommand> never = {
      map(uint64_t{1} << 32, kPage, kCode, flags()),
      map(kAt, kPage, kRead, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED),
      map(kAt, kPage, kCode, flags(), kDirectRamDescriptor + 1),
      command(SYS_openat, {0, 0, 0, 0, 0, 0}),
      command(SYS_read, {kDirectRamDescriptor, kAt, 1, 0, 0, 0}),
      command(SYS_write, {kDirectRamDescriptor, kAt, 1, 0, 0, 0}),
      command(SYS_socket, {1, 1, 0, 0, 0, 0}),
      command(SYS_kill, {static_cast<uint64_t>(getpid()), 0, 0, 0, 0, 0}),
      command(SYS_tgkill, {1, 1, 19, 0, 0, 0}),
      command(SYS_ptrace, {0, 0, 0, 0, 0, 0}),
      command(SYS_execve, {0, 0, 0, 0, 0, 0}),
      command(SYS_exit_group, {0, 0, 0, 0, 0, 0}),
      command(SYS_rt_sigprocmask, {0, 0, 0, 8, 0, 0}),
      command(SYS_getpid, {0, 0, 0, 0, 0, 0}),
      command(SYS_fork, {0, 0, 0, 0, 0, 0}),
  };
  for (const DirectCommand& what : never) {
    SCOPED_TRACE("call " + std::to_string(what.number));
    start();
    ASSERT_NE(process_, nullptr);
    EXPECT_FALSE(does(what));
    EXPECT_TRUE(process_->is_gone());
  }
}

TEST_P(Sandbox, WhatOnePolicyAllowsIsNotTheOthers) {
  const bool is_user_code = GetParam() == Policy::UserCode;
  constexpr uint64_t kTimer = kDirectCommandsAddress + sizeof(DirectCommand);
  const std::vector<std::pair<DirectCommand, bool>> cases = {
      {map(kAt, kPage, kAll, kShared), !is_user_code},
      {map(kAt, kPage, kAll, kSharedDirect), false},
      {map(kAt, 2 * kPage, kCode, kShared), false},
      {map(kAt, 2 * kPage, kCode, kSharedDirect), is_user_code},
      {command(SYS_setitimer, {ITIMER_REAL, kTimer, 0, 0, 0, 0}), !is_user_code},
      {command(SYS_setitimer, {ITIMER_PROF, kTimer, 0, 0, 0, 0}), false},
      {command(SYS_mprotect, {kDirectStubAddress, kPage, kCode, 0, 0, 0}), false},
  };
  for (const auto& [what, is_allowed] : cases) {
    SCOPED_TRACE("call " + std::to_string(what.number));
    start();
    ASSERT_NE(process_, nullptr);
    EXPECT_EQ(does(what), is_allowed);
    EXPECT_EQ(process_->is_gone(), !is_allowed);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, Sandbox,
                         ::testing::Values(Policy::UserCode, Policy::Deprivileged),
                         [](const auto& one) {
                           return one.param == Policy::UserCode ? "UserCode" : "Deprivileged";
                         });

}  // namespace
}  // namespace ringshift
