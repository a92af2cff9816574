// Machine, ninth part: as one of a pair. The guest's output is held, and a backup that plays the
// inputs of its primary's guest becomes the machine that the outside talks to. See
// docs/replication.md.
#include "monitor/host/host_signals.h"
#include "monitor/machine/machine.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void Machine::attach_replica() {
  Replica& replica = *config_.replica;
  replica.attach({.wake = [this] { attention().raise(); },
                  .look = [this] { processor_->events()->request_look(); },
                  .machine = this});
  attention().raise();  // one that has no backup begins to look for one
  replica.output().set_flush([this] { guest_ports_->flush(); });
  if (network_port_ == nullptr) return;
  replica.output().set_sink(HeldOutput::Network, [this](std::span<const uint8_t> frames) {
    network_port_->push(frames);
  });
}

void Machine::detach_replica() {
  Replica& replica = *config_.replica;
  replica.detach();
  replica.output().set_flush({});
  for (size_t port = 0; port < HeldOutput::kPorts; ++port) {
    replica.output().set_sink(static_cast<HeldOutput::Port>(port), {});
  }
}

SerialBackend* Machine::held(HeldOutput::Port port, SerialBackend* to) {
  if (config_.replica == nullptr || to == nullptr) return to;
  HeldOutput& output = config_.replica->output();
  output.set_sink(
      port,
      [to](std::span<const uint8_t> bytes) {
        for (const uint8_t byte : bytes) to->transmit(byte);
      },
      [this, port] { return guest_ports_->unsent(port); });
  return output.device_end(port);
}

void Machine::service_replica() {
  if (config_.replica == nullptr) return;
  Replica& replica = *config_.replica;
  replica.service();
  if (replica.wants_look()) processor_->events()->request_look();
  if (replica.problem().empty() || replica.is_replay() || !refused_.empty()) return;
  refused_ = replica.problem();
  processor_->loop().request_stop(StopReason::HostFailure);
}

bool Machine::must_stand_still() {
  return guest_ports_->is_unread() || (config_.replica != nullptr && config_.replica->is_full());
}

// True: more may have come for the guest here.
bool Machine::follow_primary(const TapePosition& here, bool after_timers) {
  if (processor_->loop().is_stopping()) return false;
  switch (config_.replica->turn(here, after_timers)) {
    case Replica::Turn::GoOn:
      return false;
    case Replica::Turn::GoLive:
      go_live();
      return false;
    case Replica::Turn::End:
      processor_->loop().request_stop(StopReason::Quit);
      return false;
    case Replica::Turn::Wait:
      break;
  }
  wait_for_news();
  return true;
}

void Machine::wait_for_news() {
  attention().sleep_until(nullptr);
  attention().take();
  attention().drain_wakeups();
  empty_inbox();
  service_replica();
}

// All steps from playing to living are here: is_replay() says no from now on, so inputs from
// outside are the guest's, and the clock waits for the host's.
void Machine::go_live() {
  HeldOutput& output = config_.replica->output();
  if (network_port_ != nullptr) network_port_->go_live(output.waiting_of(HeldOutput::Network));
  guest_ports_->go_live();
  while (guest_ports_->awaits_peer() && !processor_->loop().is_stopping()) wait_for_news();
  output.open();
  attention().raise();
}

// ---- one that is brought to a backup while it runs ----

// The state as a replay's moment has it, with the bytes that have come by sockets. The counts of
// events and of HLTs are the position's.
void Machine::visit_joined(StateArchive& archive) {
  visit_moment(archive);
  for (const uint8_t source :
       {GuestPorts::kSerialSocket, GuestPorts::kSecondSocket, GuestPorts::kVirtioSocket}) {
    archive.part("socket " + std::to_string(source), inlet_of(source));
  }
}

// Both sides begin with nothing cached, so that both set accessed bits anew.
void Machine::forget_memory() {
  processor_->note_memory_map_changed();
  processor_->note_state_changed();
}

bool Machine::take_moment(const std::function<bool()>& with_ram, std::vector<uint8_t>* state,
                          std::string* error) {
  // Damage is not to be handed on.
  if (base_guard_ != nullptr && !base_guard_->finish(error)) return false;
  forget_memory();
  const auto visit = [this](StateArchive& archive) { visit_joined(archive); };
  return with_ram() && StateArchive::save(visit, state, error);
}

bool Machine::load_moment(std::span<const uint8_t> state, const TapePosition& at,
                          std::string* error) {
  const auto visit = [this](StateArchive& archive) { visit_joined(archive); };
  if (!StateArchive::load(state, visit, error)) return false;
  const bool is_halted = processor_->state().activity == ActivityState::Halted;
  if (processor_->events()->counter().count() != at.events || is_halted != at.is_halted) {
    *error = "its state is of another position";
    return false;
  }
  clock_->rearm();
  // It waits at the next event for the primary's word.
  processor_->events()->restore({.count = at.events, .input_count = at.events, .halts = at.halts});
  forget_memory();
  return true;
}

bool Machine::is_ending() const { return HostSignals::termination_requested(); }

}  // namespace ringshift
