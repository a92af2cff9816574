// Processor: one virtual CPU with all that belongs to it: registers, views of memory, translator,
// gate, interpreter, loop. Can be made by itself, over any memory and ports; two of them share
// nothing that they are not given. Owns: all of it. Does not own: RAM, traces, buses, clock. See
// docs/architecture.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "devices/bus/bus.h"
#include "devices/interrupts/processor_interrupts.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/host/attention.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/spaces/code_space.h"
#include "monitor/spaces/code_watch.h"
#include "monitor/spaces/hot_sites.h"
#include "monitor/spaces/user/data_paths.h"
#include "monitor/spaces/user/direct_spaces.h"
#include "monitor/vcpu/vcpu.h"
#include "translator/fpu_unit.h"
#include "translator/gate.h"
#include "translator/translator.h"

namespace ringshift {

// The host's time-stamp counter, at its rate or another, plus the guest's offset.
class HostTimeStampCounter final : public TimeStampCounter {
 public:
  explicit HostTimeStampCounter(const GuestState& state, TimeScale scale = {})
      : state_(state), scale_(scale) {}
  [[nodiscard]] uint64_t read() override;
  void set_tap(BusTap* tap) { tap_ = tap; }

 private:
  const GuestState& state_;
  TimeScale scale_;
  BusTap* tap_ = nullptr;
};

// The count of events as time, in nanoseconds, plus the guest's offset.
class EventTimeStampCounter final : public TimeStampCounter {
 public:
  EventTimeStampCounter(const GuestState& state, EventCounter& counter, uint32_t nanoseconds)
      : state_(state), counter_(counter), nanoseconds_(nanoseconds) {}
  [[nodiscard]] uint64_t read() override {
    return counter_.count() * nanoseconds_ + state_.tsc_offset;
  }
  static constexpr uint64_t kRate = 1'000'000'000;  // in Hz

 private:
  const GuestState& state_;
  EventCounter& counter_;
  uint32_t nanoseconds_;  // of an event
};

struct ProcessorConfig {
  CpuModel cpu;
  // Features that the CPU model decides are set by the processor, whatever this holds.
  TranslatorConfig translator;
  uint32_t refuse_every = 0;  // torture: calls for one more host mapping between two refused
  ShadowPolicy shadow = ShadowPolicy::Tlb;
  ExecutionControl* control = nullptr;  // a debugger's, which outlives the processor; null: none
  TimeScale time_scale;                 // of its time-stamp counter, if it is the host's
  EventClockConfig event_clock;         // its loop's clock is an EventClock, if that is used
};

// The machine around a processor.
struct ProcessorSurroundings {
  PhysicalMemory& physical;
  CodeWatch& watch;  // the observer of `physical`
  PortBus& ports;
  DirectHost* direct_host = nullptr;       // null: user code is always translated
  TimeStampCounter* time_stamp = nullptr;  // null: the host's counter and the guest's offset
};

// The machine around its loop, which outlives the loop.
struct LoopSurroundings {
  ProcessorInterrupts interrupts;
  RunClock& clock;
  EventClock* event_clock = nullptr;           // `clock`, if it is one
  DeprivilegedRunner* deprivileged = nullptr;  // Engine::Trap only
  std::function<void()> service_host = [] {};
  std::function<void()> feed_guest = [] {};  // where events are counted
  std::function<void()> before_sleep = [] {};
};

class Processor {
 public:
  // Null with one line in *error if the host refuses something. The registers are those after a
  // reset.
  static std::unique_ptr<Processor> create(const ProcessorSurroundings& in,
                                           const ProcessorConfig& config, std::string* error);
  Processor(const Processor&) = delete;
  Processor& operator=(const Processor&) = delete;

  // Makes the loop, in place of the one there was.
  Vcpu& make_loop(const LoopSurroundings& in, const VcpuConfig& config);
  [[nodiscard]] bool has_loop() const { return loop_ != nullptr; }
  // Pre: make_loop().
  [[nodiscard]] Vcpu& loop() { return *loop_; }

  // The registers have been changed from outside: nothing cached of the guest's memory is used
  // before it has been verified.
  void note_state_changed();
  // Guest-physical addresses mean something else: the A20 gate, a device in the place of RAM.
  void note_memory_map_changed();
  // The state is whole: nothing of it is in host registers or slots only.
  [[nodiscard]] GuestState& state() { return frame_->state; }
  [[nodiscard]] CpuContext& cpu() { return *cpu_; }
  [[nodiscard]] Interpreter& interpreter() { return *interpreter_; }
  [[nodiscard]] LinearMemory& linear() { return *linear_; }
  [[nodiscard]] FpuUnit& fpu() { return *fpu_; }
  [[nodiscard]] Attention& attention() { return attention_; }
  [[nodiscard]] Gate& gate() { return *gate_; }
  [[nodiscard]] Translator& translator() { return *translator_; }
  [[nodiscard]] AddressSpaces& spaces() { return *spaces_; }
  [[nodiscard]] CodeSpace& code() { return *code_; }
  [[nodiscard]] DataPaths& data() { return *data_; }
  [[nodiscard]] DirectSpaces& direct() { return *direct_; }
  [[nodiscard]] HotSites& sites() { return sites_; }
  [[nodiscard]] SpaceResources& resources() { return *resources_; }
  // Null if events are not counted.
  [[nodiscard]] EventPositions* events() { return events_.get(); }
  // Null if it has another time-stamp counter.
  [[nodiscard]] HostTimeStampCounter* host_time_stamp() { return tsc_.get(); }

 private:
  explicit Processor(const ProcessorSurroundings& in, const ProcessorConfig& config)
      : in_(in), config_(config) {}
  [[nodiscard]] bool build(std::string* error);
  [[nodiscard]] bool build_translator(std::string* error);
  [[nodiscard]] TimeStampCounter& make_time_stamp();

  ProcessorSurroundings in_;
  ProcessorConfig config_;
  Attention attention_;
  Frame* frame_ = nullptr;  // the GuestState and generated code's slots; the gate's in the end
  std::unique_ptr<FrameStorage> frame_storage_;
  std::unique_ptr<LinearMemory> linear_;
  HotSites sites_;
  std::unique_ptr<SpaceResources> resources_;
  std::unique_ptr<AddressSpaces> spaces_;
  std::unique_ptr<CodeSpace> code_;
  std::unique_ptr<DataPaths> data_;
  std::unique_ptr<DirectSpaces> direct_;
  std::unique_ptr<Translator> translator_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<EventPositions> events_;
  std::unique_ptr<HostTimeStampCounter> tsc_;
  std::unique_ptr<EventTimeStampCounter> event_tsc_;
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<FpuUnit> fpu_;
  std::unique_ptr<Interpreter> interpreter_;
  std::unique_ptr<Vcpu> loop_;
};

}  // namespace ringshift
