// ExecutionObserver: told at instruction boundaries of the loop's work beside translated code.
// Declared here because vcpu calls it; implemented by the laboratory. A machine without one pays a
// test of a pointer at events that cost a thousand times as much. See docs/lab.md.
#pragma once

#include "monitor/cpu/event_delivery.h"
#include "shadowmmu/base/address.h"
#include "shadowmmu/paging_mode.h"
#include "translator/guest_state.h"

namespace ringshift {

enum class FaultKind : uint8_t {
  Hidden,  // a window page was missing or its D bit clear: filled, the guest does not see it
  Traced,  // the window cannot serve it (a traced page, a user page, a device): interpreted
  Soft,    // a soft TLB missed: filled
};

class ExecutionObserver {
 public:
  virtual ~ExecutionObserver() = default;
  // The interpreter executes the instruction at EIP; `state` is the boundary before it and after.
  virtual void before_interpreted(const GuestState& /*state*/) {}
  virtual void after_interpreted(const GuestState& /*state*/) {}
  // A hardware interrupt is delivered at this boundary.
  virtual void before_interrupt(const Event& /*event*/, const GuestState& /*state*/) {}
  // The guest gets this fault from the instruction at EIP.
  virtual void on_guest_fault(const GuestFault& /*fault*/, const GuestState& /*state*/) {}
  // A fault of translated code that the guest never sees.
  virtual void on_host_fault(FaultKind /*kind*/, GuestVirtual /*address*/, bool /*is_write*/,
                             const GuestState& /*state*/) {}
};

}  // namespace ringshift
