// Vcpu: the loop of one processor. Attention, a debugger, events; then an engine runs the guest,
// and the loop begins again. Owns: the boundary and the engines. Every way out of every engine
// comes back here. See docs/faults-and-exits.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/host/attention.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/vcpu/boundary.h"
#include "monitor/vcpu/cpu_limit.h"
#include "monitor/vcpu/engines/direct_engine.h"
#include "monitor/vcpu/engines/translate_engine.h"
#include "monitor/vcpu/engines/trap_engine.h"
#include "monitor/vcpu/events/event_clock.h"
#include "monitor/vcpu/execution_mode.h"
#include "monitor/vcpu/torture.h"

namespace ringshift {

struct VcpuConfig {
  Engine engine = Engine::Translate;
  UserEngine user = UserEngine::Auto;  // under Engine::Translate
  bool trace_exits = false;
  bool make_callouts = true;
  TortureConfig torture{};
  unsigned cpu_percent = 0;  // of a host CPU that the machine may use at most; 0: all it gets
  // Processes of the host whose processor time is the machine's, besides those that run user code;
  // empty: that of the virtual CPU's thread is.
  std::vector<int> counted{};
  ExecutionObserver* observer = nullptr;
};

// The parts of the processor that translating takes.
struct TranslatingParts {
  AddressSpaces& spaces;
  CodeSpace& code;
  DataPaths& data;
  DirectSpaces& direct;
  HotSites& sites;
  Translator& translator;
  Gate& gate;
};

struct VcpuParts {
  CpuContext& cpu;
  Interpreter& interpreter;
  ProcessorInterrupts interrupts;
  RunClock& clock;
  Attention& attention;
  std::optional<TranslatingParts> translating;  // nothing when only interpreting
  DeprivilegedRunner* deprivileged = nullptr;   // Engine::Trap only
  ExecutionControl* control = nullptr;          // null: nobody can stop it
  EventClock* event_clock = nullptr;            // `clock`, if it is one; null: it is the host's
  EventPositions* events = nullptr;             // with an event clock
  std::function<void()> service_host;           // takes in events from the host, at a safe point
  std::function<void()> feed_guest;             // gives it input from outside, at an event
  std::function<void()> before_sleep;           // show what the guest has printed
};

class Vcpu {
 public:
  Vcpu(const VcpuParts& parts, const VcpuConfig& config);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Runs until something stops the machine.
  StopReason run();
  // Called by devices during run(), or by another thread followed by Attention::raise(): takes
  // effect before the next guest instruction. The first reason given stands.
  void request_stop(StopReason reason) { boundary_.stop().request(reason); }
  [[nodiscard]] bool is_stopping() { return boundary_.stop().is_wanted(); }
  // Forgets every request to stop: the guest is somewhere else now.
  void withdraw_stop() { boundary_.stop().withdraw(); }
  [[nodiscard]] const std::string& message() { return boundary_.stop().message(); }
  // How long it has stood still because of its limit, in nanoseconds of the host's time.
  [[nodiscard]] Nanoseconds held() const { return limit_ != nullptr ? limit_->held() : 0; }

 private:
  [[nodiscard]] GuestState& state() const { return parts_.cpu.state; }
  void make_engines(const VcpuConfig& config);
  void execute();
  [[nodiscard]] StopReason reason_to_end();
  [[nodiscard]] ExecutionGuide* guide() const {
    return parts_.control != nullptr ? parts_.control->guide() : nullptr;
  }
  [[nodiscard]] bool engine_may_run() const;
  void interpret();
  void service_attention();
  void service_event();
  void run_timers();
  void wait_halted();
  void sleep(std::optional<Nanoseconds> deadline);
  // vcpu_limit.cpp
  [[nodiscard]] Nanoseconds processor_time() const;
  void keep_to_limit();
  void stand_still_until(Nanoseconds end);
  // vcpu_debug.cpp: for a debugger.
  [[nodiscard]] bool run_controlled();
  void execute_controlled();
  void wait_paused();
  void apply_changed_points();

  VcpuParts parts_;
  Engine engine_;
  Boundary boundary_;
  Torture torture_;
  std::unique_ptr<CpuLimit> limit_;          // null: there is none
  std::vector<int> counted_;                 // VcpuConfig::counted
  std::unique_ptr<ClockTimer> limit_timer_;  // for the next look at it: it only raises attention
  std::unique_ptr<DirectEngine> direct_;     // null unless Engine::Translate
  std::unique_ptr<TranslateEngine> translate_;
  std::unique_ptr<TrapEngine> trap_;  // null unless Engine::Trap
  // The engines that are asked to run the guest, in this order; null: no more.
  std::array<ExecutionEngine*, 2> engines_{};
};

}  // namespace ringshift
