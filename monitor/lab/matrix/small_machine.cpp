#include "monitor/lab/matrix/small_machine.h"

#include "monitor/lab/matrix/silicon.h"

namespace ringshift::lab {

using namespace small_machine;

bool SmallMachine::build(std::string* error) {
  memory_ = GuestMemory::create(kRamBytes, error);
  if (memory_ == nullptr) return false;
  physical_ = std::make_unique<PhysicalMemory>(*memory_, memory_bus_);
  physical_->set_observer(&code_watch_);
  ProcessorConfig config;
  config.translator.arena_bytes = 256 * 1024;
  config.translator.features.host_time_stamp = true;
  processor_ = Processor::create(
      {.physical = *physical_, .watch = code_watch_, .ports = ports_, .time_stamp = &clock_},
      config, error);
  if (processor_ == nullptr) return false;
  cpu_ = std::make_unique<CpuContext>(
      CpuContext{state(), processor_->linear(), ports_, clock_, watch_, model_});
  interpreter_ = std::make_unique<Interpreter>(*cpu_, processor_->fpu());
  return ports_.claim(kEndPort, 1, end_port_, "end") &&
         ports_.claim(kTestPort, 1, test_port_, "test");
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
  processor_->note_state_changed();
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
  const Eip eip = state().pointer();
  const StepResult step = interpreter_->step();
  switch (step.kind) {
    case StepKind::Done:
      return look(out);
    case StepKind::EventDue:  // nobody counts events here
      UNREACHABLE();
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
      break;
    case StepKind::SoftwareEvent:
      out->software_event = true;
      out->vector = step.vector;
      break;
  }
  if (deliver(*cpu_, event_of(step, state().pointer()), eip) == DeliveryResult::Shutdown) {
    state().activity = ActivityState::Shutdown;
  }
  look(out);
}

void SmallMachine::translate(VirtualOutcome* out) {
  std::unique_ptr<HostClock> clock = HostClock::create(&out->problem);
  if (clock == nullptr) return;
  InterruptControllerPair interrupts;
  Vcpu& vcpu = processor_->make_loop({.interrupts = interrupts, .clock = *clock},
                                     {.engine = Engine::Translate});
  end_port_.vcpu = &vcpu;
  if (!HostSignals::install(&processor_->gate(), &processor_->attention(), &out->problem)) return;
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

}  // namespace ringshift::lab
