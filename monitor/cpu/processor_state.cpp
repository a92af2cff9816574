#include "monitor/cpu/processor_state.h"

#include <cstring>
#include <string>

#include "monitor/cpu/control_registers.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// All that there are in this processor (SDM 1 figure 3-8).
constexpr uint32_t kFlagsDefined = kFlagsArithmetic | kFlagTf | kFlagIf | kFlagDf | kFlagIopl |
                                   kFlagNt | kFlagRf | kFlagVm | kFlagAc | kFlagVif | kFlagVip |
                                   kFlagId;

constexpr const char* kNoGuest = "no guest could have brought it to this value";

// The features that the guest has been told its processor has.
uint64_t features_of(const CpuModel& model) {
  const bool features[] = {model.paravirt == Paravirt::Ringshift,
                           model.paravirt == Paravirt::Kvm,
                           model.paravirt == Paravirt::Vmware,
                           model.pae,
                           model.nx,
                           model.sse42,
                           model.meltdown,
                           model.sysenter,
                           model.apic,
                           model.bmi1};
  uint64_t bits = 0;
  for (const bool feature : features) bits = bits << 1 | (feature ? 1 : 0);
  return bits;
}

void visit_segment(StateArchive& archive, const char* name, SegmentCache& segment) {
  archive.section(name, 1, [&] {
    archive.field("base", segment.base);
    archive.field("limit", segment.limit);
    archive.field("selector", segment.selector);
    archive.field("attributes", segment.attributes);
  });
}

void visit_table(StateArchive& archive, const char* name, DescriptorTableRegister& table) {
  archive.section(name, 1, [&] {
    archive.field("base", table.base);
    archive.field("limit", table.limit, 0, 0xffff);
  });
}

void visit_segments(StateArchive& archive, GuestState& state) {
  visit_segment(archive, "es", state.seg(SegmentRegister::Es));
  visit_segment(archive, "cs", state.seg(SegmentRegister::Cs));
  visit_segment(archive, "ss", state.seg(SegmentRegister::Ss));
  visit_segment(archive, "ds", state.seg(SegmentRegister::Ds));
  visit_segment(archive, "fs", state.seg(SegmentRegister::Fs));
  visit_segment(archive, "gs", state.seg(SegmentRegister::Gs));
  visit_segment(archive, "ldtr", state.ldtr);
  visit_segment(archive, "tr", state.tr);
  visit_table(archive, "gdtr", state.gdtr);
  visit_table(archive, "idtr", state.idtr);
}

void visit_system_registers(StateArchive& archive, GuestState& state) {
  archive.field("cr0", state.cr0);
  archive.field("cr2", state.cr2);
  archive.field("cr3", state.cr3);
  archive.field("cr4", state.cr4);
  archive.numbers("pdpte", state.pdpte);
  archive.numbers("dr", state.dr);
  archive.field("efer", state.efer);
  archive.field("sysenter cs", state.sysenter_cs);
  archive.field("sysenter esp", state.sysenter_esp);
  archive.field("sysenter eip", state.sysenter_eip);
  archive.field("pat", state.pat);
  archive.field("misc enable", state.misc_enable);
}

// FXRSTOR on the host's processor refuses other bits of MXCSR (SDM 1 10.5.1.2).
bool has_possible_mxcsr(const GuestState& state, const CpuModel& model) {
  constexpr size_t kMxcsr = 24;
  uint32_t mxcsr = 0;
  std::memcpy(&mxcsr, state.fxsave.data() + kMxcsr, sizeof mxcsr);
  return (mxcsr & ~model.mxcsr_mask()) == 0;
}

void check(StateArchive& archive, const GuestState& state, const CpuModel& model) {
  archive.require((state.eflags & ~kFlagsDefined) == kFlagReservedOne, "eflags", kNoGuest);
  const bool is_v86 = state.v86_mode();
  archive.require(!is_v86 || (state.protected_mode() && state.cpl == 3), "eflags", kNoGuest);
  archive.require(state.protected_mode() || state.cpl == 0, "cpl", kNoGuest);
  for (const char* name :
       {impossible_control_register(state, model), impossible_msr(state, model)}) {
    archive.require(name == nullptr, name != nullptr ? name : "", kNoGuest);
  }
  archive.require(has_possible_mxcsr(state, model), "fxsave",
                  "its MXCSR has bits that are not there");
}

}  // namespace

void ProcessorState::visit_state(StateArchive& archive) {
  constexpr uint8_t kMostShadow = 2;
  constexpr uint32_t kBreakpoints = 0x0f;
  GuestState& state = registers;
  archive.same("features", features_of(model));
  archive.numbers("gpr", state.gpr);
  archive.field("eip", state.eip);
  archive.field("eflags", state.eflags);
  archive.field("cpl", state.cpl, 0, 3);
  archive.field("interrupt shadow", state.interrupt_shadow, 0, kMostShadow);
  archive.choice("activity", state.activity, ActivityState::Shutdown);
  archive.field("nmi blocked", state.nmi_blocked, 0, 1);
  archive.field("held debug", state.held_debug, 0, kBreakpoints);
  visit_segments(archive, state);
  visit_system_registers(archive, state);
  archive.numbers("fxsave", state.fxsave);
  archive.part("memory types", memory_types);
  check(archive, state, model);
  uint64_t time_stamp = host_time_stamp + state.tsc_offset;
  archive.field("time stamp", time_stamp);
  if (archive.has_loaded()) state.tsc_offset = time_stamp - host_time_stamp;
}

}  // namespace ringshift
