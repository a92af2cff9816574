// ApicBoard: the additions of a machine with APICs to the 8259 pair: local APIC, I/O APIC, HPET.
// Owns: those. Does not own: the pair, whose wires it shares. Keeps: D1. See docs/devices.md for
// the same as a table.
#pragma once

#include "devices/bus/bus.h"
#include "devices/bus/virtual_clock.h"
#include "devices/interrupts/io_apic.h"
#include "devices/interrupts/local_apic.h"
#include "devices/interrupts/pic8259.h"
#include "devices/timers/hpet.h"

namespace ringshift {

class StateArchive;

class ApicBoard {
 public:
  ApicBoard(VirtualClock& clock, MemoryBus& memory, InterruptControllerPair& pair, bool with_hpet);
  ApicBoard(const ApicBoard&) = delete;
  ApicBoard& operator=(const ApicBoard&) = delete;

  [[nodiscard]] LocalApic& local() { return local_; }
  [[nodiscard]] IoApic& io() { return io_; }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  LocalApic local_;
  IoApic io_;
  Hpet hpet_;
  bool with_hpet_;
};

}  // namespace ringshift
