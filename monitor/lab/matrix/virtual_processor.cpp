#include "monitor/lab/matrix/virtual_processor.h"

#include <x86intrin.h>

#include <cstring>
#include <functional>

#include "devices/bus/bus.h"
#include "devices/interrupts/pic8259.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/event_delivery.h"
#include "monitor/host/host_clock.h"
#include "monitor/host/host_signals.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/lab/matrix/silicon.h"
#include "monitor/spaces/coherence.h"
#include "monitor/vcpu/vcpu.h"
#include "translator/fpu_unit.h"

namespace ringshift::lab {
namespace {

// Guest-physical layout. The system area is mapped at kSystem, the rest where instructions.h says.
constexpr uint32_t kRamBytes = 0x20000;
constexpr uint32_t kDirectory = 0x1000, kTables = 0x2000, kOtherDirectory = 0x5000;
constexpr uint32_t kSystemPhysical = 0x8000, kSystemBytes = 0x8000, kSystem = 0x9e348000;
constexpr uint32_t kCodePhysical = 0x10000, kDataPhysical = 0x14000;
constexpr uint32_t kGdt = 0, kIdt = 0x1000, kTssAt = 0x2000, kOtherTss = 0x2200, kLdtAt = 0x2400,
                   kGdtCopy = 0x2800, kIdtCopy = 0x3000, kStubs = 0x4000, kThreadAt = 0x6000,
                   kRingStack = 0x7800;  // offsets in the system area
constexpr uint32_t kGdtLimit = 0x7f, kIdtLimit = 0x7ff, kTssLimit = 0x8b, kStubStride = 16;
constexpr uint16_t kEndPort = 0xf4, kTestPort = 0x80, kOtherTssSelector = 0x50;
constexpr uint16_t kFlatCode = 0xc09b, kFlatData = 0xc093;

class LabClock final : public TimeStampCounter {
 public:
  [[nodiscard]] uint64_t read() override { return now; }
  uint64_t now = 0x123456789aULL;
};

// What an instruction asks of the machine around the processor.
class Watch final : public CoherenceObserver {
 public:
  void on_cr3_loaded() override { ++cr3_loads; }
  void on_page_invalidated(GuestVirtual) override { ++pages; }
  void on_paging_mode_changed() override {}
  uint32_t cr3_loads = 0;
  uint32_t pages = 0;
};

class TestPort final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override {
    ++accesses;
    return 0x5a;
  }
  void write(uint16_t, AccessWidth, uint32_t) override { ++accesses; }
  uint32_t accesses = 0;
};

class EndPort final : public PortDevice {
 public:
  [[nodiscard]] uint32_t read(uint16_t, AccessWidth) override { return ~0U; }
  void write(uint16_t, AccessWidth, uint32_t) override {
    if (vcpu != nullptr) vcpu->request_stop(StopReason::DebugExit);
  }
  Vcpu* vcpu = nullptr;
};

constexpr uint32_t linear(uint32_t system_offset) { return kSystem + system_offset; }

class SmallMachine {
 public:
  [[nodiscard]] bool build(std::string* error);
  [[nodiscard]] bool build_translator(std::string* error);
  void prepare(const Instruction& instruction, Resource changed);
  void interpret(VirtualOutcome* out);
  void translate(VirtualOutcome* out);
  // Translated code reads the host's counter: from here on it is the laboratory's clock.
  void start_host_clock() { state().tsc_offset = clock_.now - __rdtsc(); }

 private:
  uint8_t* at(uint32_t physical) { return memory_->at(GuestPhysical(physical)); }
  void set32(uint32_t physical, uint32_t value) { std::memcpy(at(physical), &value, 4); }
  void set_descriptor(uint32_t table, uint16_t selector, uint32_t base, uint32_t limit,
                      uint32_t attributes);
  void write_page_tables(bool user);
  void write_tables();
  void change(Resource resource);
  void enter_ring_three();
  void look(VirtualOutcome* out);
  GuestState& state() { return frame_->state; }

