// Machine, sixth part: how it is cloned while it runs, and how a clone begins. See
// docs/saved-state.md, "Clones".
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "monitor/machine/machine.h"
#include "monitor/machine/media/snapshot.h"
#include "shadowmmu/base/host_files.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

bool refuse(const char* why, std::string* error) {
  *error = std::string("cannot clone: ") + why;
  return false;
}

}  // namespace

// ---- one that is cloned ----

bool Machine::can_be_cloned(bool freezes_disks, std::string* error) {
  if (migration_ != nullptr && migration_->is_handing_over()) {
    return refuse("the machine is on its way to another process", error);
  }
  if (is_arriving(error)) return false;
  if (config_.tape != nullptr) return refuse("it is recorded, or replayed", error);
  if (config_.media.was_changed) {
    return refuse("the drive has another CD-ROM than the command line says", error);
  }
  if (share_ != nullptr && share_->is_mounted()) {
    return refuse("the guest has the shared folder mounted; unmount it in the guest first", error);
  }
  // Damage is not to be handed on.
  if (base_guard_ != nullptr && !base_guard_->finish(error)) return false;
  return config_.media.can_freeze(freezes_disks, error);
}

// Nothing is flushed: the clone is on the same host, and sees the contents of its files.
bool Machine::take_state(const std::function<bool()>& with_ram, std::vector<uint8_t>* state,
                         std::string* error) {
  const bool stood = clock_->is_stopped();
  if (!stood) clock_->stop();
  const uint64_t stopped_at = clock_->time_stamp();
  bool has_frozen = false;
  const auto visit = [&](StateArchive& archive) { visit_state(archive, stopped_at); };
  const bool is_taken = with_ram() && config_.media.freeze(&has_frozen, error) &&
                        StateArchive::save(visit, state, error);
  // A machine that begins from this state, or from a file saved later, finds the images as they are
  // now.
  if (has_frozen) config_.save.words.emplace_back("--snapshot");
  if (stood) return is_taken;
  this->state().tsc_offset -= clock_->go_on();
  return is_taken;
}

int Machine::describe_clone(std::vector<uint8_t> state, const ClonedRam& ram, std::string* error) {
  Snapshot snapshot{.words = config_.save.words, .state = std::move(state), .ram = {}};
  snapshot.ram.bytes = ram.bytes;
  snapshot.ram.grain_bytes = ram.grain_bytes;
  for (const ClonedRam::Grain& grain : ram.grains) {
    snapshot.ram.grains.push_back({grain.number, grain.file});
  }
  for (const ClonedRam::File& file : ram.files) {
    snapshot.ram.elsewhere.push_back({static_cast<uint64_t>(file.descriptor), file.seal});
  }
  const std::vector<uint8_t> all = bytes_of_clone(snapshot);
  int descriptor = -1;
  HostResult result = create_sealable_memfd("ringshift-clone-state", all.size(), &descriptor);
  if (result.ok()) result = write_contents(descriptor, 0, all);
  if (result.ok()) result = seal_contents(descriptor);
  if (result.ok()) return descriptor;
  close_descriptor(descriptor);
  *error = "the host refuses memory for a clone: " + result.text();
  return -1;
}

// ---- sharing pages that have become equal ----

constexpr Nanoseconds kSharingPeriod = 100'000'000;

void Machine::prepare_sharing() {
  if (config_.share_pages_rate == 0) return;
  sharing_ = std::make_unique<PageSharing>(*physical_);
  sharing_timer_ = std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds) {
    is_sharing_due_ = true;
    wake_for_migration();
    sharing_timer_->arm(clock_->now() + kSharingPeriod);
  });
  sharing_timer_->arm(clock_->now() + kSharingPeriod);
}

// A machine that is cloned or moved has its grains whole meanwhile.
void Machine::share_pages() {
  constexpr int64_t kMostTime = 2'000'000;
  constexpr uint32_t kPeriodsInSecond = 1'000'000'000 / kSharingPeriod;
  const bool is_joining = config_.replica != nullptr && config_.replica->needs_grains();
  if (!std::exchange(is_sharing_due_, false) || clone_->is_busy() || is_joining) return;
  const uint32_t pages = std::max(config_.share_pages_rate / kPeriodsInSecond, 1U);
  sharing_->step(pages, HostClock::monotonic() + kMostTime);
}

// ---- one that begins ----

std::string path_of_cloned_ram(const std::string& clone, const SavedRam::Elsewhere& file) {
  return clone.substr(0, clone.rfind('/') + 1) + std::to_string(file.descriptor);
}

// RAM begins as the memfds of the process that the machine was cloned from. Nobody can change that
// any more.
bool Machine::begin_from_clone(const SavedRam& ram, std::string* error) {
  std::vector<RamBase> bases;
  *error = "saved machine: its RAM has another size";
  bool is_good = ram.bytes == memory_->size();
  const size_t grains = (ram.bytes + ram.grain_bytes - 1) / ram.grain_bytes;
  for (size_t i = 0; i < ram.elsewhere.size() && is_good; ++i) {
    const SavedRam::Elsewhere& file = ram.elsewhere[i];
    const std::string path = path_of_cloned_ram(config_.resume_path, file);
    const std::vector<int>& open = config_.resume_descriptors;
    const int descriptor = open.size() > i + 1 ? open[i + 1] : open_host_file(path, FileUse::Read);
    bases.push_back({.descriptor = descriptor,
                     .offset = FrozenCopy::kOffset,
                     .grain_pages = ram.grain_bytes / kPageSize,
                     .present = std::vector<bool>(grains),
                     .seal = file.seal});
    for (const SavedRam::Grain& grain : ram.grains) {
      if (grain.hash == i) bases.back().present[grain.number] = true;
    }
    is_good = descriptor >= 0 && FrozenCopy::is_one(descriptor, ram.bytes, file.seal);
    if (!is_good) *error = "saved machine: it is a clone, and its RAM is gone: " + path;
  }
  if (!is_good) {
    for (const RamBase& base : bases) close_descriptor(base.descriptor);
    return false;
  }
  RamBase first = std::move(bases.front());
  bases.erase(bases.begin());
  const HostResult result = memory_->take_base(std::move(first), std::move(bases));
  if (!result.ok()) *error = "saved machine: its RAM cannot be mapped: " + result.text();
  return result.ok();
}

}  // namespace ringshift
