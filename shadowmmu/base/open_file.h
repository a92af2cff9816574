// OpenFile: a file that the command line names, opened as host_files.h says. Owns: the descriptor.
#pragma once

#include <unistd.h>

#include <string>
#include <utility>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

class OpenFile {
 public:
  OpenFile(const std::string& path, FileUse use) : descriptor_(open_host_file(path, use)) {}
  // One that is open already.
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // Gives the descriptor to the caller.
  [[nodiscard]] int give() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

}  // namespace ringshift
