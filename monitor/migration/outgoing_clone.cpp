#include "monitor/migration/outgoing_clone.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "monitor/host/time/host_clock.h"

namespace ringshift {
namespace {

constexpr int64_t kMicrosecond = 1'000, kMillisecond = 1'000'000;
// The time of one step, in nanoseconds; then the guest goes on.
constexpr int64_t kStepTime = kMillisecond;
constexpr size_t kMostOfRun = 64;

}  // namespace

const char* clone_status_name(CloneStatus status) {
  constexpr const char* kNames[] = {"none", "preparing", "copying", "ready", "failed"};
  return kNames[static_cast<size_t>(status)];
}

OutgoingClone::~OutgoingClone() {
  close_descriptor(description_);
  close_descriptor(kept_copy_);
}

void OutgoingClone::fail(const std::string& problem) {
  step_ = Step::Idle;
  copy_.reset();
  state_ = {};
  progress_.status = CloneStatus::Failed;
  progress_.problem = problem;
}

void OutgoingClone::give_up_last() {
  close_descriptor(std::exchange(description_, -1));
  close_descriptor(std::exchange(kept_copy_, -1));
  ram().drop_unused_bases();
}

bool OutgoingClone::begin(bool freezes_disks, std::string* error) {
  if (step_ != Step::Idle) {
    *error = "a clone is being made";
    return false;
  }
  if (!machine_.can_be_cloned(freezes_disks, error)) return false;
  freezer_.emplace(machine_.physical_memory());
  give_up_last();
  progress_ = {};
  progress_.status = CloneStatus::Preparing;
  began_ = HostClock::monotonic();
  step_ = Step::Freezing;
  machine_.wake_for_migration();
  return true;
}

CloneProgress OutgoingClone::progress() const {
  CloneProgress now = progress_;
  if (copy_ != nullptr) {
    now.copied = copy_->figures().bytes;
    now.grains_by_writes = copy_->figures().grains_by_writes;
  }
  return now;
}

void OutgoingClone::service() {
  switch (step_) {
    case Step::Idle:
      return;
    case Step::Freezing:
      return freeze_some();
    case Step::Copying:
      if (copy_->phase() == FrozenCopy::Phase::Failed) {
        return fail("the host has no memory for a clone, or a base cannot be read");
      }
      if (copy_->phase() == FrozenCopy::Phase::Done) finish_copy();
      return;
    case Step::Sharing:
      return share_some();
  }
}

// Grains that the guest writes again meanwhile are frozen at the moment itself, which so is short.
void OutgoingClone::freeze_some() {
  if (!freezer_->freeze_some()) return machine_.wake_for_migration();
  take_moment();
}

void OutgoingClone::note_sealed() {
  const MachinePages& pages = *ram().machine_pages();
  sealed_.assign(grains(), {});
  for (size_t i = 0; i < grains(); ++i) {
    const GuestPhysicalPage page(static_cast<uint32_t>(i * pages.grain_pages()));
    if (pages.backing(page) != Backing::Base || pages.seal_of(page) == 0) continue;
    sealed_[i] = {pages.descriptor_of(page), pages.seal_of(page)};
  }
}

void OutgoingClone::take_moment() {
  std::string error;
  const int64_t stopped = HostClock::monotonic();
  const auto freeze_rest = [&] {
    freezer_->freeze_rest();
    const bool has_room = ram().machine_pages()->has_room_for_base();
    const auto scope = has_room ? FrozenCopy::Scope::AllButSealed : FrozenCopy::Scope::All;
    if (has_room)
      note_sealed();
    else
      sealed_.assign(grains(), {});
    copy_ = FrozenCopy::begin(
        ram(), scope, FrozenCopy::new_seal(), [this] { machine_.wake_for_migration(); }, &error);
    return copy_ != nullptr;
  };
  if (!machine_.take_state(freeze_rest, &state_, &error)) return fail(error);
  progress_.pause_microseconds = (HostClock::monotonic() - stopped) / kMicrosecond;
  progress_.status = CloneStatus::Copying;
  step_ = Step::Copying;
}

ClonedRam OutgoingClone::layout(const RamBase& copied) const {
  ClonedRam all{.bytes = ram().size(),
                .grain_bytes = copied.grain_pages * kPageSize,
                .files = {{copied.descriptor, copied.seal}},
                .grains = {}};
  for (size_t i = 0; i < grains(); ++i) {
    if (copied.present[i]) all.grains.push_back({i, 0});
    if (sealed_[i].seal == 0) continue;
    const auto is_same = [&](const ClonedRam::File& file) { return file.seal == sealed_[i].seal; };
    auto found = std::find_if(all.files.begin(), all.files.end(), is_same);
    if (found == all.files.end()) found = all.files.insert(found, sealed_[i]);
    all.grains.push_back({i, static_cast<uint64_t>(found - all.files.begin())});
  }
  return all;
}

// From here on clones can be made.
void OutgoingClone::finish_copy() {
  RamBase base = copy_->take();
  const ClonedRam all = layout(base);
  std::string error;
  description_ = machine_.describe_clone(std::exchange(state_, {}), all, &error);
  if (description_ < 0) {
    close_descriptor(base.descriptor);
    return fail(error);
  }
  progress_.status = CloneStatus::Ready;
  progress_.file = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(description_);
  progress_.total_milliseconds = (HostClock::monotonic() - began_) / kMillisecond;
  progress_.referred = static_cast<uint64_t>(std::count_if(
                           all.grains.begin(), all.grains.end(),
                           [](const ClonedRam::Grain& grain) { return grain.file != 0; })) *
                       all.grain_bytes;
  step_ = Step::Sharing;
  next_grain_ = 0;
  if (ram().machine_pages()->has_room_for_base()) {
    ram().add_base(std::move(base));
  } else {
    kept_copy_ = base.descriptor;
    next_grain_ = grains();
  }
  machine_.wake_for_migration();
}

// A grain that has not been written since belongs to the copy from now on: RAM is there once, for
// all machines.
void OutgoingClone::share_some() {
  const int64_t until = HostClock::monotonic() + kStepTime;
  const auto is_free = [&](size_t grain) {
    const MachinePages& pages = *ram().machine_pages();
    const GuestPhysicalPage page(static_cast<uint32_t>(grain * pages.grain_pages()));
    return copy_->is_untouched(grain) && pages.backing(page) == Backing::Clean;
  };
  while (next_grain_ < grains()) {
    size_t count = 0;
    while (count < kMostOfRun && next_grain_ + count < grains() && is_free(next_grain_ + count)) {
      ++count;
    }
    if (count != 0) {
      machine_.physical_memory().move_to_base(next_grain_, count);
      progress_.shared += count * ram().machine_pages()->grain_pages() * kPageSize;
    }
    next_grain_ += std::max<size_t>(count, 1);
    if (HostClock::monotonic() < until) continue;
    machine_.wake_for_migration();
    return;
  }
  progress_ = progress();
  copy_.reset();
  step_ = Step::Idle;
}

}  // namespace ringshift
