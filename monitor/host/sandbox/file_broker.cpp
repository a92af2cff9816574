#include "monitor/host/sandbox/file_broker.h"

#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "monitor/host/host_signals.h"
#include "monitor/host/sandbox/landlock.h"

namespace ringshift {
namespace {

// Both sides of the wire. A packet is one of these, whole, or it is nothing.
struct Request {
  uint32_t index;
  FileUse use;                                   // of a folder's file
  std::array<char, kLongestPlainName + 1> name;  // of a folder's file, with a zero behind it
};
struct Reply {
  int32_t error;  // 0, or an errno; a descriptor comes with it if a file was opened
};

union DescriptorBuffer {
  cmsghdr aligned;
  std::array<char, CMSG_SPACE(sizeof(int))> bytes;
};

// ---- the broker's side ----

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

uint64_t rights_for(FileUse use) {
  switch (use) {
    case FileUse::Read:
      return kLandlockReadFile;
    case FileUse::Replace:
      return kLandlockWriteFile | kLandlockTruncate | kLandlockMakeRegular;
    case FileUse::Remove:
      return kLandlockRemoveFile;
    case FileUse::TakePlace:
      return kLandlockRemoveFile | kLandlockMakeRegular;
    case FileUse::Folder:
      return kLandlockReadFile | kLandlockWriteFile | kLandlockTruncate | kLandlockMakeRegular |
             kLandlockRemoveFile;
    case FileUse::Connect:
      break;
  }
  return 0;
}

// Does the command line name a place to which a machine may be moved?
bool connects(const std::vector<NamedFile>& files) {
  return std::any_of(files.begin(), files.end(),
                     [](const NamedFile& file) { return file.use == FileUse::Connect; });
}

// Allows each file itself, wherever links lead to it, and its folder: another file of its name may
// take its place, as when a kernel is built anew, or it may be made anew.
void restrict_to(const std::vector<NamedFile>& files) {
  Landlock rules(connects(files) ? Landlock::Tcp::Left : Landlock::Tcp::Forbidden);
  for (const NamedFile& file : files) {
    if (file.use == FileUse::Connect) continue;
    if (file.use == FileUse::Folder) {
      rules.allow(file.path, rights_for(file.use));
      continue;
    }
    rules.allow(folder_of(file.path), rights_for(file.use));
    const bool opens = file.use == FileUse::Read || file.use == FileUse::Replace;
    if (opens) rules.allow(file.path, rights_for(file.use));
  }
  (void)rules.enforce();
}

// Opening in two ways, removing a name, talking: everything else ends the process. Without seccomp
// it does no more than this either. Sockets are made where somebody is named to connect to.
void install_filter(bool with_sockets) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == nullptr) return;
  for (const int number :
       {SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(close), SCMP_SYS(unlink), SCMP_SYS(rename),
        SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall)}) {
    (void)seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
  }
  for (const int number : {SCMP_SYS(socket), SCMP_SYS(connect)}) {
    if (with_sockets) (void)seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
  }
  for (const int flags : {kReadFlags, kReplaceFlags, kStrangeReadFlags, kStrangeReplaceFlags}) {
    const scmp_arg_cmp these_flags{2, SCMP_CMP_EQ, static_cast<scmp_datum_t>(flags), 0};
    (void)seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &these_flags);
  }
  (void)seccomp_load(filter);
  seccomp_release(filter);
}

void answer(int socket, Reply reply, int descriptor) {
  DescriptorBuffer control{};
  iovec part{&reply, sizeof(reply)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof(descriptor));
  }
  (void)sendmsg(socket, &message, MSG_NOSIGNAL);
}

// A descriptor, 0 where there is none to be had, or -1 with errno. Pre: descriptor 0 is in use.
int open_as_asked(const NamedFile& file, const Request& request) {
  if (file.use != FileUse::Folder) return open_file_here(file.path.c_str(), file.use);
  const char* const end = std::find(request.name.begin(), request.name.end(), '\0');
  const std::string_view name(request.name.data(), static_cast<size_t>(end - request.name.data()));
  if (end == request.name.end() || !is_plain_name(name) || request.use > FileUse::TakePlace) {
    errno = EACCES;
    return -1;
  }
  std::array<char, PATH_MAX> path{};  // the filter below lets nobody ask for memory
  const int length =
      std::snprintf(path.data(), path.size(), "%s/%s", file.path.c_str(), request.name.data());
  if (length < 0 || static_cast<size_t>(length) >= path.size()) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return open_strange_file_here(path.data(), request.use);
}

