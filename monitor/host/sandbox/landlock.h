// Landlock: a process gives up the file system, TCP and signals to others, except those that it
// names. By system call numbers: the C library has no functions, older headers no names. Owns: the
// rule set until it is in force. See docs/security.md, "The monitor itself"; Linux,
// Documentation/userspace-api/landlock.rst.
#pragma once

#include <cstdint>
#include <string>

namespace ringshift {

// Rights of files (include/uapi/linux/landlock.h).
inline constexpr uint64_t kLandlockWriteFile = 1U << 1;
inline constexpr uint64_t kLandlockReadFile = 1U << 2;
inline constexpr uint64_t kLandlockRemoveFile = 1U << 5;
inline constexpr uint64_t kLandlockMakeRegular = 1U << 8;
inline constexpr uint64_t kLandlockTruncate = 1U << 14;

class Landlock {
 public:
  // The version that the host's kernel has; 0: none.
  [[nodiscard]] static int version();

  // Everything this host's version can forbid, but signals. Abstract sockets from version 6 on, TCP
  // from 4 on unless the process is there to use it.
  enum class Tcp : uint8_t { Forbidden, Left };
  explicit Landlock(Tcp tcp = Tcp::Forbidden);
  ~Landlock();
  Landlock(const Landlock&) = delete;
  Landlock& operator=(const Landlock&) = delete;

  // Adds an exception: these rights at `path` and below. A path that does not exist is passed over.
  void allow(const std::string& path, uint64_t rights);
  // For the calling thread and its later children, for good. Pre: no_new_privs. False: not in
  // force.
  [[nodiscard]] bool enforce();

 private:
  uint64_t handled_ = 0;
  int rules_ = -1;
};

}  // namespace ringshift
