#include "monitor/lab/parts/serial_capture.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace ringshift::lab {

SerialCapture::~SerialCapture() {
  if (file_ != nullptr) std::fclose(file_);
}

std::string SerialCapture::path() const { return "/proc/self/fd/" + std::to_string(fileno(file_)); }

void SerialCapture::attach(MachineConfig* config) const {
  config->ports.serial.kind = PortTarget::Kind::File;
  config->ports.serial.path = path();
}

std::string SerialCapture::text() const {
  std::ifstream file(path(), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string last_line(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
    if (!line.empty()) last = line;
  }
  return last;
}

size_t count_lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

}  // namespace ringshift::lab
