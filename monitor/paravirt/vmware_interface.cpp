#include "monitor/paravirt/vmware_interface.h"

#include <utility>

#include "devices/interrupts/local_apic.h"
#include "monitor/paravirt/guest_area.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kNotImplemented = 0xffffffff;
constexpr uint64_t kStealAlignment = 64;

}  // namespace

VmwareInterface::VmwareInterface(GuestState& registers, PhysicalMemory& memory,
                                 const CpuModel& model, std::function<Nanoseconds()> stolen)
    : registers_(registers), memory_(memory), model_(model), stolen_(std::move(stolen)) {}

uint32_t VmwareInterface::read(Offset offset, AccessWidth width) {
  const bool is_asked =
      offset == 0 && width == AccessWidth::Dword && registers_.reg(Gpr::Eax) == kMagic;
  return is_asked ? answer(static_cast<uint16_t>(registers_.reg(Gpr::Ecx))) : kNotImplemented;
}

void VmwareInterface::write(Offset /*offset*/, AccessWidth /*width*/, uint32_t /*value*/) {}

// Registers that a command does not answer in stay as they are.
uint32_t VmwareInterface::answer(uint16_t command) {
  constexpr uint32_t kVersion = 6, kProductType = 2;
  switch (command) {
    case kGetVersion:
      registers_.reg(Gpr::Ebx) = kMagic;
      registers_.reg(Gpr::Ecx) = kProductType;
      return kVersion;
    case kGetHz:
      registers_.reg(Gpr::Ebx) = static_cast<uint32_t>(model_.tsc_hz >> 32);
      registers_.reg(Gpr::Ecx) = kLocalApicHertz;
      return static_cast<uint32_t>(model_.tsc_hz);
    case kGetVcpuInfo:
      return 0;  // no x2APIC without interrupt remapping, and none with it
    case kStealClock:
      return set_steal_clock(uint64_t{registers_.reg(Gpr::Esi)} << 32 | registers_.reg(Gpr::Edi));
    default:
      return kNotImplemented;
  }
}

// Bit 0 of the address turns it off.
uint32_t VmwareInterface::set_steal_clock(uint64_t address) {
  constexpr uint32_t kOff = 0, kOn = 1;
  if (!model_.steal_time) return kNotImplemented;
  steal_clock_.reset();
  told_.reset();
  if (address % kStealAlignment != 0 || !GuestArea(memory_, address, sizeof(uint64_t)).is_ram()) {
    return kOff;
  }
  steal_clock_ = address;
  stolen_.begin();
  at_safe_point();
  return kOn;
}

// In ticks of the time-stamp counter.
void VmwareInterface::at_safe_point() {
  if (!steal_clock_) return;
  const uint64_t stolen = stolen_.now();
  if (told_ == stolen) return;
  constexpr uint64_t kNanosecondsASecond = 1'000'000'000;
  __extension__ using Wide = unsigned __int128;
  const Wide ticks = Wide{stolen} * model_.tsc_hz / kNanosecondsASecond;
  (void)GuestArea(memory_, *steal_clock_, sizeof(uint64_t))
      .write_number(0, static_cast<uint64_t>(ticks));
  told_ = stolen;
}

void VmwareInterface::visit_state(StateArchive& archive) {
  archive.optional("steal clock", steal_clock_, 0, ~uint64_t{0});
  archive.part("stolen time", stolen_);
  archive.require(!steal_clock_ || *steal_clock_ % kStealAlignment == 0, "steal clock",
                  "no guest could have set it there");
  if (archive.has_loaded()) told_.reset();
}

}  // namespace ringshift
