// Guest stack: pushing and popping frames of far transfers and events without half-done effects.
// Owns: values waiting to be written. The CPU state is never touched here; the caller commits ESP.
// Keeps: V1. See SDM 3A 6.12.1 (frames) and 7.2.1 (inner stacks in the TSS).
#pragma once

#include <array>
#include <cstdint>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/segments/segmentation.h"
#include "shadowmmu/base/guest_fault.h"

namespace ringshift {

// ESP after an update: a 16-bit stack (SS.B = 0) changes SP only.
[[nodiscard]] uint32_t merge_stack_pointer(const SegmentCache& ss, uint32_t old_esp,
                                           uint32_t new_esp);

class StackPusher {
 public:
  // no_room: the fault of a frame outside the segment limit.
  StackPusher(CpuContext& cpu, const SegmentCache& ss, uint32_t esp, OperandSize size,
              Privilege privilege, const GuestFault& no_room)
      : cpu_(cpu), ss_(ss), esp_(esp), size_(size), privilege_(privilege), no_room_(no_room) {}

  void push(uint32_t value);
  // Whether the segment has room for what is pushed by then. Every processor asks before it looks
  // where the transfer goes to (SDM 2A CALL, INT n).
  [[nodiscard]] MaybeFault check_room() const;
  // Checks every slot, then writes all of them; a fault leaves memory as it was.
  [[nodiscard]] MaybeFault commit();
  [[nodiscard]] uint32_t esp() const { return esp_; }

 private:
  // The largest frame: SS, ESP, 31 parameters, CS, EIP of a call gate.
  static constexpr size_t kMaxSlots = 36;
  struct Slot {
    uint32_t offset;
    uint32_t value;
  };
  [[nodiscard]] MaybeFault check_alignment(GuestVirtual address) const;

  CpuContext& cpu_;
  SegmentCache ss_;
  uint32_t esp_;
  OperandSize size_;
  Privilege privilege_;
  GuestFault no_room_;
  std::array<Slot, kMaxSlots> slots_{};
  size_t count_ = 0;
};

// Reads from the current stack with the current privilege.
class StackPopper {
 public:
  StackPopper(CpuContext& cpu, OperandSize size);
  [[nodiscard]] MaybeFault pop(uint32_t* value);
  [[nodiscard]] MaybeFault pop_selector(uint16_t* selector);
  void skip(uint32_t bytes);
  [[nodiscard]] uint32_t esp() const { return esp_; }

 private:
  CpuContext& cpu_;
  uint32_t esp_;
  OperandSize size_;
};

// The stack of an inner ring, from the current TSS, with all its checks (#TS, #SS: SDM 2A CALL).
struct InnerStack {
  SegmentCache ss;
  uint32_t esp = 0;
};
[[nodiscard]] MaybeFault load_inner_stack(CpuContext& cpu, unsigned ring, uint32_t external,
                                          InnerStack* stack);

}  // namespace ringshift
