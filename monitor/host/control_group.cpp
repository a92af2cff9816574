#include "monitor/host/control_group.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace ringshift {
namespace {

// The names of our groups begin with these; the number behind is the process's.
constexpr const char* kPrefix = "ringshift-";
constexpr const char* kForManager = "ringshift-manager";
// A machine that is held answers within this, in microseconds (cpu.max: quota and period).
constexpr unsigned kPeriod = 20'000;

// Empty: it cannot be read. These files are made up as they are read: their size says nothing.
std::string content_of(const std::string& path) {
  std::string text;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  std::array<char, 4096> bytes{};
  ssize_t got = 0;
  while ((got = read(file, bytes.data(), bytes.size())) > 0) {
    text.append(bytes.data(), static_cast<size_t>(got));
  }
  close(file);
  return text;
}

// One write: the kernel takes or refuses it as a whole.
bool say(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t put = write(file, text.data(), text.size());
  const int reason = errno;
  close(file);
  errno = reason;
  return put == static_cast<ssize_t>(text.size());
}

bool has_word(const std::string& text, const std::string& word) {
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    const bool begins = at == 0 || std::isspace(static_cast<unsigned char>(text[at - 1])) != 0;
    if (begins && (end == text.size() || std::isspace(static_cast<unsigned char>(text[end])) != 0))
      return true;
  }
  return false;
}

// Where version 2 is mounted (proc(5), mountinfo): the fifth word of the line, the type after " -
// ".
std::string mount_point(const GroupHost& host) {
  const std::string text = content_of(host.root + "/proc/self/mountinfo");
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    size_t word = 0;
    for (int i = 0; i < 4 && word != std::string::npos; ++i) {
      word = line.find(' ', word);
      if (word != std::string::npos) ++word;
    }
    if (word != std::string::npos) return line.substr(word, line.find(' ', word) - word);
  }
  return "";
}

bool is_given_away(const std::string& folder) {
  for (const char* mark : {"user.delegate", "trusted.delegate"}) {
    std::array<char, 2> value{};
    if (getxattr(folder.c_str(), mark, value.data(), value.size()) == 1 && value[0] == '1')
      return true;
  }
  return false;
}

// Root may write everywhere, so the mark alone tells which groups have been given to it.
bool is_delegated(const std::string& folder, uint32_t user) {
  struct stat facts {};
  if (stat(folder.c_str(), &facts) != 0) return false;
  if (!is_given_away(folder) && (user == 0 || facts.st_uid != user)) return false;
  return access((folder + "/cgroup.procs").c_str(), W_OK) == 0 &&
         access((folder + "/cgroup.subtree_control").c_str(), W_OK) == 0 &&
         has_word(content_of(folder + "/cgroup.controllers"), "cpu");
}

// "ringshift-PID" of a process that is no more? One that lives may be about to enter its group.
bool is_left_behind(const char* name) {
  if (std::strncmp(name, kPrefix, std::strlen(kPrefix)) != 0) return false;
  const long process = std::strtol(name + std::strlen(kPrefix), nullptr, 10);
  return process > 0 && kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH;
}

// Groups of machines that have ended: the kernel keeps those in which anybody is.
void remove_empty_groups(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), &closedir);
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries.get())) {
    if (is_left_behind(entry->d_name)) (void)rmdir((folder + "/" + entry->d_name).c_str());
  }
}

bool move_here(const std::string& folder) {
  return say(folder + "/cgroup.procs", std::to_string(getpid()));
}

// Children get shares of the controllers enabled here. Memory is wanted where it can be had.
bool enable_controllers(const std::string& folder) {
  (void)say(folder + "/cgroup.subtree_control", "+memory");
  return has_word(content_of(folder + "/cgroup.subtree_control"), "cpu") ||
         say(folder + "/cgroup.subtree_control", "+cpu");
}

bool set_limits(const std::string& folder, const GroupLimits& limits) {
  if (limits.cpu_percent != 0 &&
      !say(folder + "/cpu.max",
           std::to_string(kPeriod * limits.cpu_percent / 100) + " " + std::to_string(kPeriod))) {
    return false;
  }
  if (limits.cpu_weight != 0 && !say(folder + "/cpu.weight", std::to_string(limits.cpu_weight)))
    return false;
  // The machine has its memory anyway: this keeps the host from taking it for others.
  if (limits.memory_min != 0) (void)say(folder + "/memory.min", std::to_string(limits.memory_min));
  return true;
}

}  // namespace

// "0::/path" (cgroups(7)).
std::string own_group_path(const std::string& root) {
  const std::string text = "\n" + content_of(root + "/proc/self/cgroup");
  const size_t at = text.find("\n0::/");
  if (at == std::string::npos) return "";
  const size_t begin = at + 4;
  return text.substr(begin, text.find('\n', begin) - begin);
}

std::optional<DelegatedGroup> find_delegated_group(const GroupHost& host) {
  const std::string mount = mount_point(host), path = own_group_path(host.root);
  if (mount.empty() || path.empty()) return std::nullopt;
  // A manager has gone into one inside, for its machines.
  const std::string inside = std::string("/") + kForManager;
  const bool is_inside = path.ends_with(inside);
  std::string folder = path.substr(0, path.size() - (is_inside ? inside.size() : 0));
  if (folder == "/") folder.clear();
  folder = host.root + mount + folder;
  if (!is_delegated(folder, host.user.value_or(geteuid()))) return std::nullopt;
  return DelegatedGroup{folder, !is_inside};
}

DelegatedGroup named_group(const std::string& folder, const GroupHost& host) {
  const std::string own = host.root + mount_point(host) + own_group_path(host.root);
  struct stat named {
  }, ours{};
  const bool is_own = stat(folder.c_str(), &named) == 0 && stat(own.c_str(), &ours) == 0 &&
                      named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
  return {folder, is_own};
}

std::optional<std::string> enter_group_of_its_own(const DelegatedGroup& parent,
                                                  const GroupLimits& limits, std::string* problem) {
  remove_empty_groups(parent.folder);
  const std::string folder = parent.folder + "/" + kPrefix + std::to_string(getpid());
  const auto fail = [&](const char* what) {
    *problem = std::string(what) + " " + parent.folder + ": " + std::strerror(errno);
    if (parent.has_processes) (void)move_here(parent.folder);
    (void)rmdir(folder.c_str());
    return std::nullopt;
  };
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return fail("no control group in");
  // A group with processes gives its children nothing, so we leave it first.
  if (parent.has_processes && !move_here(folder)) return fail("cannot leave");
  if (!enable_controllers(parent.folder)) return fail("others are in the control group");
  if (!set_limits(folder, limits)) return fail("no limits for a control group in");
  if (!parent.has_processes && !move_here(folder)) return fail("cannot enter a control group in");
  return folder;
}

bool make_room_for_groups(const GroupHost& host) {
  const std::optional<DelegatedGroup> group = find_delegated_group(host);
  if (!group || !group->has_processes) return false;
  const std::string folder = group->folder + "/" + kForManager;
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return false;
  if (move_here(folder) && enable_controllers(group->folder)) return true;
  (void)move_here(group->folder);
  (void)rmdir(folder.c_str());
  return false;
}

}  // namespace ringshift