  std::unique_ptr<GuestMemory> memory_;
  MemoryBus memory_bus_;
  PortBus ports_;
  TestPort test_port_;
  EndPort end_port_;
  std::unique_ptr<FrameStorage> storage_;
  Frame* frame_ = nullptr;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> linear_;
  Watch watch_;
  std::unique_ptr<Coherence> coherence_;
  std::unique_ptr<Translator> translator_;
  std::unique_ptr<Gate> gate_;
  LabClock clock_;
  CpuModel model_;
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<FpuUnit> fpu_;
  std::unique_ptr<Interpreter> interpreter_;
};

bool SmallMachine::build(std::string* error) {
  memory_ = GuestMemory::create(kRamBytes, error);
  storage_ = FrameStorage::create(error);
  fpu_ = FpuUnit::create(error);
  if (memory_ == nullptr || storage_ == nullptr || fpu_ == nullptr) return false;
  frame_ = &storage_->frame();
  physical_ = std::make_unique<PhysicalMemory>(*memory_, memory_bus_);
  linear_ = std::make_unique<LinearMemory>(*physical_, state());
  cpu_ =
      std::make_unique<CpuContext>(CpuContext{state(), *linear_, ports_, clock_, watch_, model_});
  interpreter_ = std::make_unique<Interpreter>(*cpu_, *fpu_);
  return ports_.claim(kEndPort, 1, end_port_, "end") &&
         ports_.claim(kTestPort, 1, test_port_, "test");
}

bool SmallMachine::build_translator(std::string* error) {
  coherence_ = Coherence::create(*physical_, *linear_, state(), error);
  if (coherence_ == nullptr) return false;
  TranslatorConfig config;
  config.arena_bytes = 256 * 1024;
  config.features.tzcnt = model_.bmi1;
  config.features.host_time_stamp = true;
  translator_ =
      Translator::create(config, *coherence_, *coherence_, *coherence_, *coherence_, error);
  if (translator_ == nullptr) return false;
  gate_ = Gate::create(translator_->stubs(), translator_->arena(), error, std::move(storage_));
  if (gate_ == nullptr) return false;
  coherence_->attach(gate_.get(), &translator_->cache(), &translator_->arena());
  physical_->set_observer(coherence_.get());
  cpu_ = std::make_unique<CpuContext>(
      CpuContext{state(), *linear_, ports_, clock_, *coherence_, model_});
  interpreter_ = std::make_unique<Interpreter>(*cpu_, *fpu_);
  return true;
}

void SmallMachine::set_descriptor(uint32_t table, uint16_t selector, uint32_t base, uint32_t limit,
                                  uint32_t attributes) {
  const uint32_t entry = kSystemPhysical + table + (selector & 0xfff8U);
  set32(entry, (base << 16) | (limit & 0xffffU));
  set32(entry + 4,
        ((base >> 16) & 0xffU) | (attributes << 8) | (limit & 0xf0000U) | (base & 0xff000000U));
}

// A and D are set from the start, so that running changes nothing here.
void SmallMachine::write_page_tables(bool user) {
  constexpr uint32_t kPageKernel = 0x63, kPageUser = 0x67;
  uint32_t table = kTables;
  const auto map = [&](uint32_t address, uint32_t physical, uint32_t bytes, uint32_t bits) {
    set32(kDirectory + (address >> 22) * 4, table | kPageUser);
    for (uint32_t offset = 0; offset < bytes; offset += kPageSize) {
      set32(table + (((address + offset) >> 12) & 0x3ffU) * 4, (physical + offset) | bits);
    }
    table += kPageSize;
  };
  const uint32_t bits = user ? kPageUser : kPageKernel;
  map(kCodeBase, kCodePhysical, kCodeBytes, bits);
  map(kDataBase, kDataPhysical, kDataBytes, bits);
  map(kSystem, kSystemPhysical, kSystemBytes, kPageKernel);
  std::memcpy(at(kOtherDirectory), at(kDirectory), kPageSize);
}

void SmallMachine::write_tables() {
  constexpr uint32_t kUserBits = 0x60, kTss32 = 0x89, kBusyTss32 = 0x8b, kLdtType = 0x82;
  set_descriptor(kGdt, kCode0, 0, 0xfffff, kFlatCode);
  set_descriptor(kGdt, kData0, 0, 0xfffff, kFlatData);
  set_descriptor(kGdt, kOtherCode0, 0, 0xfffff, kFlatCode);
  set_descriptor(kGdt, kCode3, 0, 0xfffff, kFlatCode | kUserBits);
  set_descriptor(kGdt, kData3, 0, 0xfffff, kFlatData | kUserBits);
  set_descriptor(kGdt, kThread, linear(kThreadAt), 0xfff, 0x40f3);
  set_descriptor(kGdt, kFreeTss, linear(kOtherTss), kTssLimit, kTss32);
  set_descriptor(kGdt, kTss, linear(kTssAt), kTssLimit, kBusyTss32);
  set_descriptor(kGdt, kOtherTssSelector, linear(kOtherTss), kTssLimit, kBusyTss32);
  set_descriptor(kGdt, kLdt, linear(kLdtAt), 0xff, kLdtType);
  std::memcpy(at(kSystemPhysical + kGdtCopy), at(kSystemPhysical + kGdt), kGdtLimit + 1);
  for (uint32_t vector = 0; vector < 256; ++vector) {
    const uint32_t stub = kStubs + vector * kStubStride;
    const uint32_t gate = kSystemPhysical + kIdt + vector * 8;
    set32(gate, (uint32_t{kCode0} << 16) | (linear(stub) & 0xffffU));
    set32(gate + 4, (linear(stub) & 0xffff0000U) | 0xee00U);
    std::memcpy(at(kSystemPhysical + stub), kEndBytes.data(), kEndBytes.size());
  }
  // The other table leads one byte pair further.
  for (uint32_t vector = 0; vector < 256; ++vector) {
    const uint32_t stub = kStubs + vector * kStubStride + 8;
    std::memcpy(at(kSystemPhysical + kIdtCopy + vector * 8),
                at(kSystemPhysical + kIdt + vector * 8), 8);
    const auto low = static_cast<uint16_t>(linear(stub));
    std::memcpy(at(kSystemPhysical + kIdtCopy + vector * 8), &low, sizeof(low));
  }
  for (const uint32_t tss : {kTssAt, kOtherTss}) {
    set32(kSystemPhysical + tss + 4, linear(kRingStack));
    set32(kSystemPhysical + tss + 8, kData0);
    set32(kSystemPhysical + tss + 100, 104U << 16);  // a port map of zeros: every port below 0x100
  }
}

void SmallMachine::enter_ring_three() {
  constexpr uint16_t kUserBits = 0x60;
  for (SegmentCache& segment : state().segment) {
    segment.selector = kData3;
    segment.attributes |= kUserBits;
  }
  state().seg(SegmentRegister::Cs).selector = kCode3;
  state().cpl = 3;
}

// Each as unlike the usual as the instruction's own run allows.
void SmallMachine::change(Resource resource) {
  GuestState& s = state();
  switch (resource) {
    case Resource::None:
      return;
    case Resource::InterruptFlag:
      s.eflags ^= kFlagIf;
      return;
    case Resource::IoPrivilege:
      s.eflags ^= kFlagIopl;
      return;
    case Resource::Gdtr:
      s.gdtr.base = linear(kGdtCopy);
      return;
    case Resource::Idtr:
      s.idtr.base = linear(kIdtCopy);
      return;
    case Resource::Ldtr:
      s.ldtr = SegmentCache{};
      return;
    case Resource::Tr:
      s.tr = {linear(kOtherTss), kTssLimit, kOtherTssSelector, 0x8b};
      return;
    case Resource::Descriptors:  // execute-only code where flat data was
      set_descriptor(kGdt, kData0, 0, 0x7fff, 0x4099);
      return;
    case Resource::Cr0:
      s.cr0 ^= kCr0Mp;
      return;
    case Resource::Cr3:
      s.cr3 = kOtherDirectory;
      return;
    case Resource::Cr4:
      s.cr4 ^= kCr4De;
      return;
    case Resource::DebugRegisters:
      s.dr[7] ^= 1U << 16;  // a condition of a breakpoint that is off
      return;
    case Resource::Clock:
      clock_.now += 0x1000000001ULL;
      return;
    case Resource::Msr:
      s.sysenter_cs = kCode3 - 3;
      return;
    case Resource::CpuModel:
      model_.sse42 = !model_.sse42;
      return;
    case Resource::Ring:
      enter_ring_three();
      return;
  }
}

void SmallMachine::prepare(const Instruction& instruction, Resource changed) {
  state() = initial_state(instruction);
  std::memset(at(0), 0, kRamBytes);
  write_page_tables(changed == Resource::Ring || instruction.leaves_ring0);
  write_tables();
  const std::vector<uint8_t> code = initial_code(instruction);
  const std::vector<uint8_t> data = initial_data(instruction);
  std::memcpy(at(kCodePhysical), code.data(), code.size());
  std::memcpy(at(kDataPhysical), data.data(), data.size());
  change(changed);
  linear_->flush();
  if (coherence_ != nullptr) coherence_->on_paging_mode_changed();
}

void SmallMachine::look(VirtualOutcome* out) {
  out->ran = true;
  out->state = state();
  out->data.assign(at(kDataPhysical), at(kDataPhysical) + kDataBytes);
  out->ram.assign(at(0), at(0) + kRamBytes);
  out->halted = state().activity == ActivityState::Halted;
  out->port_accesses = test_port_.accesses;
  out->cr3_loads = watch_.cr3_loads;
  out->pages_invalidated = watch_.pages;
}

void SmallMachine::interpret(VirtualOutcome* out) {
  const uint32_t eip = state().eip;
  const StepResult step = interpreter_->step();
  Event event;
  switch (step.kind) {
    case StepKind::Done:
      return look(out);
    case StepKind::Halted:
      state().activity = ActivityState::Halted;
      return look(out);
    case StepKind::Unimplemented:
      out->problem = step.message;
      return;
    case StepKind::Fault:
      out->faulted = true;
      out->vector = static_cast<uint32_t>(step.fault.vector);
      out->error_code = step.fault.error_code;
      event = Event::from_fault(step.fault, state().eip);
      break;
    case StepKind::SoftwareEvent:
      out->software_event = true;
      out->vector = step.vector;
      event.kind =
          step.is_software_exception ? EventKind::SoftwareException : EventKind::SoftwareInterrupt;
      event.vector = step.vector;
      event.return_eip = step.return_eip;
      break;
  }
  if (deliver(*cpu_, event, eip) == DeliveryResult::Shutdown) {
    state().activity = ActivityState::Shutdown;
  }
  look(out);
}

void SmallMachine::translate(VirtualOutcome* out) {
  std::unique_ptr<HostClock> clock = HostClock::create(&out->problem);
  if (clock == nullptr) return;
  Attention attention;
  attention.set_gate(gate_.get());
  InterruptControllerPair interrupts;
  const std::function<void()> nothing = [] {};
  Vcpu vcpu({.cpu = *cpu_,
             .interpreter = *interpreter_,
             .interrupts = interrupts,
             .clock = *clock,
             .attention = attention,
             .gate = gate_.get(),
             .translator = translator_.get(),
             .coherence = coherence_.get(),
             .service_host = nothing,
             .before_sleep = nothing},
            {.engine = Engine::Translate});
  end_port_.vcpu = &vcpu;
  if (!HostSignals::install(gate_.get(), &attention, &out->problem)) return;
  const StopReason reason = vcpu.run();
  HostSignals::uninstall();
  end_port_.vcpu = nullptr;
  if (reason == StopReason::Unimplemented) {
    out->problem = vcpu.message();
    return;
  }
  // The end is not part of the instruction.
  if (reason == StopReason::DebugExit) state().eip -= static_cast<uint32_t>(kEndBytes.size());
  look(out);
}

}  // namespace

