#include "devices/board/apic_board.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// The timer's wire goes to input 2, since input 0 is where a board would put the 8259 pair: all PCs
// are so, and the tables of firmware say it (MP Specification 1.4, figure 3-4).
constexpr unsigned kTimerLine = 0, kTimerInput = 2;

unsigned input_of(unsigned irq) { return irq == kTimerLine ? kTimerInput : irq; }

}  // namespace

ApicBoard::ApicBoard(VirtualClock& clock, MemoryBus& memory, InterruptControllerPair& pair,
                     bool with_hpet)
    : local_(clock),
      io_(local_),
      hpet_(clock, [this](unsigned input, bool asserted) { io_.set_input(input, asserted); }),
      with_hpet_(with_hpet) {
  local_.set_on_end([this](uint8_t vector) { io_.end_of_interrupt(vector); });
  pair.set_on_line([this](unsigned irq, bool asserted) { io_.set_input(input_of(irq), asserted); });
  pair.set_other_way(
      {.passes_ours = [this] { return local_.passes_external(); },
       .is_waiting = [this](unsigned irq) { return io_.is_waiting(input_of(irq)); }});
  CHECK(memory.claim(GuestPhysical(kLocalApicBase), kLocalApicBytes, local_, "local apic"));
  CHECK(memory.claim(GuestPhysical(kIoApicBase), kIoApicBytes, io_, "io apic"));
  if (with_hpet) CHECK(memory.claim(GuestPhysical(kHpetBase), kHpetBytes, hpet_, "hpet"));
}

void ApicBoard::visit_state(StateArchive& archive) {
  archive.same("with hpet", with_hpet_ ? 1 : 0);
  archive.part("local", local_);
  archive.part("io", io_);
  archive.part("hpet", hpet_);
}

}  // namespace ringshift
