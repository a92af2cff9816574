// PidFile: a file with the number of this process, for as long as the run lasts. Owns: its name.
// See docs/usage.md, "In the background".
#pragma once

#include <string>

namespace ringshift {

class PidFile {
 public:
  PidFile() = default;
  ~PidFile();
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

  // Before the run is confined. No path: no file. False with one line in *problem.
  [[nodiscard]] bool write(const std::string& path, std::string* problem);

 private:
  std::string path_;  // empty: there is none
};

}  // namespace ringshift
