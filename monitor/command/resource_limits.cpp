#include "monitor/command/resource_limits.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "devices/storage/paced_medium.h"
#include "monitor/host/control_group.h"
#include "monitor/host/memory/available_memory.h"
#include "monitor/host/sandbox/host_limits.h"
#include "monitor/host/session_weight.h"
#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr const char* kNoGroup = "off";
// The monitor's own memory: without the first amount it does not begin; a network's process takes
// the second, beside it.
constexpr uint64_t kLeastForMonitor = 96 * kMiB, kForNetwork = 32 * kMiB;

uint64_t taken(const FixedMemory& fixed) {
  return fixed.guest_ram + fixed.translated_code + (fixed.has_network_process ? kForNetwork : 0);
}

// The host is asked before: memory that it promises and does not have ends somebody.
bool can_have_minimum(const ResourceLimits& limits, const FixedMemory& fixed,
                      std::string* problem) {
  if (limits.memory_min == 0) return true;
  if (limits.memory_min > fixed.guest_ram) {
    *problem = fmt::format("--limit: memory-min={}M is more than the guest has: --memory {}M",
                           limits.memory_min / kMiB, fixed.guest_ram / kMiB);
    return false;
  }
  const std::optional<uint64_t> available = available_memory();
  if (!available || limits.memory_min <= *available) return true;
  *problem = fmt::format("--limit: the host cannot give memory-min={}M: it has {}M left",
                         limits.memory_min / kMiB, *available / kMiB);
  return false;
}

// The host goes by the session's level where it groups processes by sessions, and by the process's
// where it does not: both are set. A level at which the process was started is kept below.
void set_nice_level(unsigned shares) {
  if (shares == 0) return;
  const int level = nice_level_of(shares);
  (void)set_session_level(level);
  errno = 0;
  const int before = getpriority(PRIO_PROCESS, 0);
  if (errno == 0) (void)setpriority(PRIO_PROCESS, 0, before + level);
}

}  // namespace

bool is_enough_memory(const ResourceLimits& limits, const FixedMemory& fixed,
                      std::string* problem) {
  if (!can_have_minimum(limits, fixed, problem)) return false;
  if (limits.memory_bytes == 0) return true;
  const uint64_t least = taken(fixed) + kLeastForMonitor;
  if (limits.memory_bytes < least) {
    *problem = fmt::format(
        "--limit: memory={}M is too little: {}M of guest RAM, {}M for translated code{} and {}M "
        "for the monitor are {}M",
        limits.memory_bytes / kMiB, fixed.guest_ram / kMiB, fixed.translated_code / kMiB,
        fixed.has_network_process ? fmt::format(", {}M for the network", kForNetwork / kMiB) : "",
        kLeastForMonitor / kMiB, least / kMiB);
    return false;
  }
  return true;
}

NetworkMemoryLimit::NetworkMemoryLimit(const ResourceLimits& limits) {
  rlimit limit{};
  if (limits.memory_bytes == 0 || getrlimit(RLIMIT_DATA, &limit) != 0) return;
  before_ = limit.rlim_cur;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, kForNetwork);
  is_on_ = setrlimit(RLIMIT_DATA, &limit) == 0;
}

NetworkMemoryLimit::~NetworkMemoryLimit() {
  rlimit limit{};
  if (!is_on_ || getrlimit(RLIMIT_DATA, &limit) != 0) return;
  limit.rlim_cur = before_;
  (void)setrlimit(RLIMIT_DATA, &limit);
}

int nice_level_of(unsigned shares) {
  constexpr double kAll = 100, kStep = 1.25;
  constexpr int kHighest = 19;
  const double level = std::log(kAll / shares) / std::log(kStep);
  return std::clamp(static_cast<int>(std::lround(level)), 0, kHighest);
}

bool limit_processor(const ResourceLimits& limits, unsigned cpu_percent, std::string* problem) {
  const GroupLimits wanted{cpu_percent, limits.shares, limits.memory_min};
  const bool is_named = !limits.group.empty() && limits.group != kNoGroup;
  const bool is_wanted = limits.group != kNoGroup && (cpu_percent != 0 || limits.shares != 0);
  if (is_named || is_wanted) {
    const std::optional<DelegatedGroup> parent =
        is_named ? named_group(limits.group) : find_delegated_group();
    std::string reason;
    if (parent && enter_group_of_its_own(*parent, wanted, &reason)) return true;
    if (is_named) {
      *problem = "--limit: " + reason;
      return false;
    }
  }
  set_nice_level(limits.shares);
  return true;
}

// One that somebody else has set stays, if it is less.
bool limit_memory(const ResourceLimits& limits, const FixedMemory& fixed, std::string* problem) {
  if (limits.memory_bytes == 0) return true;
  rlimit limit{};
  if (getrlimit(RLIMIT_DATA, &limit) == 0) {
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, limits.memory_bytes - taken(fixed));
    limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_DATA, &limit) == 0) {
      note_memory_limit();
      return true;
    }
  }
  *problem = std::string("--limit: the host refuses a limit of memory: ") + std::strerror(errno);
  return false;
}

void limit_disks(const ResourceLimits& limits, Media* media) {
  if (limits.disk_rate == 0) return;
  const auto rate = std::make_shared<DiskRate>(limits.disk_rate, HostClock::monotonic);
  const auto limit = [&](std::shared_ptr<DiskBackend>* medium) {
    if (*medium != nullptr) *medium = std::make_shared<LimitedDisk>(std::move(*medium), rate);
  };
  for (std::shared_ptr<DiskBackend>& medium : media->slot) limit(&medium);
  for (std::shared_ptr<DiskBackend>& medium : media->virtio) limit(&medium);
}

}  // namespace ringshift
