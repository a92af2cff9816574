// Confinement and Landlock, each in a child process: both are for good.
#include "monitor/host/sandbox/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "monitor/command/reports/host_probes.h"
#include "monitor/host/exit_codes.h"
#include "monitor/host/sandbox/landlock.h"
#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr int kGood = 0, kBad = 1;

bool host_has_filter() {
  return ask_child([]() -> std::optional<uint64_t> {
           return confine_this_process().system_calls ? 1 : 0;
         }).value_or(0) == 1;
}

// Runs in a child that is confined, and ends it.
[[noreturn]] void confined(const std::function<bool()>& action) {
  if (!confine_this_process().system_calls) _exit(kBad);
  _exit(action() ? kGood : kBad);
}

class ConfinementTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_be_confined()) GTEST_SKIP() << "a build with a sanitizer";
    if (!host_has_filter()) GTEST_SKIP() << "the host offers no seccomp filter";
  }
};

TEST_F(ConfinementTest, AForbiddenCallIsNamedAndEndsTheProcess) {
  EXPECT_EXIT(confined([] { return socket(AF_INET, SOCK_STREAM, 0) >= 0; }),
              testing::ExitedWithCode(kExitInternal),
              "the sandbox stops system call " + std::to_string(SYS_socket) + "\n");
  EXPECT_EXIT(confined([] { return fork() >= 0; }), testing::ExitedWithCode(kExitInternal),
              "the sandbox stops system call 56\n");
  EXPECT_EXIT(confined([] { return kill(getppid(), 0) == 0; }),
              testing::ExitedWithCode(kExitInternal), "the sandbox stops system call 62\n");
}

TEST_F(ConfinementTest, ItsEndCannotBeReplaced) {
  EXPECT_EXIT(confined([] { return signal(SIGSYS, SIG_IGN) != SIG_ERR; }),
              testing::ExitedWithCode(kExitInternal), "the sandbox stops system call 13\n");
  // The kernel looks at the low 32 bits.
  constexpr uint64_t kHighBits = uint64_t{1} << 32;
  constexpr size_t kSetBytes = 8;
  EXPECT_EXIT(confined([] {
                return syscall(SYS_rt_sigaction, kHighBits | SIGSYS, nullptr, nullptr, kSetBytes) ==
                       0;
              }),
              testing::ExitedWithCode(kExitInternal), "the sandbox stops system call 13\n");
  EXPECT_EXIT(confined([] { return signal(SIGUSR2, SIG_IGN) != SIG_ERR; }),
              testing::ExitedWithCode(kGood), "^$");
}

TEST_F(ConfinementTest, ThreadsThatWereThereAreConfinedToo) {
  const auto act = [] {
    std::atomic<bool> go{false};
    std::thread early([&go] {
      while (!go.load()) std::this_thread::yield();
      (void)socket(AF_INET, SOCK_STREAM, 0);
    });
    const bool is_confined = confine_this_process().system_calls;
    go.store(true);
    early.join();
    _exit(is_confined ? kGood : kBad);
  };
  EXPECT_EXIT(act(), testing::ExitedWithCode(kExitInternal), "the sandbox stops system call 41\n");
}

TEST_F(ConfinementTest, OpeningAFileIsRefusedAndSaidOnce) {
  const auto act = [] {
    const bool first = open("/etc/passwd", O_RDONLY) == -1 && errno == EACCES;
    const bool second = open("/dev/null", O_RDWR) == -1 && errno == EACCES;
    return first && second;
  };
  EXPECT_EXIT(confined(act), testing::ExitedWithCode(kGood),
              "^ringshift: the sandbox refuses to open a file: system call 257\n$");
}

TEST_F(ConfinementTest, ThreadsTimersExceptionsAndMemoryAreLeft) {
  const auto act = [] {
    bool ran = false;
    std::thread([&ran] { ran = true; }).join();
    std::string error;
    const auto clock = HostClock::create(&error);
    const int memory = memfd_create("test", MFD_CLOEXEC);
    const bool sized = ftruncate(memory, 4096) == 0;
    void* mapped = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, memory, 0);
    bool caught = false;
    try {
      throw std::runtime_error("thrown");
    } catch (const std::exception&) {
      caught = true;
    }
    return ran && clock != nullptr && sized && mapped != MAP_FAILED && caught &&
           mprotect(mapped, 4096, PROT_NONE) == 0 && munmap(mapped, 4096) == 0;
  };
  EXPECT_EXIT(confined(act), testing::ExitedWithCode(kGood), "^$");
}

TEST_F(ConfinementTest, AnAbortIsStillAnAbort) {
  EXPECT_EXIT(confined([]() -> bool { std::abort(); }), testing::KilledBySignal(SIGABRT), "^$");
}

TEST(Landlock, AllowsWhatIsNamedAndNothingElse) {
  if (Landlock::version() == 0) GTEST_SKIP() << "the host has no Landlock";
  const std::string folder = testing::TempDir() + "ringshift-landlock-" + std::to_string(getpid());
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/file") << "text";
  const auto act = [&folder] {
    Landlock rules;
    rules.allow(folder, kLandlockReadFile);
    rules.allow(folder + "/not there", kLandlockReadFile);
    const bool enforced = prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0 && rules.enforce();
    const bool read = open((folder + "/file").c_str(), O_RDONLY) >= 0;
    const bool written = open((folder + "/file").c_str(), O_WRONLY) >= 0;
    const bool made = open((folder + "/other").c_str(), O_WRONLY | O_CREAT, 0600) >= 0;
    const bool elsewhere = open("/etc/passwd", O_RDONLY) >= 0;
    // So a parent's death can be told to a child that is not under these rules.
    const bool reaches_others = kill(getppid(), 0) == 0;
    _exit(enforced && read && !written && !made && !elsewhere && reaches_others ? kGood : kBad);
  };
  EXPECT_EXIT(act(), testing::ExitedWithCode(kGood), "^$");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ringshift
