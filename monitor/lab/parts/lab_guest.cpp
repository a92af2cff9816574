#include "monitor/lab/parts/lab_guest.h"

namespace ringshift::lab {

bool finish_guest(RunOptions* guest, std::string* problem) {
  guest->serial = "none";
  guest->machine.raw_console = false;
  return finish_run_options(guest, problem);
}

bool LabGuest::choose(std::span<const uint8_t> ours, const RunOptions& asked,
                      std::string* problem) {
  options_ = asked;
  name_ = asked.machine.boot.kernel_path;
  if (name_.empty()) {
    name_ = "the guest that comes with ringshift";
    file_ = ImageFile::create(ours, problem);
    if (file_ == nullptr) return false;
    options_.machine.boot.kernel_path = file_->path();
  }
  return finish_guest(&options_, problem);
}

}  // namespace ringshift::lab
