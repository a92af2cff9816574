// RingshiftInterface: the hypervisor interface of our own: four registers, a page of code that
// calls, a page of memory that the guest and the monitor share, and calls (docs/paravirt.md is its
// datasheet). Owns: the guest's registrations, its timer, the clock it is told. Every argument is
// the guest's word: addresses are looked up in the guest's own tables or must be RAM, a call does a
// bounded amount of work, and nothing is done that the guest could not do by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/cpu/hypervisor_interface.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/paravirt/told_clock.h"

namespace ringshift {

class StateArchive;

struct RingshiftSurroundings {
  PhysicalMemory& memory;
  TimeStampCounter& tsc;
  const CpuModel& model;  // tsc_hz is known
  VirtualClock& clock;
  std::function<Nanoseconds()> time_of_day;  // as the guest is to believe it: since 1970, UTC
  std::function<void(std::span<const uint8_t>)> print;
  std::function<std::optional<uint8_t>()> acknowledge;  // a request of the interrupt controller's
  std::function<void()> yield;                          // the host's processor, to others
};

class RingshiftInterface final : public HypervisorInterface {
 public:
  static constexpr uint32_t kIdentity = kRingshiftMsrs, kCodePage = kRingshiftMsrs + 1,
                            kSharedPage = kRingshiftMsrs + 2, kCall = kRingshiftMsrs + 3;
  static constexpr uint32_t kMagic = 0x474e4952;  // "RING"
  enum class Call : uint32_t {
    Version,
    Return,
    RegisterTable,
    ReleaseTable,
    UpdateTables,
    LoadCr3,
    Invalidate,
    SetEvents,
    CheckEvents,
    Acknowledge,
    SetTimer,
    Block,
    Yield,
    ReadClock,
    Print,
    GiveBack,
  };
  // The values of EAX after a call that has not been done.
  static constexpr uint32_t kNoSuchCall = ~0U, kBadArgument = ~1U, kBadAddress = ~2U;
  static constexpr uint32_t kMostEntries = 512, kMostPages = 512, kMostBytes = 4096;
  static constexpr uint32_t kTimerChannel = 0, kInterruptChannel = 1;
  // Offsets in the shared page.
  static constexpr uint32_t kMasked = 0, kPending = 4, kChannelMask = 8, kUpcalls = 12,
                            kClockVersion = 16, kTimeStamp = 24, kVirtualTime = 32, kRealTime = 40,
                            kMultiplier = 48, kShift = 52;

  explicit RingshiftInterface(RingshiftSurroundings in);

  [[nodiscard]] std::optional<uint64_t> read_msr(uint32_t index) override;
  [[nodiscard]] bool write_msr(uint32_t index, uint64_t value) override;
  void on_time_stamp_set(uint64_t before, uint64_t after) override;
  [[nodiscard]] bool is_call(uint32_t index) const override { return index == kCall; }
  [[nodiscard]] HypervisorCall call(CpuContext& cpu) override;
  [[nodiscard]] bool interrupts(bool by_controller) override;
  [[nodiscard]] std::optional<uint8_t> take_upcall() override;

  // Call between two instructions, when the guest may be about to look.
  void at_safe_point();
  // Nanoseconds: the time that the guest would read now.
  [[nodiscard]] uint64_t virtual_time() { return clock_.at(in_.tsc.read()); }

  // As KvmInterface's.
  void stand_at(uint64_t time_stamp) { standing_at_ = time_stamp; }
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  struct Events {
    uint32_t masked = 0;  // a byte, and three that nobody looks at
    uint32_t pending = 0;
    uint32_t channel_mask = 0;
  };

  // ringshift_calls.cpp. Each returns the value for EAX.
  [[nodiscard]] uint32_t answer(CpuContext& cpu, Call call, HypervisorCall* done);
  [[nodiscard]] MaybeFault return_from_event(CpuContext& cpu);
  [[nodiscard]] uint32_t set_table(uint32_t address, bool is_table);
  [[nodiscard]] uint32_t update_tables(CpuContext& cpu);
  [[nodiscard]] bool update_entry(CpuContext& cpu, GuestVirtual at, uint32_t* problem);
  [[nodiscard]] uint32_t set_events(uint32_t vector, uint32_t flags);
  [[nodiscard]] uint32_t set_timer(uint64_t time, uint32_t which);
  [[nodiscard]] uint32_t block(CpuContext& cpu, HypervisorCall* done);
  [[nodiscard]] uint32_t read_clock(CpuContext& cpu);
  [[nodiscard]] uint32_t print(CpuContext& cpu);
  [[nodiscard]] uint32_t give_back(CpuContext& cpu);

  [[nodiscard]] bool has_events() const { return vector_ != 0; }
  [[nodiscard]] bool is_table(uint32_t page) const {
    return page < tables_.size() && tables_[page];
  }
  // Nothing: there is no shared page, or it is not RAM any more.
  [[nodiscard]] std::optional<Events> events();
  [[nodiscard]] bool is_due();
  void raise(uint32_t channel);
  void set_masked(uint8_t masked);
  void write_code();
  void tell_clock();

  // Not state: in_, standing_at_, clock_, told_at_: its time is a field; the rest is of this host.
  RingshiftSurroundings in_;
  ToldClock clock_;
  ClockTimer timer_;
  uint64_t code_page_ = 0;    // as the guest has written it; bit 0: enabled
  uint64_t shared_page_ = 0;  // the same
  uint8_t vector_ = 0;        // of upcalls; 0: none are made
  bool takes_interrupts_ = false;
  std::vector<bool> tables_;  // by page of RAM: registered as a page table
  uint64_t standing_at_ = 0;
  uint64_t told_at_ = 0;  // virtual time
};

}  // namespace ringshift
