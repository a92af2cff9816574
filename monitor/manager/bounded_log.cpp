#include "monitor/manager/bounded_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace ringshift::manager {

BoundedLog::~BoundedLog() {
  if (file_ >= 0) close(file_);
}

bool BoundedLog::begin(const std::string& path, size_t most) {
  path_ = path;
  most_ = most;
  return reopen();
}

bool BoundedLog::reopen() {
  constexpr mode_t kMode = 0600;
  if (file_ >= 0) close(file_);
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, kMode);
  struct stat status {};
  if (file_ < 0 || fstat(file_, &status) != 0) return false;
  bytes_ = static_cast<size_t>(status.st_size);
  return true;
}

void BoundedLog::append(std::string_view text) {
  while (!text.empty() && file_ >= 0) {
    if (bytes_ >= most_) {
      (void)rename(path_.c_str(), older(path_).c_str());
      if (!reopen()) return;
    }
    const std::string_view part = text.substr(0, most_ - bytes_);
    const ssize_t count = write(file_, part.data(), part.size());
    if (count <= 0) return;
    bytes_ += static_cast<size_t>(count);
    text.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace ringshift::manager
