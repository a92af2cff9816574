#include "shadowmmu/base/host_files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ringshift {
namespace {

FileOpener* g_opener = nullptr;

}  // namespace

static_assert(kReadFlags == (O_RDONLY | O_CLOEXEC | O_NONBLOCK));
static_assert(kReplaceFlags == (O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC));

void set_file_opener(FileOpener* opener) { g_opener = opener; }

int open_file_here(const char* path, FileUse use) {
  constexpr mode_t kAnybody = 0666;  // less the umask
  switch (use) {
    case FileUse::Read:
      return ::open(path, kReadFlags);
    case FileUse::Replace:
      return ::open(path, kReplaceFlags, kAnybody);
    case FileUse::Remove:
      return ::unlink(path);
  }
  return -1;
}

int open_host_file(const std::string& path, FileUse use) {
  return g_opener != nullptr ? g_opener->open(path, use) : open_file_here(path.c_str(), use);
}

std::FILE* open_host_stream(const std::string& path, FileUse use) {
  const int descriptor = open_host_file(path, use);
  if (descriptor < 0) return nullptr;
  // From here on whoever reads a FIFO waits for what comes.
  if (use == FileUse::Read) (void)fcntl(descriptor, F_SETFL, O_RDONLY);
  std::FILE* stream = fdopen(descriptor, use == FileUse::Read ? "rb" : "wb");
  if (stream == nullptr) {
    const int reason = errno;
    ::close(descriptor);
    errno = reason;
  }
  return stream;
}

void remove_host_file(const std::string& path) { (void)open_host_file(path, FileUse::Remove); }

bool describe_descriptor(int descriptor, struct stat* status) {
  return syscall(SYS_fstat, descriptor, status) == 0;
}

}  // namespace ringshift
