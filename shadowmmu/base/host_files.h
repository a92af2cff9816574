// HostFiles: how the files that a command line names are opened: by the process itself, or, once it
// has given that up, by whoever it has left behind to do so. Owns: which of the two.
// Called by: everything that opens a file while a machine is built, runs or ends.
// See docs/security.md, "The monitor itself".
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace ringshift {

enum class FileUse : uint8_t {
  Read,     // it exists; opening never waits for the other end of a FIFO
  Replace,  // written from its beginning; made if it does not exist
  Remove,   // its name goes
};

class FileOpener {
 public:
  virtual ~FileOpener() = default;
  // A descriptor (FileUse::Remove: 0), or -1 with errno.
  [[nodiscard]] virtual int open(const std::string& path, FileUse use) = 0;
};

// Null: the process opens files itself, as it does from the start. One machine a process.
void set_file_opener(FileOpener* opener);

// -1 with errno.
[[nodiscard]] int open_host_file(const std::string& path, FileUse use);
// The same as a stream that owns it. Null with errno.
[[nodiscard]] std::FILE* open_host_stream(const std::string& path, FileUse use);
void remove_host_file(const std::string& path);

// What open_host_file does in a process that may. async-signal-safe
inline constexpr int kReadFlags = 0x80800;     // O_RDONLY | O_CLOEXEC | O_NONBLOCK
inline constexpr int kReplaceFlags = 0x80241;  // O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
[[nodiscard]] int open_file_here(const char* path, FileUse use);

// fstat by its own system call: the C library's looks a name up, which a confined process may not.
[[nodiscard]] bool describe_descriptor(int descriptor, struct stat* status);

}  // namespace ringshift
