#include "monitor/network/slirp_sandbox.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>

#include "monitor/host/sandbox/landlock.h"

namespace ringshift {
namespace {

constexpr int kAllowed[] = {
    // Memory.
    SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk),
    // On open descriptors.
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64),
    SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    // Sockets, but neither bind nor listen: the command line's ports are open already.
    SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
    SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    // Time, signals of faults, the end.
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(futex),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(exit), SCMP_SYS(exit_group)};

template <typename Value>
scmp_arg_cmp equal(unsigned index, Value value) {
  return {index, SCMP_CMP_EQ, static_cast<scmp_datum_t>(value), 0};
}

// A rule that cannot be made would forbid, not allow: it is no hole.
void allow(scmp_filter_ctx filter, int number, std::initializer_list<scmp_arg_cmp> arguments) {
  (void)seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number,
                               static_cast<unsigned>(arguments.size()), arguments.begin());
}

void allow_by_argument(scmp_filter_ctx filter, const UserNetwork& wanted) {
  for (const int family : {AF_INET, AF_INET6}) allow(filter, SCMP_SYS(socket), {equal(0, family)});
  if (!wanted.guest_forwards.empty()) allow(filter, SCMP_SYS(socket), {equal(0, AF_UNIX)});
  constexpr unsigned long kSocketRequests[] = {FIONREAD, FIONBIO};
  for (const unsigned long request : kSocketRequests) {
    allow(filter, SCMP_SYS(ioctl), {equal(1, request)});
  }
  for (const int request : {F_GETFD, F_SETFD, F_GETFL, F_SETFL}) {
    allow(filter, SCMP_SYS(fcntl), {equal(1, request)});
  }
  // To read; which files, Landlock says.
  constexpr scmp_datum_t kWritesOrMakes = O_ACCMODE | O_CREAT | O_TRUNC;
  allow(filter, SCMP_SYS(openat), {{2, SCMP_CMP_MASKED_EQ, kWritesOrMakes, O_RDONLY}});
}

// Anything else is refused, and not the end of the process: which calls a guest's packets lead to
// is the library's to choose.
void install_filter(const UserNetwork& wanted) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EACCES));
  if (filter == nullptr) return;
  for (const int number : kAllowed) allow(filter, number, {});
  allow_by_argument(filter, wanted);
  (void)seccomp_load(filter);
  seccomp_release(filter);
}

void lower_limits() {
  struct Limit {
    __rlimit_resource what;
    rlim_t most;
  };
  constexpr rlim_t kSockets = 1024, kMemory = rlim_t{512} << 20;
  for (const Limit& limit : {Limit{RLIMIT_CORE, 0}, Limit{RLIMIT_FSIZE, 0},
                             Limit{RLIMIT_NOFILE, kSockets}, Limit{RLIMIT_DATA, kMemory}}) {
    rlimit now{};
    if (getrlimit(limit.what, &now) != 0) continue;
    now.rlim_max = std::min(now.rlim_max, limit.most);
    now.rlim_cur = std::min(now.rlim_cur, now.rlim_max);
    (void)setrlimit(limit.what, &now);
  }
}

void restrict_files(const UserNetwork& wanted) {
  Landlock rules(Landlock::Tcp::Left);
  rules.allow("/etc/resolv.conf", kLandlockReadFile);
  if (!wanted.tftp_folder.empty()) rules.allow(wanted.tftp_folder, kLandlockReadFile);
  (void)rules.enforce();
}

}  // namespace

void confine_slirp(const UserNetwork& wanted) {
  lower_limits();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) return;
  restrict_files(wanted);
  install_filter(wanted);
}

}  // namespace ringshift
