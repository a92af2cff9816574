// VmwareInterface: the port by which VMware's guests ask their hypervisor: EAX is a magic number,
// CX a command; IN of four bytes from port 0x5658 answers in EAX, EBX, ECX (VMware's knowledge
// base, article 1009458; what Linux asks: arch/x86/kernel/cpu/vmware.c). Owns: where the guest
// wants to be told of stolen time. CPUID: cpu_model.h. See docs/paravirt.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "devices/bus/device.h"
#include "monitor/cpu/cpu_model.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/paravirt/stolen_time.h"
#include "translator/guest_state.h"

namespace ringshift {

class StateArchive;

class VmwareInterface final : public PortDevice {
 public:
  static constexpr uint16_t kPort = 0x5658;
  static constexpr uint32_t kMagic = 0x564d5868;
  enum Command : uint16_t { kGetVersion = 10, kGetHz = 45, kGetVcpuInfo = 68, kStealClock = 91 };

  // registers: those of the CPU, which hold the guest's question when it reads the port.
  VmwareInterface(GuestState& registers, PhysicalMemory& memory, const CpuModel& model,
                  std::function<Nanoseconds()> stolen);

  // Anything but the magic number is a read of a port that nobody answers.
  [[nodiscard]] uint32_t read(Offset offset, AccessWidth width) override;
  void write(Offset offset, AccessWidth width, uint32_t value) override;
  void at_safe_point();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] uint32_t answer(uint16_t command);
  [[nodiscard]] uint32_t set_steal_clock(uint64_t address);

  // Not state: told_: it follows from the others.
  GuestState& registers_;
  PhysicalMemory& memory_;
  const CpuModel& model_;
  StolenTime stolen_;
  std::optional<uint64_t> steal_clock_;  // where; nothing: the guest has not asked
  std::optional<uint64_t> told_;
};

}  // namespace ringshift
