// HostSignals: the effect of a signal, by its sender and the point at which it finds us. Each case
// is a process of its own.
#include "monitor/host/host_signals.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "monitor/host/exit_codes.h"
#include "monitor/machine/machine.h"

namespace ringshift {
namespace {

constexpr size_t kPage = 4096;
constexpr int kFine = 77;

// How a process ends that does this; as waitpid says.
int status_of(const std::function<void()>& action) {
  const pid_t child = fork();
  if (child == 0) {
    action();
    _exit(kFine);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

void must(bool condition) {
  if (!condition) _exit(1);
}

void install(Attention* attention) {
  std::string error;
  must(HostSignals::install(nullptr, attention, &error));
}

// A mapping of a file that has become too short for it: what a host without memory does to ours.
void* unsupplied(void* at, int* file) {
  *file = memfd_create("short", MFD_CLOEXEC);
  const int flags = MAP_SHARED | (at != nullptr ? MAP_FIXED : 0);
  return mmap(at, kPage, PROT_READ | PROT_WRITE, flags, *file, 0);
}

TEST(HostSignals, AFaultSignalThatAProcessSendsEndsUsLikeAnyOther) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGQUIT, SIGALRM, SIGXCPU}) {
    const int status = status_of([signal] {
      Attention attention;
      install(&attention);
      kill(getpid(), signal);
    });
    ASSERT_TRUE(WIFSIGNALED(status)) << signal;
    EXPECT_EQ(WTERMSIG(status), signal);
  }
}

TEST(HostSignals, AFaultOfAnotherThreadEndsUsToo) {
  const int status = status_of([] {
    Attention attention;
    install(&attention);
    std::thread([] { raise(SIGSEGV); }).join();
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
}

TEST(HostSignals, MemoryTheHostCannotSupplyIsNoMistakeOfOurs) {
  const int status = status_of([] {
    Attention attention;
    install(&attention);
    int file = -1;
    *static_cast<volatile char*>(unsupplied(nullptr, &file)) = 1;
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kExitHost);
}

TEST(HostSignals, ARequestToEndBetweenTwoMachinesFindsTheNextOne) {
  const int status = status_of([] {
    const HostSignals::Hold hold;
    {
      Attention first;
      install(&first);
      HostSignals::uninstall();
    }
    kill(getpid(), SIGTERM);
    Attention second;
    install(&second);
    must(HostSignals::termination_requested() && second.is_raised());
  });
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kFine);
}

// The signal may come just before the call: it is not the one that ends it.
TEST(HostSignals, WhoIsAskedToEndIsInterruptedInWhateverCallItMakesNext) {
  for (const bool by_signal : {true, false}) {
    const int status = status_of([by_signal] {
      Attention attention;
      install(&attention);
      int ends[2];
      must(pipe2(ends, O_CLOEXEC) == 0);
      if (by_signal) {
        kill(getpid(), SIGTERM);
      } else {
        HostSignals::request_termination();
      }
      char byte = 0;
      for (int i = 0; i < 3; ++i) must(read(ends[0], &byte, 1) < 0 && errno == EINTR);
    });
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), kFine);
  }
}

// ---- guest RAM that the host cannot supply ----

class Unsupplied : public ::testing::TestWithParam<Engine> {
 protected:
  // MOV [0x200000], EAX for ever, behind a Multiboot header.
  static std::string write_guest() {
    const uint32_t header[] = {
        0x1badb002, 0x10003, 0 - (0x1badb002U + 0x10003U), 0x100000, 0x100000, 0, 0, 0x100020};
    const uint8_t code[] = {0xa3, 0, 0, 0x20, 0, 0xeb, 0xf9};
    std::string path = ::testing::TempDir() + "unsupplied_" +
                       std::to_string(static_cast<int>(GetParam())) + ".bin";
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(header), sizeof(header));
    file.write(reinterpret_cast<const char*>(code), sizeof(code));
    return path;
  }
};

TEST_P(Unsupplied, EndsTheRunAsTheHostsFailure) {
  const std::string guest = write_guest();
  const int status = status_of([&] {
    MachineConfig config;
    config.boot.kernel_path = guest;
    config.memory_bytes = 16U << 20;
    config.ports.serial = {};
    config.raw_console = false;
    config.vcpu.engine = GetParam();
    config.vcpu.user = UserEngine::Translate;
    std::string error;
    const auto machine = Machine::create(config, &error);
    must(machine != nullptr);
    GuestMemory& memory = machine->memory();
    int file = -1;
    if (GetParam() == Engine::Interpret) {
      must(unsupplied(memory.at(GuestPhysical(0x200000)), &file) != MAP_FAILED);
    } else {
      (void)unsupplied(nullptr, &file);
      must(dup2(file, memory.descriptor()) >= 0);  // what windows are mapped from
    }
    const MachineOutcome outcome = machine->run();
    _exit(outcome.reason == StopReason::HostFailure && !outcome.message.empty() ? kExitHost : 1);
  });
  ASSERT_TRUE(WIFEXITED(status)) << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), kExitHost);
}

INSTANTIATE_TEST_SUITE_P(Engines, Unsupplied,
                         ::testing::Values(Engine::Translate, Engine::Interpret));

}  // namespace
}  // namespace ringshift
