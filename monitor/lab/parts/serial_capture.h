// SerialCapture: a machine's output on its serial port, in a file without a name. Owns: the file.
// See docs/lab.md.
#pragma once

#include <cstdio>
#include <string>

#include "monitor/machine/machine.h"

namespace ringshift::lab {

class SerialCapture {
 public:
  SerialCapture() : file_(std::tmpfile()) {}
  ~SerialCapture();
  SerialCapture(const SerialCapture&) = delete;
  SerialCapture& operator=(const SerialCapture&) = delete;

  [[nodiscard]] bool ok() const { return file_ != nullptr; }
  // A machine made from *config prints here.
  void attach(MachineConfig* config) const;
  // So far; all of it when the machine has been destroyed.
  [[nodiscard]] std::string text() const;

 private:
  [[nodiscard]] std::string path() const;
  std::FILE* file_;
};

// The last line with anything on it.
[[nodiscard]] std::string last_line(const std::string& text);
[[nodiscard]] size_t count_lines(const std::string& text);

}  // namespace ringshift::lab
