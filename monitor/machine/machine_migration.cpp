// Machine, fourth part: how it moves to another process, and how one arrives. See
// docs/migration.md.
#include <poll.h>
#include <x86intrin.h>

#include <cstdio>

#include "devices/host/host_random.h"
#include "monitor/host/host_signals.h"
#include "monitor/machine/machine.h"
#include "monitor/migration/greeting/migration_key.h"
#include "monitor/migration/migration_listener.h"
#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

// ---- one that leaves ----

bool Machine::save_state(bool with_media, std::vector<uint8_t>* state, std::string* error) {
  if (is_arriving(error)) return false;
  // Damage is not to be given hashes that are right.
  if (base_guard_ != nullptr && !base_guard_->finish(error)) return false;
  if (config_.media.was_changed) {
    *error = "the drive has another CD-ROM than the command line says";
    return false;
  }
  if (with_media && !config_.media.flush()) {
    *error = "a disk image cannot be written";
    return false;
  }
  const auto save_at = [&](uint64_t host_time_stamp) {
    const auto visit = [&](StateArchive& archive) {
      visit_state(archive, host_time_stamp, with_media ? Visited::All : Visited::AllButMedia);
    };
    return StateArchive::save(visit, state, error);
  };
  if (clock_->is_stopped()) return save_at(clock_->time_stamp());
  clock_->stop();
  const bool is_saved = save_at(clock_->time_stamp());
  this->state().tsc_offset -= clock_->go_on();
  return is_saved;
}

bool Machine::hold_guest() {
  if (config_.control == nullptr) return false;
  was_held_ = config_.control->is_held();
  config_.control->hold();
  return true;
}

void Machine::let_go() {
  if (!was_held_) config_.control->release();
}

// Inputs that came while the machine was leaving are taken in now that it has stayed.
void Machine::take_in_deferred() {
  for (HostInput& input : std::exchange(deferred_, {})) inbox_.put(std::move(input));
}

bool Machine::release_media(std::string* error) { return config_.media.set_in_use(false, error); }

bool Machine::retake_media(std::string* error) { return config_.media.set_in_use(true, error); }

// In whole milliseconds. A signal ends it early.
void Machine::stand_still(Nanoseconds time) {
  constexpr Nanoseconds kMillisecond = 1'000'000;
  (void)poll(nullptr, 0, static_cast<int>(time / kMillisecond));
}

void Machine::end_in_two(const std::string& problem) {
  refused_ = problem;
  processor_->loop().request_stop(StopReason::InTwo);
}

void Machine::end_migrated() { processor_->loop().request_stop(StopReason::Migrated); }

void Machine::wake_for_migration() { inbox_.put({HostInput::Kind::Migration, 0, {}}); }

// The state is on its way, and RAM with it: everything that would change either waits.
bool Machine::defer(const HostInput& input) {
  if (input.kind == HostInput::Kind::Save && is_arriving()) {
    deferred_.push_back(input);
    return true;
  }
  if (migration_ == nullptr || !migration_->is_handing_over()) return false;
  switch (input.kind) {
    case HostInput::Kind::Save:
    case HostInput::Kind::Reset:
    case HostInput::Kind::PowerButton:
    case HostInput::Kind::NetworkRoom:
    case HostInput::Kind::NetworkLink:
    case HostInput::Kind::NetworkFrames:
      deferred_.push_back(input);
      return true;
    default:
      return false;
  }
}

// ---- one that arrives ----

bool Machine::load_state(std::span<const uint8_t> state, bool with_media, std::string* error) {
  clock_->stop();
  const uint64_t now = clock_->time_stamp();
  const auto visit = [&](StateArchive& archive) {
    visit_state(archive, now, with_media ? Visited::All : Visited::AllButMedia);
  };
  const bool is_loaded = StateArchive::load(state, visit, error);
  this->state().tsc_offset -= clock_->go_on();
  return is_loaded;
}

bool Machine::expect_late(const LateGrainsSetup& setup, std::string* error) {
  late_ = std::make_unique<LateGrains>(*memory_, setup, [this] { wake_for_migration(); });
  return late_->begin(error);
}

bool Machine::is_arriving(std::string* error) const {
  const bool is = late_ != nullptr && !late_->is_over();
  if (is && error != nullptr) *error = "not all of the machine's memory has arrived yet";
  return is;
}

void Machine::take_in_late() {
  if (late_ == nullptr) return;
  late_->service(*physical_);
  const std::string problem = late_->is_over() ? "" : late_->problem();
  if (!problem.empty()) end_in_two(problem);
}

// Waits until a peer brings a machine. Strangers cost a line each, and no more.
bool Machine::arrive(std::string* error) {
  std::fprintf(stderr, "ringshift: --incoming: waits at %s\n", config_.incoming->where().c_str());
  while (true) {
    const int socket = config_.incoming->wait(error);
    if (socket < 0) return false;
    auto stream = std::make_unique<SocketStream>(
        socket, [] { return !HostSignals::termination_requested(); });
    MigrationNonce nonce{};
    HostRandom().fill(nonce);
    IncomingMigration incoming(*stream, *this, config_.migration.key, nonce);
    switch (incoming.receive()) {
      case IncomingMigration::Outcome::Arrived:
        std::fprintf(stderr, "ringshift: the machine has arrived%s\n",
                     incoming.is_late() ? "; part of its memory comes while it runs" : "");
        stands_on_arrival_ = incoming.stands();
        if (incoming.is_late()) late_->start(std::move(stream), incoming.take_messages());
        config_.incoming->close();
        return true;
      case IncomingMigration::Outcome::Failed:
        *error = "--incoming: " + incoming.problem();
        return false;
      case IncomingMigration::Outcome::TurnedAway:
        std::fprintf(stderr, "ringshift: --incoming: turned away: %s\n",
                     incoming.problem().c_str());
        break;
    }
  }
}

}  // namespace ringshift
