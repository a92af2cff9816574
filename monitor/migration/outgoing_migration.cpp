#include "monitor/migration/outgoing_migration.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/host_connection.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// Small grains send fewer unchanged bytes, and fault more often; more of them than that take too
// many of the host's mappings (docs/decisions/0017-machine-memory.md).
constexpr uint32_t kSmallestGrain = 64 * 1024;
constexpr uint64_t kMostGrains = 4096;
constexpr int64_t kMillisecond = 1'000'000, kSecond = 1'000'000'000;
constexpr const char* kDescriptorPrefix = "fd:";

uint32_t grain_for(uint64_t ram_bytes) {
  uint32_t grain = kSmallestGrain;
  while (ram_bytes / grain > kMostGrains) grain *= 2;
  return grain;
}

bool fail(std::string why, std::string* error) {
  *error = std::move(why);
  return false;
}

int descriptor_named(const std::string& where) {
  int number = -1;
  const char* const end = where.data() + where.size();
  const auto result = std::from_chars(where.data() + std::strlen(kDescriptorPrefix), end, number);
  return result.ec == std::errc() && result.ptr == end ? number : -1;
}

}  // namespace

void OutgoingMigration::set_status(MigrationStatus status) {
  constexpr size_t kMostNews = 16;
  progress_.status = status;
  if (news_.size() < kMostNews) news_.push_back(status);
}

// A socket that is connected or being so. -1 with one line in *error.
int OutgoingMigration::connect(const std::string& where, std::string* error) const {
  const auto& allowed = peers_.allowed;
  int made = -1;
  if (std::find(allowed.begin(), allowed.end(), where) == allowed.end()) {
    *error = allowed.empty() ? "nobody is named to whom the machine may be moved (--migrate-to)"
                             : "this is not among those named by --migrate-to";
    return -1;
  }
  if (where.starts_with(kDescriptorPrefix)) {
    made = fcntl(descriptor_named(where), F_DUPFD_CLOEXEC, 0);
    if (made >= 0) (void)fcntl(made, F_SETFL, O_RDWR | O_NONBLOCK);
  } else {
    made = open_host_file(where, FileUse::Connect);
  }
  if (made < 0) *error = "cannot connect to " + where + ": " + std::strerror(errno);
  return made;
}

bool OutgoingMigration::begin(const std::string& where, std::optional<uint32_t> postcopy_after,
                              std::string* error) {
  if (step_ != Step::Idle) return fail("a migration is under way", error);
  if (progress_.status == MigrationStatus::Unknown) {
    return fail("it is not known whether the machine runs somewhere else", error);
  }
  MigrationSetup setup;
  if (!machine_.save_state(false, &setup.rehearsal, error)) return false;
  setup.socket = connect(where, error);
  if (setup.socket < 0) return false;
  ram().track_writes(grain_for(ram().size()) / kPageSize);
  setup.key = peers_.key;
  setup.ram_bytes = ram().size();
  setup.grain_bytes = ram().machine_pages()->grain_pages() * kPageSize;
  setup.bandwidth = limits_.bandwidth;
  setup.on_news = [this] { machine_.wake_for_migration(); };
  progress_ = {};
  progress_.total = ram().size();
  progress_.grain_bytes = setup.grain_bytes;
  state_bytes_ = setup.rehearsal.size();
  where_ = where;
  postcopy_after_ = postcopy_after;
  next_grain_ = 0;
  expected_before_ = 0;
  began_ = HostClock::monotonic();
  try {
    sender_ = std::make_unique<MigrationSender>(std::move(setup));
  } catch (const std::system_error& refused) {
    ram().end_tracking();
    return fail(std::string("the host refuses a thread: ") + refused.what(), error);
  }
  step_ = Step::Asking;
  set_status(MigrationStatus::Setup);
  return true;
}

bool OutgoingMigration::cancel(std::string* error) {
  if (step_ == Step::Idle) return fail("no migration is under way", error);
  if (step_ >= Step::Committing) {
    return fail("it is too late: the other side has been told to run the machine", error);
  }
  give_up(MigrationStatus::Cancelled, "cancelled");
  return true;
}

