#include "monitor/host/children/image_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace ringshift {
namespace {

constexpr const char* kProgram = "qemu-nbd";
constexpr const char* kSocketName = "/image";
// Where a process that is handed a listening socket finds it (sd_listen_fds(3)).
constexpr int kFirstHandedDescriptor = 3;
constexpr int kPatience = 10'000, kLook = 20, kPatienceAtTheEnd = 100, kLastWords = 1'000;
constexpr size_t kMostWords = 4096;

std::string reason() { return std::strerror(errno); }

// A relative name gets "./" in front: qemu-nbd would take a word before a colon for a protocol.
std::string as_path(const std::string& path) {
  return !path.empty() && path[0] == '/' ? path : "./" + path;
}

std::vector<std::string> words_for(const ServedImage& image) {
  std::vector<std::string> words = {kProgram, "--format=" + image.format};
  if (image.read_only) words.emplace_back("--read-only");
  if (image.snapshot) words.emplace_back("--snapshot");
  words.emplace_back("--");
  words.push_back(as_path(image.path));
  return words;
}

// In the new process. Its end of `status` is closed by the program that it becomes, or gets errno.
// Signals of a terminal are for the monitor, whose end ends this too.
[[noreturn]] void become_server(const std::vector<std::string>& words, pid_t parent, int listener,
                                int said, int status) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  // The status may be in the place that the socket has to have.
  const int status_above = fcntl(status, F_DUPFD_CLOEXEC, kFirstHandedDescriptor + 1);
  const int said_above = fcntl(said, F_DUPFD_CLOEXEC, kFirstHandedDescriptor + 1);
  const int listener_above = fcntl(listener, F_DUPFD_CLOEXEC, kFirstHandedDescriptor + 1);
  const bool is_ready = getppid() == parent && dup2(nothing, STDIN_FILENO) >= 0 &&
                        dup2(nothing, STDOUT_FILENO) >= 0 && dup2(said_above, STDERR_FILENO) >= 0 &&
                        dup2(listener_above, kFirstHandedDescriptor) >= 0 &&
                        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1) == 0 &&
                        setenv("LISTEN_FDS", "1", 1) == 0;
  if (is_ready) execvp(kProgram, arguments.data());
  const int error = errno;
  (void)!write(status_above, &error, sizeof(error));
  _exit(127);
}

void close_if_open(int* descriptor) {
  if (*descriptor >= 0) close(*descriptor);
  *descriptor = -1;
}

}  // namespace

std::unique_ptr<ImageServer> ImageServer::start(const ServedImage& image, IsUnwanted is_unwanted,
                                                std::string* error) {
  std::unique_ptr<ImageServer> server(new ImageServer(std::move(is_unwanted)));
  if (!server->make_socket(error) || !server->start_process(image, error)) return nullptr;
  return server;
}

ImageServer::~ImageServer() {
  forget_name();
  close_if_open(&listener_);
  for (int waited = 0; process_ >= 0 && waited < kPatience; waited += kLook) {
    if (wait_for_end(kLook)) break;
    if (waited >= kPatienceAtTheEnd && is_unwanted_ && is_unwanted_()) break;
  }
  close_if_open(&said_);
}

// In a folder that nobody else can enter.
bool ImageServer::make_socket(std::string* error) {
  const char* configured = std::getenv("TMPDIR");
  std::string folder =
      std::string(configured != nullptr ? configured : "/tmp") + "/ringshift-XXXXXX";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (folder.size() + std::strlen(kSocketName) >= sizeof(address.sun_path)) {
    *error = "a socket's name in $TMPDIR is too long";
    return false;
  }
  if (mkdtemp(folder.data()) == nullptr) {
    *error = "cannot make a folder for a socket, " + folder + ": " + reason();
    return false;
  }
  folder_ = folder;
  (folder_ + kSocketName).copy(address.sun_path, sizeof(address.sun_path) - 1);
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ >= 0 &&
      bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
      listen(listener_, 1) == 0) {
    return true;
  }
  *error = "cannot make a socket in " + folder_ + ": " + reason();
  return false;
}

bool ImageServer::start_process(const ServedImage& image, std::string* error) {
  std::array<int, 2> said{-1, -1};
  std::array<int, 2> status{-1, -1};
  if (pipe2(said.data(), O_CLOEXEC) != 0 || pipe2(status.data(), O_CLOEXEC) != 0) {
    for (int* one : {said.data(), said.data() + 1}) close_if_open(one);
    *error = "cannot make a pipe: " + reason();
    return false;
  }
  const std::vector<std::string> words = words_for(image);
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) become_server(words, parent, listener_, said[1], status[1]);
  const int fork_error = errno;
  close_if_open(&said[1]);
  close_if_open(&status[1]);
  close_if_open(&listener_);
  said_ = said[0];
  int problem = process_ < 0 ? fork_error : 0;
  if (process_ >= 0) {
    while (read(status[0], &problem, sizeof(problem)) < 0 && errno == EINTR) {
    }
  }
  close_if_open(&status[0]);
  if (problem == 0) return true;
  *error = image.path + ": is a " + image.format + " image, which qemu-nbd would serve, and it " +
           (problem == ENOENT ? "is not installed (Debian: apt install qemu-utils)"
                              : std::string("cannot be started: ") + std::strerror(problem));
  return false;
}

std::string ImageServer::uri() const { return "nbd+unix:///?socket=" + folder_ + kSocketName; }

void ImageServer::forget_name() {
  if (folder_.empty()) return;
  unlink((folder_ + kSocketName).c_str());
  rmdir(folder_.c_str());
  folder_.clear();
}

// The server's end closes its side of the pipe.
bool ImageServer::wait_for_end(int milliseconds) {
  pollfd waiting{said_, POLLIN, 0};
  while (process_ >= 0 && poll(&waiting, 1, milliseconds) > 0) {
    std::array<char, 512> bytes;
    const ssize_t count = read(said_, bytes.data(), bytes.size());
    if (count > 0) {
      words_.append(bytes.data(), static_cast<size_t>(count));
      words_.resize(std::min(words_.size(), kMostWords));
    } else if (count == 0) {
      waitpid(process_, nullptr, 0);
      process_ = -1;
    }
  }
  return process_ < 0;
}

std::string ImageServer::last_words() {
  if (!wait_for_end(kLastWords)) return "";
  std::string line = words_.substr(0, words_.find('\n'));
  const std::string prefix = std::string(kProgram) + ": ";
  return line.rfind(prefix, 0) == 0 ? line.substr(prefix.size()) : line;
}

}  // namespace ringshift
