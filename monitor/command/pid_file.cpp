#include "monitor/command/pid_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

bool PidFile::write(const std::string& path, std::string* problem) {
  if (path.empty()) return true;
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  const bool is_written = file != nullptr && std::fprintf(file, "%d\n", getpid()) > 0;
  const bool is_whole = file != nullptr && std::fclose(file) == 0 && is_written;
  if (is_whole) {
    path_ = path;
  } else {
    *problem = "--pidfile: cannot write " + path + ": " + std::strerror(errno);
  }
  return is_whole;
}

PidFile::~PidFile() {
  if (!path_.empty()) remove_host_file(path_);
}

}  // namespace ringshift
