#include "devices/timers/hpet.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t kCapabilities = 0x000, kGeneral = 0x010, kStatus = 0x020, kCounter = 0x0f0;
constexpr uint64_t kFirstTimer = 0x100, kTimerBytes = 0x20;

// 64-bit counter, three timers, revision 1, no legacy replacement.
constexpr uint64_t kCapabilitiesValue =
    Hpet::kPeriodFemtoseconds << 32 | 0x8086ULL << 16 | 1U << 13 | (Hpet::kTimers - 1) << 8 | 1;
constexpr uint64_t kEnable = 1;

// Timer configuration.
constexpr uint64_t kLevel = 1U << 1, kInterrupts = 1U << 2, kPeriodic = 1U << 3;
constexpr uint64_t kValueSet = 1U << 6, kThirtyTwoBits = 1U << 8;
constexpr unsigned kRouteShift = 9;
constexpr uint64_t kRoute = 0x1fU << kRouteShift;
constexpr uint64_t kWritable = kLevel | kInterrupts | kPeriodic | kThirtyTwoBits | kRoute;
// Can be periodic, 64 bits; inputs 20 to 23 of the I/O APIC, which nobody else uses.
constexpr uint64_t kFixed = 1U << 4 | 1U << 5 | 0x00f00000ULL << 32;

// As for the local APIC's timer.
constexpr Nanoseconds kShortestPeriod = 10'000;

uint64_t merge(uint64_t old, uint64_t value, uint64_t mask) {
  return (old & ~mask) | (value & mask);
}

}  // namespace

Hpet::Timer::Timer(Hpet& hpet, unsigned index)
    : timer(hpet.clock_, [&hpet, index](Nanoseconds) { hpet.on_due(index); }) {}

Hpet::Hpet(VirtualClock& clock, std::function<void(unsigned, bool)> set_input)
    : clock_(clock),
      set_input_(std::move(set_input)),
      timers_{{Timer(*this, 0), Timer(*this, 1), Timer(*this, 2)}} {
  for (Timer& timer : timers_) timer.config = kFixed | 20U << kRouteShift;
}

unsigned Hpet::route_of(const Timer& timer) {
  return static_cast<unsigned>(timer.config >> kRouteShift & 0x1f);
}

bool Hpet::is_routable(uint64_t route) { return (kFixed >> 32 >> route & 1) != 0; }

bool Hpet::running() const { return (general_ & kEnable) != 0; }

uint64_t Hpet::counter() {
  if (!running()) return halted_at_;
  return halted_at_ + static_cast<uint64_t>((clock_.now() - started_at_) / kPeriod);
}

uint32_t Hpet::read(uint64_t offset, AccessWidth width) {
  const uint64_t value = read_register(offset & ~uint64_t{7}) >> 8 * (offset & 7);
  return static_cast<uint32_t>(value) & ~uint32_t{0} >> (32 - 8 * static_cast<unsigned>(width));
}

void Hpet::write(uint64_t offset, AccessWidth width, uint32_t value) {
  // Less than 32 bits is not for these registers (1.0a, 2.3.2).
  if (width != AccessWidth::Dword || offset % 4 != 0) return;
  const unsigned shift = 8 * (offset & 7);
  write_register(offset & ~uint64_t{7}, uint64_t{value} << shift, uint64_t{0xffffffff} << shift);
}

uint64_t Hpet::read_register(uint64_t at) {
  switch (at) {
    case kCapabilities:
      return kCapabilitiesValue;
    case kGeneral:
      return general_;
    case kStatus:
      return status_;
    case kCounter:
      return counter();
    default:
      break;
  }
  if (at < kFirstTimer || at >= kFirstTimer + kTimers * kTimerBytes) return 0;
  const Timer& timer = timers_[(at - kFirstTimer) / kTimerBytes];
  switch (at % kTimerBytes) {
    case 0:
      return timer.config;
    case 8:
      return timer.comparator;
    default:
      return 0;
  }
}

void Hpet::write_register(uint64_t at, uint64_t value, uint64_t mask) {
  if (at == kGeneral) return write_general(merge(general_, value, mask & kEnable));
  if (at == kStatus) return write_status(value & mask);
  if (at == kCounter) {
    // Software writes it while it stands still (1.0a, 2.3.7).
    if (!running()) halted_at_ = merge(halted_at_, value, mask);
    return;
  }
  if (at < kFirstTimer || at >= kFirstTimer + kTimers * kTimerBytes) return;
  const auto index = static_cast<unsigned>((at - kFirstTimer) / kTimerBytes);
  write_timer(index, static_cast<unsigned>(at % kTimerBytes), value, mask);
}

