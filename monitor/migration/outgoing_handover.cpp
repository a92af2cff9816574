// OutgoingMigration, second part: the guest stands, and the other side gets it. See
// docs/migration.md, "Who has the machine".
#include <cstdio>

#include "monitor/host/time/host_clock.h"
#include "monitor/migration/outgoing_migration.h"

namespace ringshift {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

}  // namespace

// The guest stands. The rest of RAM and the state go in one piece; with post-copy the rest goes
// once the other side runs it.
void OutgoingMigration::finish() {
  stopped_ = HostClock::monotonic();
  throttle_.reset();
  set_status(MigrationStatus::Device);
  std::vector<uint8_t> state;
  std::string error;
  if (!machine_.save_state(true, &state, &error)) {
    return give_up(MigrationStatus::Failed, error);
  }
  std::vector<MigrationSender::Grain> late;
  const MachinePages& pages = *ram().machine_pages();
  for (size_t i = 0; i < pages.grains(); ++i) {
    if (!pages.is_dirty(i)) continue;
    const auto number = static_cast<uint32_t>(i);
    const GuestPhysicalPage first(number * pages.grain_pages());
    const bool is_late = postcopy_after_.has_value() && first.address().value() >= kNeverLate;
    machine_.physical_memory().make_whole(i);
    const MigrationSender::Grain grain{number, ram().descriptor_of(first), ram().offset_of(first)};
    is_late ? late.push_back(grain) : sender_->give(grain);
  }
  step_ = Step::Finishing;
  if (pages.grains() > kMostLateGrains) {
    for (const MigrationSender::Grain& grain : std::exchange(late, {})) sender_->give(grain);
  }
  sender_->finish(std::move(state), machine_.is_guest_held() ? kMigratedStands : 0,
                  std::move(late));
}

// From here on the other side may run the machine, and nothing brings it back but its word, or its
// end.
void OutgoingMigration::commit() {
  std::string error;
  if (!machine_.release_media(&error)) return give_up(MigrationStatus::Failed, error);
  step_ = Step::Committing;
  sender_->commit();
}

// The machine runs there, and its missing grains are here.
void OutgoingMigration::begin_serving() {
  progress_.downtime_milliseconds = (HostClock::monotonic() - stopped_) / kMillisecond;
  step_ = Step::Serving;
  set_status(MigrationStatus::PostcopyActive);
}

void OutgoingMigration::lose(const std::string& problem) {
  (void)progress();
  step_ = Step::Idle;
  sender_.reset();
  progress_.problem = "post-copy: " + problem + ": the machine is whole on neither side";
  set_status(MigrationStatus::Failed);
  machine_.end_in_two(progress_.problem);
}

OutgoingMigration::~OutgoingMigration() {
  if (step_ != Step::Serving) return;
  if (sender_->phase() == MigrationSender::Phase::HandedOver) return;
  std::fprintf(stderr,
               "ringshift: migration to %s: this side ends before the other has all of memory: the "
               "machine there ends with it\n",
               where_.c_str());
}

void OutgoingMigration::complete() {
  (void)progress();
  if (step_ != Step::Serving) {
    progress_.downtime_milliseconds = (HostClock::monotonic() - stopped_) / kMillisecond;
  }
  progress_.remaining = 0;
  step_ = Step::Idle;
  sender_.reset();
  set_status(MigrationStatus::Completed);
  std::fprintf(stderr,
               "ringshift: the machine has moved to %s (%lld ms, of which the guest stood %lld)\n",
               where_.c_str(), static_cast<long long>(progress_.total_milliseconds),
               static_cast<long long>(progress_.downtime_milliseconds));
  machine_.end_migrated();
}

void OutgoingMigration::give_up(MigrationStatus status, const std::string& problem) {
  (void)progress();
  const bool stands = is_handing_over();
  const bool was_released = step_ == Step::Committing;
  step_ = Step::Idle;
  sender_.reset();  // the connection ends before the guest goes on
  throttle_.reset();
  ram().end_tracking();
  progress_.problem = problem;
  std::string error;
  if (was_released && status != MigrationStatus::Unknown && !machine_.retake_media(&error)) {
    status = MigrationStatus::Unknown;
    progress_.problem = problem + "; " + error;
  }
  set_status(status);
  if (status == MigrationStatus::Unknown) {
    std::fprintf(stderr,
                 "ringshift: migration to %s: %s; it is not known whether the machine runs there, "
                 "so it stands here: cont if it does not, else quit\n",
                 where_.c_str(), progress_.problem.c_str());
    return;
  }
  std::fprintf(stderr, "ringshift: migration to %s: %s; the machine goes on here\n", where_.c_str(),
               progress_.problem.c_str());
  if (stands) machine_.let_go();
}

}  // namespace ringshift
