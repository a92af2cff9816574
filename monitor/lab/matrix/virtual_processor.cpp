#include "monitor/lab/matrix/virtual_processor.h"

#include <array>

#include "monitor/lab/matrix/silicon.h"
#include "monitor/lab/matrix/small_machine.h"

namespace ringshift::lab {

using namespace small_machine;

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
  if (!machine.build(&outcome.problem)) return outcome;
  machine.prepare(instruction, Resource::None);
  machine.start_host_clock();
  machine.translate(&outcome);
  return outcome;
}

}  // namespace ringshift::lab
