// KvmInterface: the registers by which KVM tells a guest the time: kvmclock, in its older and newer
// numbers, and steal time (Linux, Documentation/virt/kvm/x86/msr.rst; CPUID: cpu_model.h). Owns:
// the guest's values of them, the clock it is told. See docs/paravirt.md.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/hypervisor_interface.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/paravirt/stolen_time.h"
#include "monitor/paravirt/told_clock.h"

namespace ringshift {

class StateArchive;

struct KvmSurroundings {
  PhysicalMemory& memory;
  TimeStampCounter& tsc;
  const CpuModel& model;  // tsc_hz is known
  // The time of day as the guest is to believe it: nanoseconds since the beginning of 1970, UTC.
  std::function<Nanoseconds()> time_of_day;
  std::function<Nanoseconds()> stolen;  // StolenTime
};

class KvmInterface final : public HypervisorInterface {
 public:
  static constexpr uint32_t kOldWallClock = 0x11, kOldSystemTime = 0x12;
  static constexpr uint32_t kWallClock = 0x4b564d00, kSystemTime = 0x4b564d01;
  static constexpr uint32_t kStealTime = 0x4b564d03;

  explicit KvmInterface(KvmSurroundings in);

  [[nodiscard]] std::optional<uint64_t> read_msr(uint32_t index) override;
  [[nodiscard]] bool write_msr(uint32_t index, uint64_t value) override;
  void on_time_stamp_set(uint64_t before, uint64_t after) override;

  // Call between two instructions, when the guest may be about to look.
  void at_safe_point();
  // Nanoseconds: the time that the guest would read now.
  [[nodiscard]] uint64_t system_time() { return clock_.at(in_.tsc.read()); }

  // The guest stands still, and its time-stamp counter with it, at this number: before
  // visit_state().
  void stand_at(uint64_t time_stamp) { standing_at_ = time_stamp; }
  // The time as it stands. Loading it writes the guest's structures anew: another host's counter
  // has another rate. Visited after RAM, the board and the processor.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  void tell_wall_clock();
  void tell_system_time();
  void tell_stolen_time();

  // Not state: in_, standing_at_, clock_, told_: its time is a field; the rest is of this host.
  KvmSurroundings in_;
  ToldClock clock_;
  StolenTime stolen_;
  uint64_t wall_clock_ = 0;       // as the guest has written them
  uint64_t system_time_ = 0;      // bit 0: enabled
  uint64_t steal_time_ = 0;       // bit 0: enabled
  std::optional<uint64_t> told_;  // what the guest's structure says of stolen time
  uint64_t standing_at_ = 0;
};

}  // namespace ringshift
