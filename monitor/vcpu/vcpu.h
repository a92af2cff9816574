// Vcpu: the loop. Attention, events, choose an engine, run it, handle its Exit, again.
// Owns: nothing but its bookkeeping; makes the only SafePoint there is outside tests.
// Called by: machine. Keeps: V1 V3. Every way out of every engine comes back here.
// See docs/faults-and-exits.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "devices/interrupts/processor_interrupts.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "monitor/direct/user_policy.h"
#include "monitor/host/attention.h"
#include "monitor/host/cpuid_faulting.h"
#include "monitor/host/host_clock.h"
#include "monitor/host/shared_cpu.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/spaces/coherence.h"
#include "monitor/trap/deprivileged_runner.h"
#include "monitor/vcpu/direct_engine.h"
#include "monitor/vcpu/execution_control.h"
#include "monitor/vcpu/execution_mode.h"
#include "monitor/vcpu/execution_observer.h"
#include "monitor/vcpu/loaded_descriptors.h"
#include "monitor/vcpu/quick_transfers.h"
#include "translator/gate.h"
#include "translator/translator.h"

namespace ringshift {

// Why the loop gave up; the machine turns it into an exit code and one line.
enum class StopReason : uint8_t {
  Running,        // it has not
  Halted,         // HLT with interrupts off and nothing that could end it: power-off
  Reset,          // triple fault, keyboard controller, port 0x92
  DebugExit,      // port 0xf4
  Quit,           // the user asked for it
  Unimplemented,  // an instruction or feature we do not have: message
  HostFailure,    // the host took something away that cannot be done without: message
};

struct VcpuConfig {
  Engine engine = Engine::Translate;
  UserEngine user = UserEngine::Auto;  // under Engine::Translate
  bool trace_exits = false;
  uint32_t verify_every = 0;   // exits between invariant checks; 0: never
  uint32_t drop_randomly = 0;  // torture: drop all fragments every so many exits; 0: never
  bool make_links = true;
  bool make_callouts = true;
  ExecutionObserver* observer = nullptr;
};

// What the loop drives; all owned by machine.
struct VcpuParts {
  CpuContext& cpu;
  Interpreter& interpreter;
  ProcessorInterrupts interrupts;
  HostClock& clock;
  Attention& attention;
  // Null when only interpreting.
  Gate* gate = nullptr;
  Translator* translator = nullptr;
  Coherence* coherence = nullptr;
  DeprivilegedRunner* deprivileged = nullptr;  // Engine::Trap only
  ExecutionControl* control = nullptr;         // null: nobody can stop it
  std::function<void()> service_host;          // console input, outside translated code
  std::function<void()> before_sleep;          // flush what the guest has printed
};

class Vcpu {
 public:
  Vcpu(const VcpuParts& parts, const VcpuConfig& config);

  // Runs until something stops the machine.
  StopReason run();
  // From devices during run(), or from another thread followed by Attention::raise(): takes effect
  // before the next guest instruction. The first reason given stands.
  void request_stop(StopReason reason) {
    StopReason none = StopReason::Running;
    stop_.compare_exchange_strong(none, reason);
  }
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  void forget_continuation();
  void service_attention();
  bool deliver_interrupt();
  [[nodiscard]] bool deliver_nmi();
  void wait_halted();
  void interpret_one();
  void finish_interpreted(const StepResult& step, uint32_t eip);
  void deliver_held_debug();
  void deliver_event(const Event& event, uint32_t instruction_eip);
  // For a debugger (vcpu_debug.cpp).
  [[nodiscard]] bool run_controlled();
  void execute_controlled();
  void wait_paused();
  void apply_changed_points();
  void note_controlled(const StepResult& step);
  void run_translated();
  void run_deprivileged();
  void prepare_slots(Privilege privilege);
  [[nodiscard]] uint64_t entry_point(Privilege privilege);
  void connect_link(Fragment& to);
  void handle(const Exit& exit, Privilege privilege);
  void handle_soft_miss(const Exit& exit, Privilege privilege);
  void handle_ensure_fpu();
  void handle_host_fault(const Exit& exit, Privilege privilege);
  void handle_site_fault();
  void note_user_work(uint64_t amount);
  void prefault();
  // Untranslated user code (vcpu_direct.cpp).
  [[nodiscard]] bool wants_direct();
  [[nodiscard]] bool run_direct();
  [[nodiscard]] bool step_over_sensitive_page();
  void handle_direct(const Exit& exit);
  void deliver_single_step();
  void punish_escape();
  void note_user_tick();
  void note_privilege(Privilege now);
  [[nodiscard]] bool interpret_until_verified(Privilege privilege);
  void resume_at_boundary(uint64_t host_pc);
  // vcpu_callouts.cpp: from inside Gate::run.
  [[nodiscard]] uint64_t answer_callout();
  [[nodiscard]] bool may_go_on_inside();
  [[nodiscard]] bool transfer_quickly(CalloutKind kind);
  [[nodiscard]] bool torture_is_due();
  void count(const Exit& exit) const;
  void trace(const Exit& exit) const;
  void torture();

  VcpuParts parts_;
  VcpuConfig config_;
  std::atomic<StopReason> stop_{StopReason::Running};
  std::string message_;
  QuickTransfers transfers_;
  std::unique_ptr<LoadedDescriptors> descriptors_;  // null without a gate
  uint32_t since_verify_ = 0;
  uint32_t since_drop_ = 0;

  uint32_t interpreted_unverified_ = 0;
  uint32_t sensitive_steps_ = 0;
  SharedCpu shared_cpu_;
  CpuidFaulting cpuid_faulting_;
  ClockTimer look_;  // at a program that is new: it only raises attention
  Privilege last_privilege_ = Privilege::Supervisor;

  // The last page fault delivered from user code: on the way back its page is mapped beforehand.
  bool has_prefault_ = false;
  bool prefault_is_write_ = false;
  GuestVirtual prefault_address_;

  uint32_t pending_link_ = kNoLink;  // to be connected to the fragment found for link_eip_
  uint64_t pending_link_epoch_ = 0;
  bool pending_jump_ = false;  // an indirect miss: enter the fragment into the jump table
  // An instruction with two accesses whose pages share a TLB entry would miss for ever.
  uint32_t soft_miss_eip_ = 0;
  uint32_t soft_miss_repeats_ = 0;
  uint64_t resume_pc_ = 0;  // run from here instead of looking a fragment up
};

}  // namespace ringshift
