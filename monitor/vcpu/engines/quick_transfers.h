// QuickTransfers: interrupts, exceptions and IRET between rings 0 and 3 through 32-bit gates and
// flat stacks, which is how every kernel uses them. Event delivery and interrupt_return do the
// transfers that it declines (false: nothing has changed), with all the checks of the manual. Owns:
// facts about descriptors, by their bytes. Keeps: V1. See docs/faults-and-exits.md, "Callouts".
#pragma once

#include <array>
#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"

namespace ringshift {

class QuickTransfers {
 public:
  explicit QuickTransfers(CpuContext& cpu) : cpu_(cpu) {}
  [[nodiscard]] bool deliver(const Event& event);
  [[nodiscard]] bool return_from_interrupt();

 private:
  enum Role : uint8_t { kCodeRing0 = 1, kCodeRing3 = 2, kStackRing0 = 4, kStackRing3 = 8 };
  // A function of selector and bytes alone, so it is never stale.
  struct Judged {
    uint64_t bytes = 0;
    SegmentCache cache;
    uint16_t selector = 0;
    uint8_t roles = 0;
  };
  struct Stack {
    SegmentCache ss;
    uint32_t esp = 0;
  };

  [[nodiscard]] const SegmentCache* find(uint16_t selector, Role role);
  [[nodiscard]] static uint8_t roles_of(uint64_t bytes, uint16_t selector);
  [[nodiscard]] bool ring_0_stack(Stack* stack);

  CpuContext& cpu_;
  std::array<Judged, 256> judged_{};
};

}  // namespace ringshift
