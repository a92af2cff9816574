#include "monitor/manager/machines/machine_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "monitor/host/children/child_processes.h"
#include "monitor/host/exit_codes.h"

namespace ringshift::manager {
namespace {

[[noreturn]] void give_up(const char* what) {
  const std::string line = std::string("ringshift: ") + what + ": " + std::strerror(errno) + "\n";
  (void)!write(STDERR_FILENO, line.data(), line.size());
  _exit(kExitUsage);
}

[[noreturn]] void become(const std::vector<std::string>& words, const std::string& folder,
                         int terminal, int errors, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(kExitUsage);
  // The terminal is its input and output and not its controlling one: it sends no signals.
  setpgid(0, 0);
  dup2(terminal, STDIN_FILENO);
  dup2(terminal, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (chdir(folder.c_str()) != 0) give_up(folder.c_str());
  setenv(kKeeperVariable, std::to_string(parent).c_str(), 1);
  std::string name = "ringshift";
  std::vector<std::string> own = words;
  std::vector<char*> arguments{name.data()};
  for (std::string& word : own) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execv("/proc/self/exe", arguments.data());
  give_up("the program itself");
}

}  // namespace

std::unique_ptr<MachineProcess> MachineProcess::start(const std::vector<std::string>& words,
                                                      const std::string& folder,
                                                      std::string* problem) {
  auto machine = std::unique_ptr<MachineProcess>(new MachineProcess);
  int terminal = -1;
  std::array<int, 2> pipe{-1, -1};
  if (!machine->open_terminal(&terminal, problem)) return nullptr;
  const pid_t parent = getpid();
  if (pipe2(pipe.data(), O_CLOEXEC) == 0) machine->process_ = fork();
  if (machine->process_ == 0) become(words, folder, terminal, pipe[1], parent);
  const int reason = errno;
  close(terminal);
  if (pipe[1] >= 0) close(pipe[1]);
  machine->errors_ = pipe[0];
  if (machine->process_ < 0) {
    *problem = std::string("no process for the machine: ") + std::strerror(reason);
    return nullptr;
  }
  (void)fcntl(machine->errors_, F_SETFL, O_RDONLY | O_NONBLOCK);
  return machine;
}

MachineProcess::~MachineProcess() {
  if (process_ > 0 && !has_ended_) {
    kill(process_, SIGKILL);
    while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  for (const int descriptor : {terminal_, errors_}) {
    if (descriptor >= 0) close(descriptor);
  }
}

bool MachineProcess::open_terminal(int* other_end, std::string* problem) {
  std::array<char, 64> name{};
  terminal_ = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (terminal_ >= 0 && grantpt(terminal_) == 0 && unlockpt(terminal_) == 0 &&
      ptsname_r(terminal_, name.data(), name.size()) == 0) {
    *other_end = open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*other_end >= 0) return true;
  }
  *problem = std::string("no terminal for the machine: ") + std::strerror(errno);
  return false;
}

// A terminal that nobody has open any more says EIO.
bool MachineProcess::read_some(int descriptor, std::string* bytes) {
  std::array<char, 16384> some;
  const ssize_t count = read(descriptor, some.data(), some.size());
  if (count > 0) bytes->append(some.data(), static_cast<size_t>(count));
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

size_t MachineProcess::type(const std::string& bytes) const {
  const ssize_t count = write(terminal_, bytes.data(), bytes.size());
  return count > 0 ? static_cast<size_t>(count) : 0;
}

void MachineProcess::signal_it(int number) const {
  if (process_ > 0 && !has_ended_) kill(process_, number);
}

std::optional<MachineProcess::End> MachineProcess::take_end() {
  int status = 0;
  if (has_ended_ || waitpid(process_, &status, WNOHANG) != process_) return std::nullopt;
  has_ended_ = true;
  if (WIFSIGNALED(status)) return End{0, WTERMSIG(status)};
  return End{WEXITSTATUS(status), 0};
}

}  // namespace ringshift::manager
