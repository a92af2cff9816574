// Lab guest: the image a part of the laboratory was asked to run, or one that comes with the
// program. Owns: the file of the latter. Nothing a guest prints reaches the terminal. See
// docs/lab.md.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "monitor/command/options/options.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"

namespace ringshift::lab {

// Options as `run` takes them, made ready for a machine. False with one line in *problem.
[[nodiscard]] bool finish_guest(RunOptions* guest, std::string* problem);

class LabGuest {
 public:
  // `asked` if it names a kernel, otherwise `ours`. False with one line in *problem.
  [[nodiscard]] bool choose(std::span<const uint8_t> ours, const RunOptions& asked,
                            std::string* problem);
  // For as long as this lives.
  [[nodiscard]] const MachineConfig& machine() const { return options_.machine; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  RunOptions options_;
  std::string name_;
  std::unique_ptr<ImageFile> file_;
};

}  // namespace ringshift::lab
