#include "monitor/host/sandbox/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace ringshift {
namespace {

constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr uint32_t kVersionQuery = 1;
constexpr uint32_t kPathBeneath = 1;

struct RulesetAttributes {
  uint64_t files;
  uint64_t network;  // from version 4 on
  uint64_t scopes;   // from version 6 on
};

struct [[gnu::packed]] PathBeneath {
  uint64_t rights;
  int32_t parent;
};

// How many rights of files each version knows: they are numbered in the order of their invention.
constexpr std::array<unsigned, 6> kFileRights = {0, 13, 14, 15, 15, 16};
constexpr uint64_t kBindAndConnect = 3;
// Signals are not in the scope: that of a parent's death would not reach a child outside the rules,
// and the broker of files may be waiting for a FIFO when the monitor ends.
constexpr uint64_t kAbstractSockets = 1;
// The rights that can be allowed for a path that is not a folder.
constexpr uint64_t kRightsOfAFile = kLandlockWriteFile | kLandlockReadFile | kLandlockTruncate;

}  // namespace

int Landlock::version() {
  const long found = syscall(kCreateRuleset, nullptr, 0, kVersionQuery);
  return found > 0 ? static_cast<int>(found) : 0;
}

Landlock::Landlock(Tcp tcp) {
  const int known = version();
  if (known == 0) return;
  const auto row = std::min(static_cast<size_t>(known), kFileRights.size() - 1);
  handled_ = (uint64_t{1} << kFileRights[row]) - 1;
  const RulesetAttributes attributes{handled_,
                                     known >= 4 && tcp == Tcp::Forbidden ? kBindAndConnect : 0,
                                     known >= 6 ? kAbstractSockets : 0};
  const size_t size = known >= 6 ? 24 : known >= 4 ? 16 : 8;
  rules_ = static_cast<int>(syscall(kCreateRuleset, &attributes, size, 0));
}

Landlock::~Landlock() {
  if (rules_ >= 0) close(rules_);
}

void Landlock::allow(const std::string& path, uint64_t rights) {
  if (rules_ < 0) return;
  const int at = open(path.c_str(), O_PATH | O_CLOEXEC);
  struct stat status {};
  if (at < 0 || fstat(at, &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) rights &= kRightsOfAFile;
  const PathBeneath rule{rights & handled_, at};
  (void)syscall(kAddRule, rules_, kPathBeneath, &rule, 0);
  close(at);
}

bool Landlock::enforce() { return rules_ >= 0 && syscall(kRestrictSelf, rules_, 0) == 0; }

}  // namespace ringshift
