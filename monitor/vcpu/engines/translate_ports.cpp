// TranslateEngine, another part: instructions that reach a device, and most often change nothing
// but that.
#include "monitor/vcpu/engines/translate_engine.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

void store_low(uint32_t* reg, uint32_t value, uint32_t bytes) {
  const uint32_t mask = bytes == 4 ? ~uint32_t{0} : (uint32_t{1} << (8 * bytes)) - 1;
  *reg = (*reg & ~mask) | (value & mask);
}

}  // namespace

// Events are not counted, nobody observes, and no debugger is at work: an instruction may be done
// without a word to anybody.
bool TranslateEngine::nobody_looks_on() const {
  const Boundary& boundary = parts_.boundary;
  const ExecutionControl* control = boundary.control();
  return boundary.events() == nullptr && boundary.observer() == nullptr &&
         (control == nullptr || !control->is_engaged());
}

// Serves ring 0 alone: its instructions that reach devices change no segment register and no mode.
TranslateEngine::DeviceTurn TranslateEngine::reach_device(CalloutKind kind) {
  const GuestState& guest = state();
  if (guest.cpl != 0 || !nobody_looks_on()) return DeviceTurn::NotYet;
  if (kind == CalloutKind::Port) {
    access_port();
  } else {
    const uint64_t faults = counters().events_exceptions;
    if (execute_device_access(Eip(slots_.exit_eip))) return DeviceTurn::Away;
    if (counters().events_exceptions != faults) {
      slots_.callout_return = 0;  // whatever mode the handler is in
      return DeviceTurn::Done;
    }
  }
  if (guest.eip != slots_.callout_next_eip || !nothing_is_new()) return DeviceTurn::Done;
  counters().callouts_returned++;
  return DeviceTurn::Back;
}

// IN or OUT at a privilege that may use every port, so that nothing can fault.
void TranslateEngine::access_port() {
  GuestState& guest = state();
  PortBus& ports = parts_.boundary.cpu().ports;
  const PortAccess access{slots_.exit_address};
  const uint16_t port = access.port(guest.reg(Gpr::Edx));
  const auto width = static_cast<AccessWidth>(access.bytes());
  if (access.is_out()) {
    ports.write(port, width, guest.reg(Gpr::Eax));
  } else {
    const uint32_t value = ports.read(port, width);
    store_low(&guest.reg(Gpr::Eax), value, access.bytes());
  }
  guest.eip = slots_.callout_next_eip;
  counters().interpreted_instructions++;
}

// The part of may_go_on_inside() that a device, or a listener in its place, can have
// changed. The mode and the view are as before, or there is work to do. True: the guest may go
// on as it was.
bool TranslateEngine::nothing_is_new() {
  if (parts_.torture.is_due_inside() || parts_.boundary.stop().is_wanted()) return false;
  if (state().activity != ActivityState::Running || parts_.spaces.has_pending_work() ||
      parts_.spaces.supervisor_needs_verification()) {
    return false;
  }
  parts_.data.settle(Privilege::Supervisor);
  slots_.interrupt_waiting = parts_.boundary.interrupt_is_pending() ? kFlagIf : 0;
  if ((slots_.interrupt_waiting & slots_.interrupt_flag) != 0) return false;
  return parts_.attention.enter();
}

}  // namespace ringshift
