// BoundedLog: a file that grows by appended text, and keeps the end of it only: older text is in a
// second file, and still older text is gone. Owns: the file. See docs/machines.md.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ringshift::manager {

class BoundedLog {
 public:
  // The bound of each of the two files.
  static constexpr size_t kMostBytes = size_t{1} << 20;

  BoundedLog() = default;
  ~BoundedLog();
  BoundedLog(const BoundedLog&) = delete;
  BoundedLog& operator=(const BoundedLog&) = delete;

  // Goes on with the existing text. False with errno.
  [[nodiscard]] bool begin(const std::string& path, size_t most = kMostBytes);
  // Text that the host does not take is lost.
  void append(std::string_view text);

  [[nodiscard]] static std::string older(const std::string& path) { return path + ".old"; }

 private:
  [[nodiscard]] bool reopen();

  std::string path_;
  size_t most_ = kMostBytes;
  int file_ = -1;
  size_t bytes_ = 0;
};

}  // namespace ringshift::manager