bool OutgoingMigration::start_postcopy(std::string* error) {
  if (step_ != Step::Asking && step_ != Step::Copying) {
    return fail("no migration is under way whose guest runs", error);
  }
  postcopy_after_ = 0;
  machine_.wake_for_migration();
  return true;
}

bool OutgoingMigration::set_limits(const MigrationLimits& limits, std::string* error) {
  const bool is_slow = limits.bandwidth != 0 && limits.bandwidth < MigrationLimits::kLeastBandwidth;
  if (is_slow || limits.bandwidth > MigrationLimits::kMostBandwidth) {
    return fail("max-bandwidth is 0 (no limit), or 65536 bytes a second or more", error);
  }
  if (limits.downtime > MigrationLimits::kMostDowntime) {
    return fail("downtime-limit is 2000 milliseconds at the most", error);
  }
  limits_ = limits;
  if (sender_ != nullptr) sender_->set_bandwidth(limits.bandwidth);
  return true;
}

uint64_t OutgoingMigration::dirty_bytes() const {
  const MachinePages* pages = machine_.physical_memory().ram().machine_pages();
  if (pages == nullptr || !pages->is_tracking()) return 0;
  uint64_t grains = 0;
  for (size_t i = 0; i < pages->grains(); ++i) grains += pages->is_dirty(i) ? 1 : 0;
  return grains * progress_.grain_bytes;
}

MigrationProgress OutgoingMigration::progress() {
  if (sender_ == nullptr) return progress_;
  const MigrationSender::Figures figures = sender_->figures();
  progress_.sent = figures.bytes;
  progress_.zero_grains = figures.zero_grains;
  progress_.data_grains = figures.data_grains;
  const size_t waiting = step_ == Step::Serving ? figures.late : figures.waiting;
  progress_.remaining = waiting * progress_.grain_bytes;
  if (step_ != Step::Serving) progress_.remaining += dirty_bytes();
  progress_.wanted_grains = figures.wanted;
  progress_.total_milliseconds = (HostClock::monotonic() - began_) / kMillisecond;
  return progress_;
}

void OutgoingMigration::service() {
  if (step_ == Step::Idle) return;
  const MigrationSender::Phase phase = sender_->phase();
  if (phase == MigrationSender::Phase::Failed) {
    return give_up(MigrationStatus::Failed, sender_->problem());
  }
  if (phase == MigrationSender::Phase::Unknown) {
    return give_up(MigrationStatus::Unknown, sender_->problem());
  }
  if (phase == MigrationSender::Phase::InTwo) return lose(sender_->problem());
  switch (step_) {
    case Step::Idle:
      return;
    case Step::Asking:
      if (phase != MigrationSender::Phase::Sending) return;
      step_ = Step::Copying;
      round_began_ = HostClock::monotonic();
      round_bytes_ = 0;
      progress_.rounds = 1;
      progress_.setup_milliseconds = (round_began_ - began_) / kMillisecond;
      set_status(MigrationStatus::Active);
      return copy_some();
    case Step::Copying:
      return copy_some();
    case Step::Stopping:
      if (machine_.does_clock_stand()) finish();
      return;
    case Step::Finishing:
      if (phase == MigrationSender::Phase::Ready) commit();
      return;
    case Step::Committing:
      if (phase == MigrationSender::Phase::Serving) begin_serving();
      if (phase == MigrationSender::Phase::HandedOver) complete();
      return;
    case Step::Serving:
      if (phase == MigrationSender::Phase::HandedOver) complete();
      return;
  }
}

