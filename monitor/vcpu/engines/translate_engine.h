// TranslateEngine: runs the guest in translated code, and answers what that code asks for: exits
// after it has left, callouts from inside it. Owns: the table of loaded descriptors and its
// bookkeeping. Keeps: T3 T6 V1. See docs/faults-and-exits.md.
#pragma once

#include <cstdint>
#include <optional>

#include "monitor/vcpu/cpuid_answers.h"
#include "monitor/vcpu/engines/direct_engine.h"
#include "monitor/vcpu/engines/execution_engine.h"
#include "monitor/vcpu/engines/progress_watch.h"
#include "monitor/vcpu/execution_mode.h"
#include "monitor/vcpu/loaded_descriptors.h"
#include "translator/code_mode.h"

namespace ringshift {

struct TranslateConfig {
  bool make_callouts = true;
  bool trace_exits = false;
};

class TranslateEngine final : public ExecutionEngine {
 public:
  // `direct`: takes user code over when it is worth it.
  TranslateEngine(const EngineParts& parts, DirectEngine& direct, const TranslateConfig& config);

  [[nodiscard]] Turn run() override;

 private:
  [[nodiscard]] GuestState& state() const { return state_; }
  [[nodiscard]] Continuation& continuation() const { return parts_.boundary.continuation(); }
  [[nodiscard]] PhysicalMemory& physical() const { return parts_.boundary.cpu().memory.physical(); }
  [[nodiscard]] bool interpret_until_verified(Privilege privilege);
  void map_user_fault();
  [[nodiscard]] uint64_t entry_point(Privilege privilege);
  void prepare_slots(Privilege privilege);
  void follow_mode();
  // Generated code may have changed rings while they were open.
  void follow_ring() {
    if (ring_questions_ != 0) catch_up_with_ring();
  }
  // translate_rings.cpp
  void catch_up_with_ring();
  void open_rings();
  void ask_for_rings();
  [[nodiscard]] bool may_change_rings() const;
  void prepare_mode();
  // Where events are counted the usual mode is the only one: its instructions are those that the
  // rule of events has been compared for.
  [[nodiscard]] bool may_translate_in(const CodeMode& mode) const {
    return mode.is_flat() || parts_.boundary.events() == nullptr;
  }
  [[nodiscard]] uint64_t enter_from_callout(bool is_far, const CodeMode& from);
  void handle(const Exit& exit, Privilege privilege);
  void handle_soft_miss(const Exit& exit, Privilege privilege);
  void handle_ensure_fpu();
  void handle_host_fault(const HostFault& fault, Privilege privilege);
  // translate_returns.cpp
  [[nodiscard]] bool handle_return_fault(const HostFault& fault, Privilege privilege);
  void handle_odd_return(const HostFault& fault, Privilege privilege);
  [[nodiscard]] bool fill_window(const HostFault& fault, Privilege privilege);
  // translate_sites.cpp
  void make_anew(GuestPhysical instruction);
  void soften_site();
  void note_needless_miss(Eip eip, Privilege privilege);
  void interpret_missed();
  void give_up_device_site(Privilege privilege);
  void resume_at_boundary(uint64_t host_pc);
  void note_user_work(uint64_t amount);
  void note_user_tick();
  // translate_callouts.cpp: from inside Gate::run.
  [[nodiscard]] uint64_t answer_callout();
  void execute_callout(CalloutKind kind);
  [[nodiscard]] bool execute_device_access(Eip site);
  void finish_shadow();
  [[nodiscard]] bool may_go_on_inside();
  // translate_ports.cpp
  enum class DeviceTurn : uint8_t {
    NotYet,  // nothing has happened
    Done,    // the instruction is done, and the loop's checks are to be made
    Back,    // the guest may go on behind it
    Away,    // its site is to be made anew
  };
  [[nodiscard]] DeviceTurn reach_device(CalloutKind kind);
  void access_port();
  [[nodiscard]] bool nothing_is_new();
  [[nodiscard]] bool nobody_looks_on() const;
  [[nodiscard]] bool transfer_quickly(CalloutKind kind);

  EngineParts parts_;
  GuestState& state_;
  Slots& slots_;
  DirectEngine& direct_;
  TranslateConfig config_;
  uint8_t ring_questions_ = 0;  // so often it is still asked whether rings may change by themselves
  LoadedDescriptors descriptors_;
  CpuidAnswers cpuid_;
  ModeMemory modes_;
  CodeMode mode_;  // of the guest, at the last look
  uint32_t interpreted_unverified_ = 0;
  // An instruction with two accesses whose pages share a TLB entry would miss for ever.
  Eip soft_miss_eip_;
  uint32_t soft_miss_repeats_ = 0;
  // A callout of a device's memory has found RAM again and again, at this EIP.
  std::optional<Eip> ram_site_;
  ProgressWatch progress_;
};

}  // namespace ringshift
