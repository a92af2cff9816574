#include "monitor/share/share_walls.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include "monitor/host/sandbox/landlock.h"

namespace ringshift {
namespace {

// Where the new root is put together, in a name space of our own.
constexpr const char* kNewRoot = "/tmp";
// Programs and their libraries; on Debian all but the first are links into it.
constexpr const char* kPrograms[] = {"/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin"};
constexpr const char* kNothing = "/dev/null";
constexpr uint64_t kLocked = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

bool write_line(const char* path, const std::string& line) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool is_written =
      write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  close(file);
  return is_written;
}

// A user who is not root gets the name spaces in a user name space of its own, in which the user's
// number stays the same.
bool leave_name_spaces() {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  const int own = user == 0 ? 0 : CLONE_NEWUSER;
  if (unshare(own | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC) != 0) return false;
  if (own == 0) return true;
  const auto same = [](unsigned number) {
    return std::to_string(number) + " " + std::to_string(number) + " 1";
  };
  return write_line("/proc/self/setgroups", "deny") &&
         write_line("/proc/self/uid_map", same(user)) &&
         write_line("/proc/self/gid_map", same(group));
}

// File systems mounted below come along, and are locked as well.
bool show(int source, const std::string& at, uint64_t attributes) {
  const std::string from = "/proc/self/fd/" + std::to_string(source);
  if (mount(from.c_str(), at.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) return false;
  mount_attr wanted{};
  wanted.attr_set = attributes;
  return mount_setattr(AT_FDCWD, at.c_str(), AT_RECURSIVE, &wanted, sizeof(wanted)) == 0;
}

void make_folders(const std::string& path) {
  for (size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    (void)mkdir(path.substr(0, end).c_str(), 0755);
  }
  (void)mkdir(path.c_str(), 0755);
}

struct Source {
  std::string path;
  int descriptor = -1;
  std::string link;  // not empty: it is a link
};

Source source_of(const char* path) {
  Source source{path, open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), ""};
  std::array<char, PATH_MAX> link;
  const ssize_t length = readlink(path, link.data(), link.size());
  if (length > 0) source.link.assign(link.data(), static_cast<size_t>(length));
  return source;
}

bool show_programs(const Source& source) {
  const std::string at = kNewRoot + source.path;
  if (source.descriptor < 0) return true;
  if (!source.link.empty()) return symlink(source.link.c_str(), at.c_str()) == 0;
  make_folders(at);
  return show(source.descriptor, at, MOUNT_ATTR_RDONLY | kLocked);
}

// The server reads its configuration there.
bool show_nothing(int source) {
  const std::string at = std::string(kNewRoot) + kNothing;
  (void)mkdir((std::string(kNewRoot) + "/dev").c_str(), 0755);
  const int made = open(at.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
  if (made < 0) return false;
  close(made);
  const std::string from = "/proc/self/fd/" + std::to_string(source);
  return mount(from.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

// A root with nothing in it but programs and the folder, where it was.
bool enter_own_root(const std::string& folder, bool read_only) {
  if (!leave_name_spaces()) return false;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  std::array<Source, std::size(kPrograms)> programs;
  for (size_t i = 0; i < programs.size(); ++i) programs[i] = source_of(kPrograms[i]);
  const int nothing = open(kNothing, O_PATH | O_CLOEXEC);
  const int shared = open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (shared < 0 || mount("root", kNewRoot, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
    return false;
  }
  for (const Source& source : programs) {
    if (!show_programs(source)) return false;
  }
  if (!show_nothing(nothing)) return false;
  const std::string at = kNewRoot + folder;
  make_folders(at);
  if (!show(shared, at, kLocked | (read_only ? MOUNT_ATTR_RDONLY : 0))) return false;
  return chdir(kNewRoot) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
         umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

bool restrict_files(const std::string& folder, bool read_only) {
  constexpr uint64_t kExecute = 1U << 0, kReadFolder = 1U << 3, kRemoveFolder = 1U << 4;
  constexpr uint64_t kMakeFolder = 1U << 7, kMakeSocket = 1U << 9, kMakeFifo = 1U << 10;
  constexpr uint64_t kMakeLink = 1U << 12, kRename = 1U << 13;
  constexpr uint64_t kRead = kLandlockReadFile | kReadFolder;
  constexpr uint64_t kChange = kLandlockWriteFile | kLandlockRemoveFile | kLandlockMakeRegular |
                               kLandlockTruncate | kRemoveFolder | kMakeFolder | kMakeSocket |
                               kMakeFifo | kMakeLink | kRename;
  Landlock rules;
  for (const char* path : kPrograms) rules.allow(path, kExecute | kRead);
  rules.allow("/etc/ld.so.cache", kLandlockReadFile);
  rules.allow(kNothing, kLandlockReadFile | kLandlockWriteFile);
  rules.allow(folder, read_only ? kRead : kRead | kChange);
  return rules.enforce();
}

// The capabilities with which root's server acts as root on files; making devices is not among
// them.
void drop_capabilities() {
  constexpr unsigned long kKept[] = {0 /* CHOWN */,  1 /* DAC_OVERRIDE */, 3 /* FOWNER */,
                                     4 /* FSETID */, 6 /* SETGID */,       7 /* SETUID */};
  for (unsigned long one = 0; prctl(PR_CAPBSET_READ, one, 0UL, 0UL, 0UL) >= 0; ++one) {
    bool is_kept = false;
    for (const unsigned long kept : kKept) is_kept |= one == kept;
    if (!is_kept) (void)prctl(PR_CAPBSET_DROP, one, 0UL, 0UL, 0UL);
  }
}

// Landlock says nothing of files' modes and owners, only of their contents: without a root of its
// own the server may not change these. In either case it has no business with processes, mounts or
// keys.
bool install_filter(bool has_own_root) {
  constexpr int kNever[] = {SCMP_SYS(ptrace),
                            SCMP_SYS(process_vm_readv),
                            SCMP_SYS(process_vm_writev),
                            SCMP_SYS(mount),
                            SCMP_SYS(umount2),
                            SCMP_SYS(pivot_root),
                            SCMP_SYS(unshare),
                            SCMP_SYS(setns),
                            SCMP_SYS(bpf),
                            SCMP_SYS(keyctl),
                            SCMP_SYS(add_key),
                            SCMP_SYS(request_key),
                            SCMP_SYS(perf_event_open),
                            SCMP_SYS(userfaultfd)};
  constexpr int kOfFiles[] = {SCMP_SYS(chmod),        SCMP_SYS(fchmodat),  SCMP_SYS(chown),
                              SCMP_SYS(lchown),       SCMP_SYS(fchownat),  SCMP_SYS(utime),
                              SCMP_SYS(utimes),       SCMP_SYS(utimensat), SCMP_SYS(futimesat),
                              SCMP_SYS(setxattr),     SCMP_SYS(lsetxattr), SCMP_SYS(removexattr),
                              SCMP_SYS(lremovexattr), SCMP_SYS(socket)};
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr) return false;
  for (const int call : kNever) (void)seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
  for (const int call : kOfFiles) {
    if (!has_own_root) (void)seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0);
  }
  const bool is_loaded = seccomp_load(filter) == 0;
  seccomp_release(filter);
  return is_loaded;
}

}  // namespace

bool raise_share_walls(const std::string& folder, bool read_only) {
  const bool has_own_root = enter_own_root(folder, read_only);
  drop_capabilities();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0) return false;
  const bool has_rules = restrict_files(folder, read_only);
  return install_filter(has_own_root) && (has_own_root || has_rules);
}

}  // namespace ringshift
