#include "monitor/manager/run_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace ringshift::manager {
namespace {

constexpr mode_t kOwnerOnly = 0700, kOthers = 0077;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

std::string default_folder() {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/ringshift";
  return fmt::format("/tmp/ringshift-{}", getuid());
}

bool make_folder(const std::string& path, std::string* problem) {
  if (mkdir(path.c_str(), kOwnerOnly) == 0 || errno == EEXIST) return true;
  *problem = "cannot make the folder " + path + ": " + std::strerror(errno);
  return false;
}

// A folder that others can enter, or that a link stands for, is not used.
bool is_ours_alone(const std::string& path, std::string* problem) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    *problem = "no folder " + path + ": " + std::strerror(errno);
  } else if (!S_ISDIR(status.st_mode)) {
    *problem = path + " is no folder";
  } else if (status.st_uid != geteuid()) {
    *problem = "the folder " + path + " is another user's";
  } else if ((status.st_mode & kOthers) != 0) {
    *problem = "the folder " + path + " can be entered by others (chmod 700 it)";
  } else {
    return true;
  }
  return false;
}

std::vector<std::string> entries_of(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()), closedir);
  if (folder == nullptr) return names;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

bool is_machine_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestMachineName && is_letter_or_digit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

bool open_run_folder(const std::string& wanted, IfAbsent if_absent, RunFolder* folder,
                     std::string* problem) {
  constexpr size_t kLongestSocket = 107;  // sun_path without its zero (unix(7))
  folder->path = wanted.empty() ? default_folder() : wanted;
  if (folder->path[0] != '/') {
    const std::unique_ptr<char, void (*)(void*)> here(getcwd(nullptr, 0), std::free);
    if (here != nullptr) folder->path = std::string(here.get()) + "/" + folder->path;
  }
  while (folder->path.size() > 1 && folder->path.back() == '/') folder->path.pop_back();
  const std::string longest = folder->machine(std::string(kLongestMachineName, 'x')).console();
  if (longest.size() > kLongestSocket) {
    *problem = fmt::format("the folder {} has too long a name for sockets: {} bytes are the most",
                           folder->path, kLongestSocket - (longest.size() - folder->path.size()));
    return false;
  }
  if (if_absent == IfAbsent::Make && !make_folder(folder->path, problem)) return false;
  if (!is_ours_alone(folder->path, problem)) return false;
  return if_absent == IfAbsent::Refuse || make_folder(folder->machines(), problem);
}

std::vector<std::string> machine_names(const RunFolder& folder) {
  std::vector<std::string> names = entries_of(folder.machines());
  std::erase_if(names, [](const std::string& name) { return !is_machine_name(name); });
  return names;
}

bool make_machine_folder(const MachineFolder& folder, std::string* problem) {
  remove_machine_folder(folder);
  return make_folder(folder.path, problem) && is_ours_alone(folder.path, problem) &&
         make_folder(folder.open(), problem);
}

void remove_machine_folder(const MachineFolder& folder) {
  for (const std::string& name : entries_of(folder.open())) {
    (void)unlink((folder.open() + "/" + name).c_str());
  }
  (void)rmdir(folder.open().c_str());
  for (const std::string& name : entries_of(folder.path)) {
    (void)unlink((folder.path + "/" + name).c_str());
  }
  (void)rmdir(folder.path.c_str());
}

std::optional<std::string> read_whole(const std::string& path, size_t most) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> bytes;
  ssize_t count = 0;
  while (text.size() < most &&
         (count = read(file, bytes.data(), std::min(bytes.size(), most - text.size()))) > 0) {
    text.append(bytes.data(), static_cast<size_t>(count));
  }
  close(file);
  if (count < 0) return std::nullopt;
  return text;
}

bool write_whole(const std::string& path, std::string_view text) {
  constexpr mode_t kMode = 0600;
  const std::string part = path + ".part";
  const int file = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode);
  if (file < 0) return false;
  bool good = true;
  while (good && !text.empty()) {
    const ssize_t count = write(file, text.data(), text.size());
    good = count > 0;
    if (good) text.remove_prefix(static_cast<size_t>(count));
  }
  return close(file) == 0 && good && rename(part.c_str(), path.c_str()) == 0;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool FileLock::take(const std::string& path) {
  constexpr mode_t kMode = 0600;
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kMode);
  if (descriptor_ >= 0 && flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return true;
  const int reason = errno;
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
  errno = reason;
  return false;
}

}  // namespace ringshift::manager
