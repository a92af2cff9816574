// FileSerial: a file as the other end of a serial port or a log; output that it cannot take is
// lost, and a line says so once. Owns: the file. See docs/usage.md.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "devices/chips/serial_backend.h"

namespace ringshift {

class FileSerial final : public SerialBackend {
 public:
  // Null with one line in *error.
  static std::unique_ptr<FileSerial> create(const std::string& path, std::string* error);
  ~FileSerial() override;
  FileSerial(const FileSerial&) = delete;
  FileSerial& operator=(const FileSerial&) = delete;

  // Written at a newline, or when the buffer is full.
  void transmit(uint8_t byte) override;
  // All that has been transmitted is in the file. False: some of it never will be.
  [[nodiscard]] bool finish();

 private:
  FileSerial(std::FILE* file, std::string path) : file_(file), path_(std::move(path)) {}
  void flush();

  std::FILE* file_;
  std::string path_;
  bool lost_ = false;
};

}  // namespace ringshift
