// Machine, eighth part: a replay that goes back. A moment of it is the state of a saved machine,
// RAM, and state that a saved machine can do without: input on its way to the guest, the tape, the
// events. See docs/debugging-backwards.md.
#include "monitor/machine/machine.h"
#include "monitor/replay/input_tape.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

SerialBackend* Machine::shown_once(SerialBackend* to) {
  if (to == nullptr || !config_.goes_back) return to;
  return shown_once_.emplace_back(std::make_unique<ShownOnce>(*to)).get();
}

GuestPlace Machine::place() const { return GuestPlace::of(processor_->state(), tape_position()); }

// One that is about to take an interrupt sleeps no more.
bool Machine::is_halted() const {
  const ProcessorInterrupts interrupts{board_->interrupts(), apic_ ? &apic_->local() : nullptr};
  return processor_->state().activity == ActivityState::Halted && !interrupts.pending();
}

// The counts of an event clock are all that passes.
void Machine::visit_moment(StateArchive& archive) {
  visit_state(archive, clock_->time_stamp());
  archive.part("marks", *tape_timer_);
  archive.part("console", guest_ports_->console_inlet());
  archive.part("display", display_inlet_);
  archive.part("page", guest_ports_->inlet_of(GuestPorts::kPageConsole));
  if (network_ != nullptr) archive.part("network", *network_);
  if (share_ != nullptr) archive.part("share", *share_);
  archive.field("room", has_room_news_);
  if (remote_input_ != nullptr) archive.part("remote input", *remote_input_);
  if (text_display_ != nullptr) archive.part("text display", *text_display_);
  for (size_t i = 0; i < shown_once_.size(); ++i) {
    archive.part("printed " + std::to_string(i), *shown_once_[i]);
  }
  archive.field("debug exit", debug_exit_value_);
}

std::shared_ptr<const MachineMoment> Machine::keep_moment(const MachineMoment* like,
                                                          const PageCount& pages,
                                                          std::string* error) {
  auto moment = std::make_shared<MachineMoment>();
  const auto visit = [this](StateArchive& archive) { visit_moment(archive); };
  if (!StateArchive::save(visit, &moment->state, error)) return nullptr;
  moment->state.shrink_to_fit();
  moment->ram = RamImage(*memory_, like != nullptr ? &like->ram : nullptr, pages);
  moment->tape = config_.tape->place();
  moment->events = processor_->events()->moment();
  return moment;
}

bool Machine::go_to_moment(const MachineMoment& moment, std::string* error) {
  if (!config_.tape->go_back_to(moment.tape)) {
    *error = "the tape cannot be read again";
    return false;
  }
  const auto visit = [this](StateArchive& archive) { visit_moment(archive); };
  if (!StateArchive::load(moment.state, visit, error)) return false;
  moment.ram.restore(*memory_, [this](GuestPhysical page, std::span<const uint8_t> bytes) {
    physical_->write_ram(page.value(), bytes);
  });
  waiting_for_event_.clear();
  clock_->rearm();
  processor_->events()->restore(moment.events);
  processor_->note_memory_map_changed();
  processor_->note_state_changed();
  processor_->loop().withdraw_stop();
  refused_.clear();
  return true;
}

void Machine::fail(const std::string& problem) {
  refused_ = problem;
  processor_->loop().request_stop(StopReason::HostFailure);
}

void Machine::end(StopReason reason) { processor_->loop().request_stop(reason); }

}  // namespace ringshift
