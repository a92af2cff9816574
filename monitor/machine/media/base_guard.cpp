#include "monitor/machine/media/base_guard.h"

#include <poll.h>

#include <chrono>

#include "monitor/host/host_signals.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

constexpr const char* kEndAsked = "saved machine: the end was asked for before all was compared";

}  // namespace

BaseGuard::BaseGuard(int descriptor, SavedRam ram, std::function<void()> on_problem)
    : descriptor_(descriptor), ram_(std::move(ram)), on_problem_(std::move(on_problem)) {
  (void)describe_descriptor(descriptor_, &before_);
}

bool BaseGuard::begin(VerifyRam when, std::string* error) {
  if (when == VerifyRam::First && !compare_all()) {
    const std::string found = problem();
    *error = found.empty() ? kEndAsked : found;
    return false;
  }
  if (when != VerifyRam::Later) note(true, {});
  thread_.start("saved-ram", [this, when] { watch(when == VerifyRam::Later); });
  return true;
}

// False: a problem has been noted, or nobody wants to know any more.
bool BaseGuard::compare_all() {
  for (size_t i = 0; i < ram_.grains.size(); ++i) {
    if (thread_.is_stopping() || HostSignals::termination_requested()) return false;
    std::string problem;
    if (verify_grain(descriptor_, ram_, i, &problem)) continue;
    note(false, std::move(problem));
    return false;
  }
  return true;
}

// Names of a file may come and go; its bytes may not. A process that writes to the file changes its
// time.
bool BaseGuard::is_as_it_was() const {
  struct stat now {};
  return describe_descriptor(descriptor_, &now) && now.st_size == before_.st_size &&
         now.st_mtim.tv_sec == before_.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == before_.st_mtim.tv_nsec;
}

void BaseGuard::watch(bool verify) {
  constexpr int kMillisecondsBetween = 1000;
  if (verify) {
    if (!compare_all()) {
      if (!problem().empty()) on_problem_();
      return;
    }
    note(true, {});
  }
  while (!thread_.is_stopping()) {
    if (!is_as_it_was()) {
      note(true, "saved machine: its file was changed while the machine ran from it");
      return on_problem_();
    }
    pollfd wake{thread_.wake_descriptor(), POLLIN, 0};
    if (poll(&wake, 1, kMillisecondsBetween) > 0) thread_.take_wake();
  }
}

void BaseGuard::note(bool is_compared, std::string problem) {
  const std::lock_guard lock(mutex_);
  is_compared_ = is_compared;
  problem_ = std::move(problem);
  noted_.notify_all();
}

std::string BaseGuard::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

bool BaseGuard::finish(std::string* error) {
  constexpr std::chrono::milliseconds kBetweenLooks(20);
  std::unique_lock lock(mutex_);
  while (!is_compared_ && problem_.empty()) {
    if (HostSignals::termination_requested()) {
      *error = kEndAsked;
      return false;
    }
    noted_.wait_for(lock, kBetweenLooks);
  }
  if (problem_.empty() && !is_as_it_was()) {
    problem_ = "saved machine: its file was changed while the machine ran from it";
  }
  *error = problem_;
  return problem_.empty();
}

}  // namespace ringshift
