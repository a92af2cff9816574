#include "monitor/host/session_weight.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "shadowmmu/base/host_files.h"

namespace ringshift {

bool set_session_level(int level, const std::string& file) {
  // The host takes one such change in a tenth of a second from all unprivileged users together.
  constexpr int kTries = 20;
  constexpr int kBetween = 50;  // milliseconds
  if (getsid(0) != getpid()) return false;
  const int group = open_host_file(file, FileUse::Replace);
  if (group < 0) return false;
  const std::string text = std::to_string(level);
  bool is_set = false;
  for (int tries = 0; !is_set && tries < kTries; ++tries) {
    if (tries != 0) (void)poll(nullptr, 0, kBetween);
    is_set = write(group, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (!is_set && errno != EAGAIN) break;
  }
  close(group);
  return is_set;
}

}  // namespace ringshift
