// Machine, fifth part: the hypervisor that its guest may know of. See docs/paravirt.md.
#include <thread>

#include "monitor/machine/machine.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

// Called before the processor is made, which is told the interface that it is to show.
void Machine::choose_paravirt() {
  CpuModel& cpu = config_.cpu;
  if (cpu.paravirt == Paravirt::None) return;
  cpu.tsc_hz = HostClock::time_stamp_rate();
  cpu.steal_time = config_.foundation->run_delay != nullptr || config_.vcpu.cpu_percent != 0;
  cpu.tsc_is_stable = host_time_stamp_is_stable();
}

// Its time-stamp counter, which is set to the host's before the guest begins.
bool Machine::build_paravirt(std::string* error) {
  const CpuModel& model = processor_->cpu().model;
  const auto stolen = [this] { return stolen_time(); };
  constexpr Nanoseconds kSecond = 1'000'000'000;
  // At its own rate from when the machine began, or the host's now: the guest's clock and a
  // calendar that it begins with.
  const Nanoseconds began = HostClock::wall_time() + config_.rtc_offset * kSecond;
  const auto time_of_day = [this, began] {
    if (!config_.time.scale.is_one()) return began + clock_->now();
    return HostClock::wall_time() + config_.rtc_offset * kSecond;
  };
  switch (model.paravirt) {
    case Paravirt::None:
      return true;
    case Paravirt::Kvm:
      kvm_ = std::make_unique<KvmInterface>(KvmSurroundings{.memory = *physical_,
                                                            .tsc = processor_->cpu().tsc,
                                                            .model = model,
                                                            .time_of_day = time_of_day,
                                                            .stolen = stolen});
      processor_->cpu().hypervisor = kvm_.get();
      return true;
    case Paravirt::Ringshift:
      calls_ = std::make_unique<RingshiftInterface>(
          RingshiftSurroundings{.memory = *physical_,
                                .tsc = processor_->cpu().tsc,
                                .model = model,
                                .clock = *clock_,
                                .time_of_day = time_of_day,
                                .print = [this](auto bytes) { print_paravirt(bytes); },
                                .acknowledge = [this] { return acknowledge_interrupt(); },
                                .yield = [] { std::this_thread::yield(); }});
      processor_->cpu().hypervisor = calls_.get();
      return true;
    case Paravirt::Vmware:
      vmware_ = std::make_unique<VmwareInterface>(state(), *physical_, model, stolen);
      if (ports_.claim(VmwareInterface::kPort, 4, *vmware_, "vmware")) return true;
      *error = "--paravirt vmware: a device has port 0x5658";
      return false;
  }
  return true;
}

// Where port 0xe9 prints.
void Machine::print_paravirt(std::span<const uint8_t> bytes) {
  constexpr uint16_t kDebugConsole = 0xe9;
  for (const uint8_t byte : bytes) ports_.write(kDebugConsole, AccessWidth::Byte, byte);
}

std::optional<uint8_t> Machine::acknowledge_interrupt() {
  ProcessorInterrupts waiting = interrupts();
  if (!waiting.pending()) return std::nullopt;
  return waiting.acknowledge();
}

// In which the virtual CPU wanted to run and did not: of this process, since it began. A stop that
// the guest is told of is a part of it. In the guest's time.
Nanoseconds Machine::stolen_time() {
  RunDelay* delay = config_.foundation->run_delay.get();
  const Nanoseconds held = processor_->has_loop() ? processor_->loop().held() : 0;
  const Nanoseconds waited = held + (delay != nullptr ? delay->read() : 0);
  return clock_->guest_time(waited + clock_->stops_passed());
}

// As often as a guest's tick comes, and no more often: reading it is a system call or two.
void Machine::tell_paravirt() {
  constexpr Nanoseconds kOften = 1'000'000;
  if (kvm_ == nullptr && vmware_ == nullptr && calls_ == nullptr) return;
  const Nanoseconds now = HostClock::monotonic();
  if (now - paravirt_told_at_ < kOften) return;
  paravirt_told_at_ = now;
  if (kvm_ != nullptr) kvm_->at_safe_point();
  if (vmware_ != nullptr) vmware_->at_safe_point();
  if (calls_ != nullptr) calls_->at_safe_point();
}

// After RAM, the board and the processor, whose time-stamp counter stands.
void Machine::visit_paravirt(StateArchive& archive, uint64_t host_time_stamp) {
  if (kvm_ != nullptr) {
    kvm_->stand_at(host_time_stamp + state().tsc_offset);
    archive.part("kvm interface", *kvm_);
  }
  if (vmware_ != nullptr) archive.part("vmware interface", *vmware_);
  if (calls_ != nullptr) {
    calls_->stand_at(host_time_stamp + state().tsc_offset);
    archive.part("ringshift interface", *calls_);
  }
}

}  // namespace ringshift