[[noreturn]] void serve(const std::vector<NamedFile>& files, int socket) {
  while (true) {
    Request request{};
    // Descriptors that come with a request are dropped by the kernel: there is no room for them.
    const ssize_t count = recv(socket, &request, sizeof(request), MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    // The monitor is gone, or no longer ours to talk to.
    if (count != sizeof(request) || request.index >= files.size()) _exit(0);
    const int opened = open_as_asked(files[request.index], request);
    const Reply reply{opened < 0 ? errno : 0};
    const bool has_descriptor = opened > 0;
    answer(socket, reply, has_descriptor ? opened : -1);
    if (has_descriptor) ::close(opened);
  }
}

[[noreturn]] void be_the_broker(const std::vector<NamedFile>& files, int socket, pid_t monitor) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != monitor) _exit(0);
  HostSignals::ignore_in_helper();
  prctl(PR_SET_NAME, "ringshift-files");
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) == 0) {
    restrict_to(files);
    install_filter(connects(files));
  }
  serve(files, socket);
}

// ---- the monitor's side ----

// A descriptor, 0 for a name removed, or -1 with errno.
int receive_answer(int socket) {
  Reply reply{};
  DescriptorBuffer control{};
  iovec part{&reply, sizeof(reply)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = sizeof(control);
  ssize_t count = 0;
  do {
    count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    // The file may be a FIFO that nobody opens at its other end.
  } while (count < 0 && errno == EINTR && !HostSignals::termination_requested());
  if (count != sizeof(reply)) {
    errno = EPIPE;  // it is gone
    return -1;
  }
  if (reply.error != 0) {
    errno = reply.error;
    return -1;
  }
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return 0;
  int descriptor = -1;
  std::memcpy(&descriptor, CMSG_DATA(header), sizeof(descriptor));
  return descriptor;
}

}  // namespace

std::unique_ptr<FileBroker> FileBroker::start(std::vector<NamedFile> files, std::string* error) {
  std::erase_if(files, [](const NamedFile& file) { return file.path.empty(); });
  auto broker = std::unique_ptr<FileBroker>(new FileBroker(std::move(files)));
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    *error = std::string("no socket for the process that opens files: ") + std::strerror(errno);
    return nullptr;
  }
  broker->socket_ = ends[0];
  const pid_t monitor = getpid();
  broker->process_ = fork();
  if (broker->process_ == 0) {
    ::close(ends[0]);
    be_the_broker(broker->files_, ends[1], monitor);
  }
  const int reason = errno;
  ::close(ends[1]);
  if (broker->process_ > 0) return broker;
  *error = std::string("no process that opens files: ") + std::strerror(reason);
  return nullptr;
}

FileBroker::~FileBroker() {
  if (socket_ >= 0) ::close(socket_);
  // At a requested end it may still be opening a FIFO: our own end takes it with us.
  if (process_ <= 0 || HostSignals::termination_requested()) return;
  while (waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

int FileBroker::open(const std::string& path, FileUse use) {
  auto found = std::find_if(files_.begin(), files_.end(), [&](const NamedFile& file) {
    return file.path == path && file.use == use;
  });
  std::string_view name;  // in a folder
  if (found == files_.end()) {
    found = std::find_if(files_.begin(), files_.end(), [&](const NamedFile& file) {
      if (file.use == FileUse::Folder) name = name_in_folder(path, file.path);
      return !name.empty();
    });
  }
  if (found == files_.end()) {
    errno = path.empty() ? ENOENT : EACCES;
    return -1;
  }
  Request request{static_cast<uint32_t>(found - files_.begin()), use, {}};
  std::copy(name.begin(), name.end(), request.name.begin());
  const std::lock_guard lock(mutex_);
  if (send(socket_, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) return -1;
  return receive_answer(socket_);
}

}  // namespace ringshift
