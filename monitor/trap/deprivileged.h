// Deprivileged: the classical trap-and-emulate engine. Guest code, the kernel's too, runs as it is
// on the processor; instructions that trap go to the monitor; one that does not trap and should
// have is wrong. Owns: one process for the view of CPL 0 to 2 and one for CPL 3. Wrong by design,
// and isolated: a Tracee can reach nothing else. See docs/lab.md.
#pragma once

#include <sys/user.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "monitor/memory/linear_memory.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/trap/deprivileged_runner.h"
#include "monitor/trap/tracee.h"

namespace ringshift::lab {

class Deprivileged final : public DeprivilegedRunner {
 public:
  static std::unique_ptr<Deprivileged> create(LinearMemory& linear, PhysicalMemory& physical,
                                              std::string* error);
  // Uses processes that exist already, and that others may have used.
  static std::unique_ptr<Deprivileged> create(
      LinearMemory& linear, PhysicalMemory& physical,
      const std::array<std::shared_ptr<Tracee>, 2>& processes);
  [[nodiscard]] Stop run(GuestState& state) override;
  void after_interpreted(const GuestState& state) override;
  [[nodiscard]] const std::string& message() const override { return message_; }
  // Every run() is one instruction, or not; `at_boundary` is told of each before it executes.
  void run_singly(bool single) { single_ = single; }
  void set_watch(std::function<void(const GuestState&)> at_boundary) {
    at_boundary_ = std::move(at_boundary);
  }

 private:
  // The memory that one privilege sees, and the segment registers the processor has there.
  struct View {
    std::shared_ptr<Tracee> process;
    std::array<uint16_t, kSegmentCount> native{};      // selectors
    std::array<SegmentCache, kSegmentCount> loaded{};  // the virtual registers they stand for
    bool is_fresh = true;
  };

  Deprivileged(LinearMemory& linear, PhysicalMemory& physical)
      : linear_(linear), physical_(physical) {}
  void load_registers(const GuestState& state, View* view, user_regs_struct* out) const;
  void store_registers(const user_regs_struct& registers, View* view, GuestState* state) const;
  [[nodiscard]] Stop handle_page_fault(View& view, const GuestState& state);
  [[nodiscard]] Stop handle_breakpoint(GuestState& state);
  [[nodiscard]] Stop handle_system_call(const user_regs_struct& registers, GuestState& state);
  [[nodiscard]] Stop give_up(std::string why);
  void hide_trap_flag(uint32_t stepped_eip, const GuestState& state);
  [[nodiscard]] uint8_t code_byte(const GuestState& state, uint32_t linear);
  void flush();

  LinearMemory& linear_;
  PhysicalMemory& physical_;
  std::array<View, 2> views_;  // by Privilege
  uint64_t flushes_seen_ = 0;
  bool single_ = false;
  std::function<void(const GuestState&)> at_boundary_;
  std::string message_;
};

}  // namespace ringshift::lab
