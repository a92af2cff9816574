// FileBroker: a small process, forked before anything else, that opens the files the command line
// names when the monitor, which can open none any more, asks for one by its number. Owns: that
// process and the socket to it. The monitor may be in a guest's hands. So a request is a place in a
// list, which the broker made before hostile code could run, and, if that place is a folder, a
// plain name in it. See docs/security.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

struct NamedFile {
  std::string path;
  FileUse use = FileUse::Read;
};

class FileBroker final : public FileOpener {
 public:
  // Forks. Entries without a path are dropped. Null with one line in *error.
  static std::unique_ptr<FileBroker> start(std::vector<NamedFile> files, std::string* error);
  // Ends the process, and waits for its end.
  ~FileBroker() override;
  FileBroker(const FileBroker&) = delete;
  FileBroker& operator=(const FileBroker&) = delete;

  // EACCES for a file that the command line does not name. Any thread, one after the other.
  [[nodiscard]] int open(const std::string& path, FileUse use) override;
  [[nodiscard]] pid_t process() const { return process_; }
  [[nodiscard]] int socket() const { return socket_; }

 private:
  explicit FileBroker(std::vector<NamedFile> files) : files_(std::move(files)) {}

  std::vector<NamedFile> files_;
  std::mutex mutex_;  // of one request and its answer
  pid_t process_ = -1;
  int socket_ = -1;
};

}  // namespace ringshift
