// HostFiles: opens the files that a command line names: in the process itself, or, once the process
// has given that up, by another one that it has left behind for this. Owns: which of the two. See
// docs/security.md, "The monitor itself".
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace ringshift {

enum class FileUse : uint8_t {
  Read,       // it exists; opening never waits for the other end of a FIFO
  Replace,    // written from its beginning; made if it does not exist
  Remove,     // its name goes
  TakePlace,  // NAME.part, made by Replace, gets NAME in place of the file that had it
  Folder,     // nothing is opened: files of plain names in it may be, in the four ways above
  Connect,    // no file: a connection to it, as begin_connection() says (host_connection.h)
};

class FileOpener {
 public:
  virtual ~FileOpener() = default;
  // A descriptor (Remove and TakePlace: 0), or -1 with errno.
  [[nodiscard]] virtual int open(const std::string& path, FileUse use) = 0;
};

// Null: the process opens files itself, as it does from the start. One machine a process.
void set_file_opener(FileOpener* opener);

// -1 with errno.
[[nodiscard]] int open_host_file(const std::string& path, FileUse use);
// The same as a stream that owns it. Null with errno.
[[nodiscard]] std::FILE* open_host_stream(const std::string& path, FileUse use);
void remove_host_file(const std::string& path);
// A file that must be whole or not there is written to `path` with this at its end.
inline constexpr const char* kPartSuffix = ".part";
// The file is whole: it takes the place of `path`. False with errno.
[[nodiscard]] bool take_place(const std::string& path);

// Opens the file in this process, which may do so. async-signal-safe
inline constexpr int kReadFlags = 0x80800;     // O_RDONLY | O_CLOEXEC | O_NONBLOCK
inline constexpr int kReplaceFlags = 0x80241;  // O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC
[[nodiscard]] int open_file_here(const char* path, FileUse use);
// The same of a file whose name a stranger chose: no link is followed, no other end is waited for.
inline constexpr int kStrangeReadFlags = 0xa0800;     // kReadFlags | O_NOFOLLOW
inline constexpr int kStrangeReplaceFlags = 0xa0a41;  // kReplaceFlags | O_NOFOLLOW | O_NONBLOCK
[[nodiscard]] int open_strange_file_here(const char* path, FileUse use);

// A name within a folder and nothing else: 1 to 100 characters, no slash, no control character, and
// no dot at its beginning. async-signal-safe
inline constexpr size_t kLongestPlainName = 100;
[[nodiscard]] bool is_plain_name(std::string_view name);
// The plain name of `path` if it lies right in `folder`; empty: it does not.
[[nodiscard]] std::string_view name_in_folder(std::string_view path, std::string_view folder);

// fstat by its own system call: the C library's looks a name up, which a confined process may not.
[[nodiscard]] bool describe_descriptor(int descriptor, struct stat* status);

}  // namespace ringshift
