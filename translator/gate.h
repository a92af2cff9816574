// Gate: the only way into translated code and out of it: Exit run(fragment). Owns: the frame (guest
// state, slots, poll page) and the return stack. Does not own: fragments. Keeps: T6. After run(),
// state is at an instruction boundary, whatever happened inside. See docs/faults-and-exits.md.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "translator/exit.h"
#include "translator/fragment.h"
#include "translator/frame.h"
#include "translator/stubs.h"
#include "translator/translation_cache.h"

namespace ringshift {

class Gate {
 public:
  // storage: made beforehand where others need the state earlier; null: a new one.
  static std::unique_ptr<Gate> create(const Stubs& stubs, CodeArena& arena, std::string* error,
                                      std::unique_ptr<FrameStorage> storage = nullptr);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  [[nodiscard]] Frame& frame() { return *frame_; }
  [[nodiscard]] GuestState& state() { return frame_->state; }

  // Runs from `host_pc`, which is a fragment's body or the resume point of one of its instructions,
  // until something leaves. Pre: state.eip belongs to that point, and the slots (window, jump
  // table, return stack) are those of the view the fragment's key was made for.
  [[nodiscard]] Exit run(uint64_t host_pc, const TranslationCache& cache);

  // Sets the function that answers callouts, from inside run(). Without one each callout leaves
  // with ExitReason::Interpret.
  void set_callout(uint64_t (*callout)(void*), void* context) {
    frame_->slots.callout = callout;
    frame_->slots.callout_context = context;
  }
  // The answerer calls the first before anything else: the state is now at the boundary before the
  // instruction, as after an exit. It answers with the value that one of the others returns. They
  // lead behind the call (Pre: the guest is at callout_next_eip, in the same view), to the guest's
  // EIP through the selected view's jump table, or out of run() with ExitReason::Callout.
  void begin_callout();
  [[nodiscard]] uint64_t return_from_callout();
  [[nodiscard]] uint64_t dispatch_from_callout();
  // The same, if the destination's host address is known already.
  [[nodiscard]] uint64_t enter_from_callout(uint64_t body);
  [[nodiscard]] uint64_t leave_from_callout();

  // Forgets every pending return and where far transfers lead: after code was dropped, after a view
  // switch. A return then finds the sentinel and goes through the jump table. Each privilege has a
  // stack of its own, so that no return crosses rings.
  void reset_return_stack(Privilege privilege);
  // The same for the returns alone: those pending belong to another mode.
  void empty_return_stack(Privilege privilege);
  void forget_far_targets();
  // An entry to be filled in: true until the next of those above forgets it.
  [[nodiscard]] FarTarget& far_target_to_note(uint8_t index) {
    has_far_targets_ = true;
    return frame_->far_targets[index];
  }
  void select_return_stack(Privilege privilege);
  // SYSENTER and SYSEXIT may have changed the ring without the monitor, there and back too: what
  // select_return_stack would have done. Before anything else that is about a ring. Pre: the rings
  // were open (RingView) when the guest went on.
  void follow_ring();
  // Fills in the return stack of this ring, which generated code needs to come to the ring by
  // itself.
  void describe_returns(Privilege privilege, RingView* view) const;
  [[nodiscard]] bool is_return_stack_guard(uint64_t host_address) const;

  // The guest has returned to another EIP than its return point is for: the state is at that EIP,
  // and nothing has been done for it but the return.
  [[nodiscard]] bool is_return_check(uint64_t host_address) const;

  // For a signal handler (async-signal-safe): is this PC in generated code, and where to go on.
  [[nodiscard]] bool owns(uint64_t host_pc) const { return arena_.contains(host_pc); }
  [[nodiscard]] uint64_t leave_after_fault() const { return stubs_.leave_fault; }
  [[nodiscard]] HostFault& fault_record() { return fault_; }

  // Makes the next poll fault / stop faulting. async-signal-safe, callable from any thread.
  void raise_poll();
  void lower_poll();
  // A poll that faulted because attention is wanted, or at an event with the budget used up.
  [[nodiscard]] bool is_poll(uint64_t host_address) const;

  // If events are counted: the bytes that the walk of EventCounter may load from. They become
  // unreadable with the poll page; below them nothing is readable ever. 0: events are not counted.
  [[nodiscard]] uint64_t event_floor() const { return event_floor_; }
  static constexpr uint64_t kEventRoom = 256 * 1024;
  // An offset was beyond the limit of its segment.
  [[nodiscard]] bool is_limit_guard(uint64_t host_address) const {
    return host_address - reinterpret_cast<uint64_t>(frame_->limit_guard.data()) < kPageSize;
  }

 private:
  Gate(const Stubs& stubs, CodeArena& arena) : stubs_(stubs), arena_(arena) {}
  void load_flags();
  void store_flags();
  [[nodiscard]] bool map_event_walk();
  void protect_polls(int protection);
  [[nodiscard]] uint64_t return_stack_bottom(Privilege privilege) const {
    return return_stacks_[static_cast<size_t>(privilege)] + kReturnStackBytes - 64;
  }
  void recover_at(uint64_t host_pc, const TranslationCache& cache, uint32_t address_register);

  static constexpr uint64_t kReturnStackBytes = 256 * 1024;
  const Stubs& stubs_;
  CodeArena& arena_;
  std::unique_ptr<FrameStorage> storage_;
  Frame* frame_ = nullptr;
  std::array<uint64_t, 2> return_stacks_{};  // lowest addresses; the first page of each is a guard
  std::array<uint64_t, 2> return_stack_tops_{};  // RSP of the one not selected
  Privilege selected_ = Privilege::Supervisor;
  bool has_far_targets_ = false;
  uint64_t event_floor_ = 0;
  HostFault fault_;
};

}  // namespace ringshift
