#include "monitor/machine/ports/file_serial.h"

#include <cerrno>
#include <cstring>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

std::unique_ptr<FileSerial> FileSerial::create(const std::string& path, std::string* error) {
  std::FILE* file = open_host_stream(path, FileUse::Replace);
  if (file != nullptr) return std::unique_ptr<FileSerial>(new FileSerial(file, path));
  *error = "cannot write " + path + ": " + std::strerror(errno);
  return nullptr;
}

FileSerial::~FileSerial() {
  (void)finish();
  std::fclose(file_);
}

void FileSerial::transmit(uint8_t byte) {
  if (lost_) return;
  std::fputc(byte, file_);
  // A full buffer has been written by now, or not.
  if (byte == '\n' || std::ferror(file_) != 0) flush();
}

bool FileSerial::finish() {
  flush();
  return !lost_;
}

void FileSerial::flush() {
  if (lost_ || (std::fflush(file_) == 0 && std::ferror(file_) == 0)) return;
  lost_ = true;
  std::fprintf(stderr, "ringshift: %s cannot be written, the rest is lost: %s\n", path_.c_str(),
               std::strerror(errno));
}

}  // namespace ringshift
