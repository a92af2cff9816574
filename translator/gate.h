// Gate: the only way into translated code and out of it: Exit run(fragment).
// Owns: the frame (guest state, slots, poll page) and the return stack. Does not own: fragments.
// Called by: vcpu. Keeps: T6. Whatever happened inside, state is at an instruction boundary after.
// See docs/faults-and-exits.md.
#pragma once

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
  static std::unique_ptr<Gate> create(const Stubs& stubs, CodeArena& arena, std::string* error);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  [[nodiscard]] Frame& frame() { return *frame_; }
  [[nodiscard]] GuestState& state() { return frame_->state; }

  // Runs from fragment's body until something leaves. Pre: state.eip == fragment.key.eip, and the
  // view's slots (window, jump table) are those the fragment's key was made for.
  [[nodiscard]] Exit run(const Fragment& fragment, const TranslationCache& cache);

  // Forgets every pending return: after code was dropped, after a view or privilege switch. A return
  // then finds the sentinel and goes through the jump table.
  void reset_return_stack();
  [[nodiscard]] bool is_return_stack_guard(uint64_t host_address) const {
    return host_address >= return_stack_ && host_address < return_stack_ + kPageSize;
  }

  // What a signal handler needs (async-signal-safe): is this PC in generated code, and where to go.
  [[nodiscard]] bool owns(uint64_t host_pc) const { return arena_.contains(host_pc); }
  [[nodiscard]] uint64_t leave_after_fault() const { return stubs_.leave_fault; }
  [[nodiscard]] HostFault& fault_record() { return fault_; }

  // Makes the next poll fault / stop faulting. async-signal-safe, callable from any thread.
  void raise_poll();
  void lower_poll();
  [[nodiscard]] bool is_poll_page(uint64_t host_address) const;

 private:
  Gate(const Stubs& stubs, CodeArena& arena) : stubs_(stubs), arena_(arena) {}
  void load_flags();
  void store_flags();
  void recover_at(uint64_t host_pc, const TranslationCache& cache, uint32_t address_register);

  static constexpr uint64_t kReturnStackBytes = 256 * 1024;
  const Stubs& stubs_;
  CodeArena& arena_;
  Frame* frame_ = nullptr;
  uint64_t return_stack_ = 0;  // lowest address; its first page is a guard
  HostFault fault_;
};

}  // namespace ringshift
