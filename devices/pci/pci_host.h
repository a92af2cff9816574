// PciHost: bus 0 of the PCI bus behind configuration mechanism 1, and the interrupt wires of its
// slots. Owns: the address register, the levels of the wires. Does not own: the functions. See
// docs/devices.md; PCI Local Bus Specification 2.1, 3.7.4.1.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "devices/bus/device.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/interrupts/pic8259.h"
#include "devices/pci/pci_function.h"

namespace ringshift {

class StateArchive;

class PciHost final : public PortDevice {
 public:
  PciHost(InterruptControllerPair& interrupts, std::function<void()> on_reset);

  // Pre: slot < 32, function < 8, and nobody is there yet.
  void attach(unsigned slot, unsigned function, PciFunction& device);
  // The wire of INTA# to INTD# (pin 1 to 4) of a slot, turned by one for each slot, as boards do.
  [[nodiscard]] InterruptLine& wire(unsigned slot, unsigned pin);
  // Sets the line that each of PIRQA# to PIRQD# drives from now on; 0: none.
  void set_route(unsigned pirq, unsigned irq);
  // The same of a state that is being loaded: the levels of the lines are loaded too.
  void restore_route(unsigned pirq, unsigned irq) { route_[pirq] = irq; }
  // A wire of its own for the system control interrupt, which may share its line with a PIRQ.
  [[nodiscard]] InterruptLine& system_control_wire() { return wires_[kSciWire]; }

  // Offsets from 0xcf8: the address register, the reset control register (0xcf9), the data window.
  [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
  void write(uint16_t offset, AccessWidth width, uint32_t value) override;

  // Routes are the ISA bridge's state.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  static constexpr unsigned kSlots = 32, kFunctions = 8, kPins = 4;
  static constexpr unsigned kSciWire = kSlots * kPins, kWires = kSciWire + 1;
  static constexpr unsigned kSciIrq = 9;

  class Wire final : public InterruptLine {
   public:
    void connect(PciHost& host, unsigned pirq) {
      host_ = &host;
      pirq_ = pirq;
    }
    void set_level(bool asserted) override;
    [[nodiscard]] bool is_asserted() const { return asserted_; }
    // The caller counts them anew.
    void restore_level(bool asserted) { asserted_ = asserted; }
    [[nodiscard]] unsigned pirq() const { return pirq_; }

   private:
    PciHost* host_ = nullptr;
    unsigned pirq_ = 0;
    bool asserted_ = false;
  };

  [[nodiscard]] PciFunction* selected() const;
  void write_reset_control(uint8_t value);
  void update_line(unsigned irq);

  // Not state: functions_, route_: the attached functions, and the ISA bridge's registers.
  InterruptControllerPair& interrupts_;
  std::function<void()> on_reset_;
  std::array<PciFunction*, kSlots * kFunctions> functions_{};
  std::array<Wire, kWires> wires_;
  // Wires that are asserted, by PIRQ; the last one is the system control interrupt.
  std::array<unsigned, kPins + 1> asserted_wires_{};
  std::array<unsigned, kPins + 1> route_{0, 0, 0, 0, kSciIrq};
  uint32_t address_ = 0;
  uint8_t reset_control_ = 0;
};

}  // namespace ringshift
