// ProcessorInterrupts: the one question the processor asks: is there an interrupt, and which. Joins
// the 8259 pair and the local APIC, if there is one, as SDM 3A 10.1 has it. See docs/devices.md.
#pragma once

#include <cstdint>

#include "devices/interrupts/local_apic.h"
#include "devices/interrupts/pic8259.h"

namespace ringshift {

class ProcessorInterrupts {
 public:
  // Not explicit: where there is no APIC, the pair is all of it.
  // NOLINTNEXTLINE(google-explicit-constructor)
  ProcessorInterrupts(InterruptControllerPair& pair, LocalApic* apic = nullptr)
      : pair_(pair), apic_(apic) {}

  // A few loads, for use at every exit.
  [[nodiscard]] bool pending() const {
    return external() || (apic_ != nullptr && apic_->pending());
  }
  // Not masked by IF, and before any other.
  [[nodiscard]] bool nmi_pending() const { return apic_ != nullptr && apic_->nmi_pending(); }
  void take_nmi() { apic_->take_nmi(); }
  // Pre: pending(). The vector, now in service.
  uint8_t acknowledge() { return external() ? pair_.acknowledge() : apic_->acknowledge(); }

 private:
  [[nodiscard]] bool external() const {
    return pair_.pending() && (apic_ == nullptr || apic_->passes_external());
  }

  InterruptControllerPair& pair_;
  LocalApic* apic_;
};

}  // namespace ringshift
