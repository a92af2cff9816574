// Machine, second part: how it is saved, and how a saved one goes on. See docs/saved-state.md.
#include <fcntl.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "monitor/cpu/processor_state.h"
#include "monitor/host/lost_memory.h"
#include "monitor/machine/machine.h"
#include "monitor/machine/media/snapshot.h"
#include "shadowmmu/base/open_file.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
// Clock first: timers are armed again relative to its time.
void Machine::visit_state(StateArchive& archive, uint64_t host_time_stamp, Visited what) {
  VirtualClock& clock = *clock_;
  ProcessorState processor{.registers = state(),
                           .memory_types = processor_->cpu().memory_types,
                           .model = processor_->cpu().model,
                           .host_time_stamp = host_time_stamp};
  archive.part("clock", clock);
  archive.part("board", *board_);
  if (apic_ != nullptr) archive.part("apics", *apic_);
  archive.part("firmware configuration", *fw_cfg_);
  if (pci_ != nullptr) archive.part("pci", *pci_);
  archive.part("added devices", *added_devices_);
  if (what == Visited::All) archive.part("media", config_.media);
  archive.part("keys", *keys_);
  archive.part("processor", processor);
  visit_paravirt(archive, host_time_stamp);
}

bool Machine::save(const std::string& path, std::string* error) {
  if (is_arriving(error)) return false;
  // Damage is not to be given a hash that is right.
  if (base_guard_ != nullptr && !base_guard_->finish(error)) return false;
  // A guest that stands anyway: both do so already.
  if (clock_->is_stopped()) return write_to(path, clock_->time_stamp(), error);
  // The guest's clock and its time-stamp counter stand still for the same time.
  clock_->stop();
  const bool saved = write_to(path, clock_->time_stamp(), error);
  state().tsc_offset -= clock_->go_on();
  return saved;
}

bool Machine::write_to(const std::string& path, uint64_t host_time_stamp, std::string* error) {
  Snapshot snapshot{.words = config_.save.words, .state = {}, .ram = {}};
  const auto visit = [this, host_time_stamp](StateArchive& archive) {
    visit_state(archive, host_time_stamp);
  };
  if (config_.media.was_changed) {
    *error = "cannot save: the drive has another CD-ROM than the command line says";
    return false;
  }
  if (share_ != nullptr && share_->is_mounted()) {
    *error =
        "cannot save: the guest has the shared folder mounted, and what it has open there is "
        "the server's; unmount it in the guest first";
    return false;
  }
  if (!config_.media.flush()) {
    *error = "cannot save: a disk image cannot be written";
    return false;
  }
  if (!StateArchive::save(visit, &snapshot.state, error)) return false;
  const OpenFile file(path + kPartSuffix, FileUse::Replace);
  if (!file.is_open()) {
    *error = "cannot write " + path + kPartSuffix + ": " + std::strerror(errno);
    return false;
  }
  if (!write_snapshot(file.descriptor(), snapshot, *memory_, error)) return false;
  if (take_place(path)) return true;
  *error = "cannot put " + path + " in place: " + std::strerror(errno);
  return false;
}

bool Machine::resume(std::string* error) {
  std::vector<int>& open = config_.resume_descriptors;
  OpenFile file = open.empty() ? OpenFile(config_.resume_path, FileUse::Read) : OpenFile(open[0]);
  if (!file.is_open()) {
    *error = "cannot read " + config_.resume_path + ": " + std::strerror(errno);
    return false;
  }
  Snapshot snapshot;
  if (!read_snapshot(file.descriptor(), &snapshot, error)) return false;
  const bool has_begun = snapshot.ram.elsewhere.empty()
                             ? begin_from(snapshot.ram, file.give(), error)
                             : begin_from_clone(snapshot.ram, error);
  if (!has_begun) return false;
  // Both go on from the same instant, however long loading takes.
  clock_->stop();
  const uint64_t now = clock_->time_stamp();
  const auto visit = [this, now](StateArchive& archive) { visit_state(archive, now); };
  const bool is_loaded = StateArchive::load(snapshot.state, visit, error);
  state().tsc_offset -= clock_->go_on();
  return is_loaded;
}

// RAM begins as the file's.
bool Machine::begin_from(const SavedRam& ram, int descriptor, std::string* error) {
  RamBase base = base_of(ram, descriptor);
  if (ram.bytes != memory_->size()) {
    ::close(descriptor);
    *error = "saved machine: its RAM has another size";
    return false;
  }
  note_ram_file(descriptor, ram.end());
  base_guard_ = std::make_unique<BaseGuard>(descriptor, ram, [this] {
    inbox_.put({HostInput::Kind::RamFile, 0, {}});
  });
  if (const HostResult result = memory_->take_base(std::move(base)); !result.ok()) {
    *error = "saved machine: its RAM cannot be mapped: " + result.text();
    return false;
  }
  return base_guard_->begin(config_.verify_ram, error);
}

// Its end counts only if the file that RAM began as was whole.
void Machine::finish_base(MachineOutcome* outcome) {
  const bool has_failed =
      outcome->reason == StopReason::Quit || outcome->reason == StopReason::HostFailure;
  if (base_guard_ == nullptr || has_failed || base_guard_->finish(&outcome->message)) return;
  outcome->reason = base_guard_->problem().empty() ? StopReason::Quit : StopReason::HostFailure;
}

void Machine::prepare_saving() {
  if (config_.save.path.empty()) return;
  if (config_.save.after == 0) return;
  save_timer_ = std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds) {
    inbox_.put({HostInput::Kind::Save, 0, {}});
  });
  save_timer_->arm(clock_->now() + config_.save.after);
}

// A machine that cannot be saved goes on: nothing is lost.
void Machine::save_as_asked() {
  if (config_.save.path.empty()) return;
  std::string error;
  if (!save(config_.save.path, &error)) {
    std::fprintf(stderr, "ringshift: %s; the machine goes on\n", error.c_str());
    return;
  }
  std::fprintf(stderr, "ringshift: saved to %s\n", config_.save.path.c_str());
  if (!config_.save.then_run) processor_->loop().request_stop(StopReason::Saved);
}

}  // namespace ringshift
