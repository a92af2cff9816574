#include "shadowmmu/base/host_files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "shadowmmu/base/host_connection.h"

namespace ringshift {
namespace {

FileOpener* g_opener = nullptr;

// async-signal-safe
int rename_part(const char* path) {
  std::array<char, PATH_MAX> part{};
  const size_t length = std::strlen(path);
  if (length + std::strlen(kPartSuffix) >= part.size()) {
    errno = ENAMETOOLONG;
    return -1;
  }
  std::memcpy(part.data(), path, length);
  std::memcpy(part.data() + length, kPartSuffix, std::strlen(kPartSuffix) + 1);
  return ::rename(part.data(), path);
}

}  // namespace

static_assert(kReadFlags == (O_RDONLY | O_CLOEXEC | O_NONBLOCK));
static_assert(kReplaceFlags == (O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC));
static_assert(kStrangeReadFlags == (kReadFlags | O_NOFOLLOW));
static_assert(kStrangeReplaceFlags == (kReplaceFlags | O_NOFOLLOW | O_NONBLOCK));

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
    case FileUse::TakePlace:
      return rename_part(path);
    case FileUse::Connect:
      return begin_connection(path);
    case FileUse::Folder:
      break;
  }
  errno = EINVAL;
  return -1;
}

int open_strange_file_here(const char* path, FileUse use) {
  constexpr mode_t kAnybody = 0666;  // less the umask
  if (use == FileUse::Read) return ::open(path, kStrangeReadFlags);
  if (use == FileUse::Replace) return ::open(path, kStrangeReplaceFlags, kAnybody);
  return open_file_here(path, use);
}

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestPlainName || name.front() == '.') return false;
  for (const char c : name) {
    if (c == '/' || static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
  }
  return true;
}

std::string_view name_in_folder(std::string_view path, std::string_view folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.remove_suffix(1);
  if (folder.empty() || path.substr(0, folder.size()) != folder) return {};
  path.remove_prefix(folder.size());
  if (folder != "/") {
    if (path.empty() || path.front() != '/') return {};
    path.remove_prefix(1);
  }
  return is_plain_name(path) ? path : std::string_view{};
}

int open_host_file(const std::string& path, FileUse use) {
  return g_opener != nullptr ? g_opener->open(path, use) : open_file_here(path.c_str(), use);
}

std::FILE* open_host_stream(const std::string& path, FileUse use) {
  const int descriptor = open_host_file(path, use);
  if (descriptor < 0) return nullptr;
  // From here on a reader of a FIFO waits for bytes.
  if (use == FileUse::Read) (void)fcntl(descriptor, F_SETFL, O_RDONLY);
  std::FILE* stream = fdopen(descriptor, use == FileUse::Read ? "rb" : "wb");
  if (stream == nullptr) {
    const int reason = errno;
    ::close(descriptor);
    errno = reason;
  }
  return stream;
}

bool take_place(const std::string& path) { return open_host_file(path, FileUse::TakePlace) >= 0; }

void remove_host_file(const std::string& path) { (void)open_host_file(path, FileUse::Remove); }

bool describe_descriptor(int descriptor, struct stat* status) {
  return syscall(SYS_fstat, descriptor, status) == 0;
}

}  // namespace ringshift