// As many as the sender takes, and no more: a step is bounded by its queue. From the moment that a
// grain is clean its next write is seen, and it is sent again.
void OutgoingMigration::copy_some() {
  if (postcopy_after_ && progress_.rounds > *postcopy_after_) return stop_guest();
  const MachinePages& pages = *ram().machine_pages();
  size_t room = sender_->room();
  while (room > 0) {
    while (next_grain_ < pages.grains() && !pages.is_dirty(next_grain_)) ++next_grain_;
    if (next_grain_ == pages.grains()) return end_round();
    const GuestPhysicalPage page(static_cast<uint32_t>(next_grain_ * pages.grain_pages()));
    size_t count = 1;
    machine_.physical_memory().make_whole(next_grain_);
    const auto goes_on = [&](size_t grain) {
      if (grain >= pages.grains() || !pages.is_dirty(grain)) return false;
      machine_.physical_memory().make_whole(grain);
      const GuestPhysicalPage next(static_cast<uint32_t>(grain * pages.grain_pages()));
      return pages.backing(next) == pages.backing(page);
    };
    while (count < room && goes_on(next_grain_ + count)) ++count;
    machine_.physical_memory().make_clean(next_grain_, count);
    for (size_t i = 0; i < count; ++i) {
      const auto number = static_cast<uint32_t>(next_grain_ + i);
      const GuestPhysicalPage first(number * pages.grain_pages());
      sender_->give({number, ram().descriptor_of(first), ram().offset_of(first)});
    }
    next_grain_ += count;
    room -= count;
  }
}

// All of RAM has been looked at once more. Is the rest little enough to stop the guest for it?
void OutgoingMigration::end_round() {
  constexpr int64_t kShortest = 5 * kMillisecond;
  const MigrationSender::Figures figures = sender_->figures();
  const int64_t now = HostClock::monotonic(), took = now - round_began_;
  const uint64_t dirty = dirty_bytes();
  const uint64_t rest = dirty + figures.waiting * progress_.grain_bytes + state_bytes_;
  if (took >= kShortest || progress_.bandwidth == 0) {
    const double seconds = static_cast<double>(std::max(took, kMillisecond)) / kSecond;
    progress_.dirty_rate = static_cast<uint64_t>(static_cast<double>(dirty) / seconds);
    const auto rate =
        static_cast<uint64_t>(static_cast<double>(figures.bytes - round_bytes_) / seconds);
    progress_.bandwidth = std::max(progress_.bandwidth / 2, rate);
  }
  const uint64_t rate = std::max(progress_.bandwidth, MigrationLimits::kLeastBandwidth);
  const uint64_t expected = rest * 1000 / rate;
  progress_.downtime_milliseconds = static_cast<int64_t>(expected);
  const bool is_all_there = dirty == 0 && figures.waiting == 0;
  if (expected <= limits_.downtime || is_all_there) {
    postcopy_after_.reset();
    return stop_guest();
  }
  if (figures.waiting != 0) return;  // more pages will be dirty before the wire is free
  constexpr uint32_t kPatientRounds = 2;
  if (progress_.rounds > kPatientRounds && expected * 4 > expected_before_ * 3) slow_down();
  expected_before_ = expected;
  ++progress_.rounds;
  round_began_ = now;
  round_bytes_ = figures.bytes;
  next_grain_ = 0;
  machine_.wake_for_migration();
}

void OutgoingMigration::stop_guest() {
  if (!machine_.hold_guest()) return give_up(MigrationStatus::Failed, "nobody can stop the guest");
  step_ = Step::Stopping;
  machine_.wake_for_migration();
}

// It writes faster than the rest becomes small: it gets less of its time, in small parts.
void OutgoingMigration::slow_down() {
  constexpr uint32_t kFirst = 30, kMore = 15, kMost = 90;
  constexpr Nanoseconds kPeriod = 5 * kMillisecond;
  progress_.throttle =
      progress_.throttle == 0 ? kFirst : std::min(progress_.throttle + kMore, kMost);
  if (throttle_) return;
  throttle_.emplace(clock_, [this](Nanoseconds) {
    if (step_ != Step::Copying) return;
    machine_.stand_still(kPeriod * progress_.throttle / (100 - progress_.throttle));
    throttle_->arm(clock_.now() + kPeriod);
  });
  throttle_->arm(clock_.now() + kPeriod);
}

}  // namespace ringshift