const char* resource_name(Resource resource) {
  static constexpr std::array<const char*, kResourceCount> kNames = {
      "nothing", "IF",  "IOPL", "GDTR", "IDTR", "LDTR", "TR",  "descriptors",
      "CR0",     "CR3", "CR4",  "DR",   "time", "MSR",  "CPU", "ring"};
  return kNames[static_cast<size_t>(resource)];
}

GuestState initial_state(const Instruction& instruction) {
  GuestState state;
  reset(state);
  for (SegmentCache& segment : state.segment) segment = {0, 0xffffffffU, kData0, kFlatData};
  state.seg(SegmentRegister::Cs) = {0, 0xffffffffU, kCode0, kFlatCode};
  // Kernels keep their callers' flat segment in DS and ES.
  state.seg(SegmentRegister::Ds) =
      state.seg(SegmentRegister::Es) = {0, 0xffffffffU, kData3, kFlatData | 0x60};
  state.cpl = 0;
  state.gpr = initial_registers(instruction);
  state.eip = kCodeBase;
  state.eflags = kFlagReservedOne | (instruction.virtual_if ? kFlagIf : 0U);
  state.cr0 = kCr0Pe | kCr0Et | kCr0Ne | kCr0Wp | kCr0Pg | kCr0Ts;
  state.cr3 = kDirectory;
  state.gdtr = {linear(kGdt), kGdtLimit};
  state.idtr = {linear(kIdt), kIdtLimit};
  state.tr = {linear(kTssAt), kTssLimit, kTss, 0x8b};
  state.ldtr = {linear(kLdtAt), 0xff, kLdt, 0x82};
  state.sysenter_cs = kCode0;
  state.sysenter_esp = kStack;
  state.sysenter_eip = kTarget;
  return state;
}

VirtualOutcome run_interpreted(const Instruction& instruction, Resource changed) {
  VirtualOutcome outcome;
  SmallMachine machine;
  if (!machine.build(&outcome.problem)) return outcome;
  machine.prepare(instruction, changed);
  machine.interpret(&outcome);
  return outcome;
}

VirtualOutcome run_translated(const Instruction& instruction) {
  VirtualOutcome outcome;
  SmallMachine machine;
  if (!machine.build(&outcome.problem) || !machine.build_translator(&outcome.problem)) {
    return outcome;
  }
  machine.prepare(instruction, Resource::None);
  machine.start_host_clock();
  machine.translate(&outcome);
  return outcome;
}

}  // namespace ringshift::lab