void Hpet::write_general(uint64_t value) {
  if (value == general_) return;
  halted_at_ = counter();
  general_ = value;
  started_at_ = clock_.now();
  for (unsigned i = 0; i < kTimers; ++i) schedule(i);
}

void Hpet::write_status(uint64_t cleared) {
  status_ &= ~cleared;
  for (unsigned i = 0; i < kTimers; ++i) set_wire(i);
}

void Hpet::write_timer(unsigned index, unsigned what, uint64_t value, uint64_t mask) {
  Timer& timer = timers_[index];
  if (what == 0) {
    const uint64_t asked = merge(timer.config, value, mask & (kWritable | kValueSet));
    const uint64_t route = asked >> kRouteShift & 0x1f;
    const bool routable = is_routable(route);
    if ((timer.config & kLevel) != 0) set_input_(route_of(timer), false);
    timer.config = routable ? asked : (asked & ~kRoute) | (timer.config & kRoute);
  } else if (what == 8) {
    const bool periodic = (timer.config & kPeriodic) != 0;
    // Periodic: the value is the period, and the comparator itself only after kValueSet.
    if (periodic) timer.period = merge(timer.period, value, mask);
    if (!periodic || (timer.config & kValueSet) != 0) {
      timer.comparator = merge(timer.comparator, value, mask);
    }
    timer.config &= ~kValueSet;
  } else {
    return;
  }
  set_wire(index);
  schedule(index);
}

// Levels only; an edge is given when it comes.
void Hpet::set_wire(unsigned index) {
  const Timer& timer = timers_[index];
  if ((timer.config & kLevel) == 0) return;
  const bool asserted = (status_ >> index & 1) != 0 && (timer.config & kInterrupts) != 0;
  set_input_(route_of(timer), asserted);
}

void Hpet::on_due(unsigned index) {
  Timer& timer = timers_[index];
  const bool interrupts = (timer.config & kInterrupts) != 0;
  if ((timer.config & kLevel) != 0) {
    status_ |= uint64_t{1} << index;
    set_wire(index);
  } else if (interrupts) {
    const unsigned input = route_of(timer);
    set_input_(input, true);
    set_input_(input, false);
  }
  if ((timer.config & kPeriodic) == 0 || timer.period == 0) return;
  // Periods that have been missed are given up.
  const uint64_t behind = counter() - timer.comparator;
  timer.comparator += (behind / timer.period + 1) * timer.period;
  schedule(index);
}

void Hpet::schedule(unsigned index) {
  Timer& timer = timers_[index];
  timer.timer.cancel();
  if (!running() || (timer.config & kInterrupts) == 0) return;
  uint64_t ticks = timer.comparator - counter();
  if ((timer.config & kThirtyTwoBits) != 0) ticks = static_cast<uint32_t>(ticks);
  const uint64_t furthest = std::numeric_limits<Nanoseconds>::max() / (2 * kPeriod);
  if (ticks > furthest) return;  // has passed: the counter comes round in a few thousand years
  Nanoseconds delay = static_cast<Nanoseconds>(ticks) * kPeriod;
  if ((timer.config & kPeriodic) != 0) delay = std::max(delay, kShortestPeriod);
  timer.timer.arm(clock_.now() + delay);
}

void Hpet::Timer::visit_state(StateArchive& archive) {
  archive.field("config", config);
  archive.field("comparator", comparator);
  archive.field("period", period);
  archive.part("timer", timer);
  archive.require((config & ~(kWritable | kValueSet)) == kFixed, "config", "it has other bits");
  archive.require(is_routable(route_of(*this)), "config", "it leads to another input");
}

void Hpet::visit_state(StateArchive& archive) {
  archive.field("general", general_, 0, kEnable);
  archive.field("status", status_);
  archive.field("halted at", halted_at_);
  archive.field("started at", started_at_, 0, kLongestRun);
  archive.part("timer 0", timers_[0]);
  archive.part("timer 1", timers_[1]);
  archive.part("timer 2", timers_[2]);
}

}  // namespace ringshift
