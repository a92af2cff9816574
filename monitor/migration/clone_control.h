// CloneControl: the requests about cloning the machine: begin, and a question how far it is.
// Implemented by outgoing_clone, and by a fake in tests. All of it is called between two guest
// instructions. See docs/saved-state.md, "Clones".
#pragma once

#include <cstdint>
#include <string>

namespace ringshift {

enum class CloneStatus : uint8_t {
  None,       // nobody has asked
  Preparing,  // RAM is made ready for the moment, while the guest runs
  Copying,    // the moment is over; its RAM is copied while the guest runs
  Ready,      // clones can be made of it, until the next one is begun
  Failed,     // nothing has come of it; the guest goes on
};
[[nodiscard]] const char* clone_status_name(CloneStatus status);

struct CloneProgress {
  CloneStatus status = CloneStatus::None;
  std::string file;                // Ready: the argument of `ringshift resume`
  int64_t pause_microseconds = 0;  // that the guest has stood at the moment
  int64_t total_milliseconds = 0;  // from the wish until it was ready
  uint64_t copied = 0;             // bytes of RAM
  uint64_t referred = 0;           // bytes of RAM that an earlier clone has had already
  uint64_t grains_by_writes = 0;   // copied because the guest was about to write there
  uint64_t shared = 0;             // bytes of RAM that this machine has from the copy by now
  std::string problem;             // Failed: one line
};

class CloneControl {
 public:
  virtual ~CloneControl() = default;
  // freezes_disks: images that are written to may be frozen for it. False with one line in *error.
  [[nodiscard]] virtual bool begin(bool freezes_disks, std::string* error) = 0;
  [[nodiscard]] virtual CloneProgress progress() const = 0;
};

}  // namespace ringshift
