#include "monitor/share/share_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "monitor/share/share_walls.h"

namespace ringshift {
namespace {

// Debian has it where an ordinary user's PATH does not lead.
constexpr const char* kPrograms[] = {"/usr/sbin/diod", "/usr/local/sbin/diod", "/usr/bin/diod"};
constexpr int kHandedDescriptor = 3;
// In place of an errno: the confinement could not be set up.
constexpr int kNoWalls = -1;

// Absolute and without links; empty with one line in *error.
std::string folder_of(const ShareRequest& wanted, std::string* error) {
  std::array<char, PATH_MAX> path;
  struct stat status {};
  const std::string line = "--share: " + wanted.folder + ": ";
  if (realpath(wanted.folder.c_str(), path.data()) == nullptr || stat(path.data(), &status) != 0) {
    *error = line + std::strerror(errno);
  } else if (!S_ISDIR(status.st_mode)) {
    *error = line + "is not a folder";
  } else if (access(path.data(), R_OK | X_OK) != 0) {
    *error = line + std::strerror(errno);
  } else if (std::string(path.data()) == "/") {
    *error = line + "the root itself cannot be shared; name a folder in it";
  } else {
    return path.data();
  }
  return "";
}

// No name of a user is looked up: every user of the guest is the user who runs this program.
std::vector<std::string> words_for(const std::string& folder, bool read_only) {
  const std::string socket = std::to_string(kHandedDescriptor);
  std::vector<std::string> words = {
      "diod", "--foreground", "--config-file", "/dev/null", "--no-auth", "--no-userdb", "-t",
      "8",    "--export",     folder,          "--rfdno",   socket,      "--wfdno",     socket};
  if (read_only) words.insert(words.end(), {"--export-opts", "ro"});
  return words;
}

// In the new process. Its end of `status` is closed by the program that it becomes, or gets errno.
[[noreturn]] void become_server(const ShareRequest& wanted, const std::string& folder,
                                ShareServer::Walls walls, pid_t parent, int socket, int status) {
  const std::vector<std::string> words = words_for(folder, wanted.read_only);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int status_above = fcntl(status, F_DUPFD_CLOEXEC, kHandedDescriptor + 1);
  const int socket_above = fcntl(socket, F_DUPFD_CLOEXEC, kHandedDescriptor + 1);
  const auto fail = [status_above](int why) {
    (void)!write(status_above, &why, sizeof(why));
    _exit(127);
  };
  bool is_ready = dup2(socket_above, kHandedDescriptor) >= 0;
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    is_ready = is_ready && dup2(nothing, stream) >= 0;
  }
  if (!is_ready) fail(errno);
  if (walls == ShareServer::Walls::Up && !raise_share_walls(folder, wanted.read_only)) {
    fail(kNoWalls);
  }
  // After the walls, which change who the process is to the kernel.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  for (const char* program : kPrograms) {
    execv(program, arguments.data());
    if (errno != ENOENT) break;
  }
  fail(errno);
  _exit(127);
}

std::string line_for(const std::string& folder, int problem) {
  const std::string begin = "--share " + folder + ": ";
  if (problem == kNoWalls) {
    return begin +
           "this host offers neither name spaces nor Landlock to keep diod in the folder "
           "(--sandbox off does without)";
  }
  return begin + "diod, which serves it, " +
         (problem == ENOENT ? "is not installed (Debian: apt install diod)"
                            : std::string("cannot be started: ") + std::strerror(problem));
}

}  // namespace

std::unique_ptr<ShareServer> ShareServer::start(const ShareRequest& wanted, Walls walls,
                                                std::string* error) {
  std::unique_ptr<ShareServer> made(new ShareServer());
  made->folder_ = folder_of(wanted, error);
  if (made->folder_.empty()) return nullptr;
  std::array<int, 2> ends{-1, -1};
  std::array<int, 2> status{-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0 ||
      pipe2(status.data(), O_CLOEXEC) != 0) {
    *error = std::string("--share: no socket for diod: ") + std::strerror(errno);
    return nullptr;
  }
  made->socket_ = ends[0];
  const pid_t parent = getpid();
  made->process_ = fork();
  if (made->process_ == 0) {
    become_server(wanted, made->folder_, walls, parent, ends[1], status[1]);
  }
  int problem = made->process_ < 0 ? errno : 0;
  ::close(ends[1]);
  ::close(status[1]);
  if (made->process_ >= 0) {
    while (read(status[0], &problem, sizeof(problem)) < 0 && errno == EINTR) {
    }
  }
  ::close(status[0]);
  if (problem == 0) return made;
  *error = line_for(wanted.folder, problem);
  return nullptr;
}

ShareServer::~ShareServer() {
  constexpr int kTries = 50;
  if (socket_ >= 0) ::close(socket_);
  for (int i = 0; process_ > 0 && i < kTries; ++i) {
    if (waitpid(process_, nullptr, WNOHANG) != 0) return;
    (void)poll(nullptr, 0, 1);
  }
}

int ShareServer::take_socket() { return std::exchange(socket_, -1); }

}  // namespace ringshift
