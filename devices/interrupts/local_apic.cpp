#include "devices/interrupts/local_apic.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "devices/bus/late_ticks.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Register numbers: offset / 16 (SDM 3A table 10-1).
constexpr unsigned kId = 0x02, kVersion = 0x03, kTaskPriority = 0x08, kArbitration = 0x09;
constexpr unsigned kProcessorPriority = 0x0a, kEndOfInterrupt = 0x0b;
constexpr unsigned kLogicalDestination = 0x0d, kDestinationFormat = 0x0e, kSpurious = 0x0f;
constexpr unsigned kInService = 0x10, kTriggerMode = 0x18, kRequest = 0x20, kErrorStatus = 0x28;
constexpr unsigned kCommandLow = 0x30, kCommandHigh = 0x31, kFirstLvt = 0x32;
constexpr unsigned kInitialCount = 0x38, kCurrentCount = 0x39, kDivide = 0x3e;

// Version 0x14 with six local vector table entries.
constexpr uint32_t kVersionValue = 0x00050014;
constexpr uint32_t kSoftwareEnable = 1U << 8;
constexpr uint32_t kSpuriousBits = 0x3ff;

constexpr uint32_t kMasked = 1U << 16, kPeriodic = 1U << 17, kModeBits = 7U << 8;
constexpr uint32_t kModeFixed = 0U << 8, kModeLowest = 1U << 8, kModeExternal = 7U << 8;
// The bits of each entry that can be written.
constexpr std::array<uint32_t, 6> kLvtBits{0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff};

constexpr uint32_t kCommandLowBits = 0x000ccfff, kDestinationLogical = 1U << 11;
constexpr uint32_t kShorthand = 3U << 18, kToSelf = 1U << 18, kToAll = 2U << 18;

constexpr uint32_t kSentIllegal = 1U << 5, kReceivedIllegal = 1U << 6, kIllegalRegister = 1U << 7;
constexpr uint8_t kFirstVector = 16;

constexpr Nanoseconds kTick = 1'000'000'000 / kLocalApicHertz;
// A guest that asks for more interrupts than it can take gets no more than these.
constexpr Nanoseconds kShortestPeriod = 10'000;
constexpr Nanoseconds kFurthestBehind = 1'000'000'000;

bool test(const std::array<uint32_t, 8>& bits, unsigned vector) {
  return (bits[vector / 32] >> vector % 32 & 1) != 0;
}
void set(std::array<uint32_t, 8>& bits, unsigned vector) { bits[vector / 32] |= 1U << vector % 32; }
void clear(std::array<uint32_t, 8>& bits, unsigned vector) {
  bits[vector / 32] &= ~(1U << vector % 32);
}
std::optional<uint8_t> highest(const std::array<uint32_t, 8>& bits) {
  for (unsigned word = 8; word-- != 0;) {
    if (bits[word] != 0) {
      return static_cast<uint8_t>(word * 32 + 31 -
                                  static_cast<unsigned>(std::countl_zero(bits[word])));
    }
  }
  return std::nullopt;
}

}  // namespace

LocalApic::LocalApic(VirtualClock& clock)
    : clock_(clock), timer_(clock, [this](Nanoseconds) { on_timer(); }) {
  reset();
}

// As after reset, but LINT0 as firmware leaves it: a guest that is entered without firmware, and
// knows no APIC, hears the 8259 pair (SDM 3A 10.4.7.1, MP Specification 1.4 3.6.2.2).
void LocalApic::reset() {
  timer_.cancel();
  nmi_pending_ = false;
  task_priority_ = logical_destination_ = 0;
  destination_format_ = ~0U;
  spurious_ = 0xff;
  in_service_ = trigger_mode_ = request_ = {};
  error_status_ = error_noted_ = command_low_ = command_high_ = 0;
  lvt_.fill(kMasked);
  lvt_[kLint0] = kModeExternal;
  initial_count_ = divide_ = 0;
  update();
}

void LocalApic::set_enabled(bool enabled) {
  if (enabled == enabled_) return;
  enabled_ = enabled;
  reset();
}

bool LocalApic::is_software_enabled() const { return (spurious_ & kSoftwareEnable) != 0; }

uint8_t LocalApic::processor_priority() const {
  const uint32_t serving = highest(in_service_).value_or(0);
  return static_cast<uint8_t>((task_priority_ & 0xf0) >= (serving & 0xf0) ? task_priority_
                                                                          : serving & 0xf0);
}

void LocalApic::update() {
  const uint32_t lint0 = lvt_[kLint0];
  passes_external_ = !enabled_ || (lint0 & (kMasked | kModeBits)) == kModeExternal;
  const std::optional<uint8_t> best = highest(request_);
  const bool was = pending_;
  pending_ =
      enabled_ && is_software_enabled() && best && (*best & 0xf0) > (processor_priority() & 0xf0);
  if (pending_ && !was && on_output_) on_output_();
}

uint8_t LocalApic::acknowledge() {
  const std::optional<uint8_t> vector = highest(request_);
  CHECK(pending_ && vector);
  clear(request_, *vector);
  set(in_service_, *vector);
  update();
  return *vector;
}

bool LocalApic::is_addressed(uint8_t destination, DestinationMode mode) const {
  if (destination == 0xff) return true;
  if (mode == DestinationMode::Physical) return destination == id_ >> 24;
  const uint32_t ours = logical_destination_ >> 24;
  if (destination_format_ >> 28 == 0xf) return (ours & destination) != 0;  // flat model
  return ours >> 4 == uint32_t{destination} >> 4 && (ours & destination & 0xf) != 0;
}

bool LocalApic::is_requested(uint8_t vector) const {
  return enabled_ && is_software_enabled() && test(request_, vector);
}

bool LocalApic::deliver(uint8_t vector, TriggerMode mode) {
  if (!enabled_ || !is_software_enabled()) return false;
  if (vector < kFirstVector) {
    note_error(kReceivedIllegal);
    return true;
  }
  counters().apic_messages++;
  set(request_, vector);
  if (mode == TriggerMode::Level) {
    set(trigger_mode_, vector);
  } else {
    clear(trigger_mode_, vector);
  }
  update();
  return true;
}

void LocalApic::end_of_interrupt() {
  const std::optional<uint8_t> vector = highest(in_service_);
  if (!vector) return;
  clear(in_service_, *vector);
  const bool level = test(trigger_mode_, *vector);
  update();
  if (level && on_end_) on_end_(*vector);
}

void LocalApic::note_error(uint32_t bits) {
  const bool news = (error_noted_ & bits) != bits;
  error_noted_ |= bits;
  if (news) raise_local(kErrorEntry);
}

void LocalApic::raise_local(Lvt entry) {
  if ((lvt_[entry] & kMasked) != 0) return;
  deliver(static_cast<uint8_t>(lvt_[entry]), TriggerMode::Edge);
}

void LocalApic::deliver_special(SpecialMessage message) {
  if (!enabled_) return;
  if (message == SpecialMessage::Nmi) {
    counters().apic_messages++;
    nmi_pending_ = true;
    if (on_output_) on_output_();
  } else if (on_refusal_) {
    on_refusal_(message == SpecialMessage::Init ? "INIT" : "SMI");
  }
}

// The shorthands that include the sender are for interrupts with vectors only, the others do not
// mean us (SDM 3A table 10-4). Taking INIT back is for processors older than this one, and start-up
// for one that waits for it: neither does anything here (SDM 3A 10.6.1).
void LocalApic::send_special() {
  constexpr uint32_t kTakenBack = 1U << 15, kAssert = 1U << 14;  // level-triggered, not asserted
  const auto message = static_cast<SpecialMessage>((command_low_ & kModeBits) >> 8);
  if (message != SpecialMessage::Nmi && message != SpecialMessage::Smi &&
      message != SpecialMessage::Init) {
    return;
  }
  if (message == SpecialMessage::Init && (command_low_ & (kTakenBack | kAssert)) == kTakenBack) {
    return;
  }
  if ((command_low_ & kShorthand) == 0 && sends_to_us()) deliver_special(message);
}

bool LocalApic::sends_to_us() const {
  const bool logical = (command_low_ & kDestinationLogical) != 0;
  return is_addressed(static_cast<uint8_t>(command_high_ >> 24),
                      logical ? DestinationMode::Logical : DestinationMode::Physical);
}

// There is nobody but us to send to; messages for others are accepted, and nobody takes them.
void LocalApic::send_message() {
  const uint32_t mode = command_low_ & kModeBits;
  if (mode != kModeFixed && mode != kModeLowest) return send_special();
  const auto vector = static_cast<uint8_t>(command_low_);
  if (vector < kFirstVector) return note_error(kSentIllegal);
  const uint32_t shorthand = command_low_ & kShorthand;
  const bool ours =
      shorthand == kToSelf || shorthand == kToAll || (shorthand == 0 && sends_to_us());
  if (ours) deliver(vector, TriggerMode::Edge);
}

// ---- the timer ----

// SDM 3A figure 10-10: bits 0, 1 and 3; 7 divides by one.
Nanoseconds LocalApic::timer_period() const {
  const unsigned code = (divide_ & 3) | ((divide_ >> 1) & 4);
  return kTick * initial_count_ << ((code + 1) & 7);
}

void LocalApic::start_timer() {
  if (initial_count_ == 0) return timer_.cancel();
  timer_end_ = clock_.now() + timer_period();
  timer_.arm(timer_end_);
}

uint32_t LocalApic::timer_count() {
  if (initial_count_ == 0) return 0;
  const Nanoseconds left = timer_end_ - clock_.now();
  const Nanoseconds tick = timer_period() / initial_count_;
  if (left > 0) return static_cast<uint32_t>(left / tick);
  if ((lvt_[kTimer] & kPeriodic) == 0) return 0;
  // Behind: where the count would be by now.
  const Nanoseconds into = -left % timer_period();
  return static_cast<uint32_t>((timer_period() - into) / tick);
}

// The rest of the count goes on at the new rate.
void LocalApic::change_divider(uint32_t divide) {
  const uint32_t left = timer_.armed() ? timer_count() : 0;
  divide_ = divide;
  if (left == 0) return;
  timer_end_ = clock_.now() + timer_period() / initial_count_ * left;
  timer_.arm(timer_end_);
}

void LocalApic::on_timer() {
  const bool is_periodic = (lvt_[kTimer] & kPeriodic) != 0 && initial_count_ != 0;
  if (!is_periodic) return raise_local(kTimer);
  const Nanoseconds now = clock_.now();
  const Nanoseconds period = std::max(timer_period(), kShortestPeriod);
  const MissedTicks missed = clock_.missed_ticks();
  const bool is_heard = (lvt_[kTimer] & kMasked) == 0;
  if (missed == MissedTicks::MakeUp && is_heard &&
      is_requested(static_cast<uint8_t>(lvt_[kTimer]))) {
    return timer_.arm(now + catch_up_pause(period));
  }
  raise_local(kTimer);
  timer_end_ += period;
  const Nanoseconds behind = now - timer_end_;
  // Where nobody hears it, nothing is lost that would have to be made up.
  const bool drops = missed == MissedTicks::Drop || (missed == MissedTicks::MakeUp && !is_heard);
  if (drops && behind >= 0) {
    timer_end_ += (behind / period + 1) * period;
    clock_.late_ticks().dropped += static_cast<uint64_t>(behind / period + 1);
  }
  if (missed == MissedTicks::MakeUp && behind >= 0) clock_.late_ticks().made_up++;
  if (missed == MissedTicks::Usual && behind > kFurthestBehind) timer_end_ = now;
  const bool is_paced = missed == MissedTicks::MakeUp;
  timer_.arm(is_paced ? std::max(timer_end_, now + catch_up_pause(period)) : timer_end_);
}

// ---- registers ----

uint32_t LocalApic::read(uint64_t offset, AccessWidth width) {
  const auto at = static_cast<unsigned>(offset);
  if (!enabled_) return ~uint32_t{0} >> (32 - 8 * static_cast<unsigned>(width));
  // Bytes and words are not for these registers (SDM 3A 10.4.1); they read as parts.
  const uint32_t value = at % 16 < 4 ? read_register(at / 16) : 0;
  return value >> 8 * (at % 4);
}

void LocalApic::write(uint64_t offset, AccessWidth width, uint32_t value) {
  if (!enabled_ || width != AccessWidth::Dword || offset % 16 != 0) return;
  write_register(static_cast<unsigned>(offset / 16), value);
}

uint32_t LocalApic::read_register(unsigned index) {
  if (index >= kInService && index < kInService + kWords) return in_service_[index - kInService];
  if (index >= kTriggerMode && index < kTriggerMode + kWords) {
    return trigger_mode_[index - kTriggerMode];
  }
  if (index >= kRequest && index < kRequest + kWords) return request_[index - kRequest];
  if (index >= kFirstLvt && index < kFirstLvt + kLvts) return lvt_[index - kFirstLvt];
  switch (index) {
    case kId:
      return id_;
    case kVersion:
      return kVersionValue;
    case kTaskPriority:
      return task_priority_;
    case kProcessorPriority:
      return processor_priority();
    case kArbitration:
    case kEndOfInterrupt:
      return 0;
    case kLogicalDestination:
      return logical_destination_;
    case kDestinationFormat:
      return destination_format_;
    case kSpurious:
      return spurious_;
    case kErrorStatus:
      return error_status_;
    case kCommandLow:
      return command_low_;
    case kCommandHigh:
      return command_high_;
    case kInitialCount:
      return initial_count_;
    case kCurrentCount:
      return timer_count();
    case kDivide:
      return divide_;
    default:
      note_error(kIllegalRegister);
      return 0;
  }
}

void LocalApic::write_lvt(Lvt entry, uint32_t value) {
  lvt_[entry] = value & kLvtBits[entry];
  // Masked for as long as the whole is disabled (SDM 3A 10.4.7.2).
  if (!is_software_enabled()) lvt_[entry] |= kMasked;
  update();
}

void LocalApic::write_spurious(uint32_t value) {
  spurious_ = value & kSpuriousBits;
  if (!is_software_enabled()) {
    for (uint32_t& entry : lvt_) entry |= kMasked;
  }
  update();
}

void LocalApic::write_register(unsigned index, uint32_t value) {
  if (index >= kFirstLvt && index < kFirstLvt + kLvts) {
    return write_lvt(static_cast<Lvt>(index - kFirstLvt), value);
  }
  switch (index) {
    case kEndOfInterrupt:
      return end_of_interrupt();
    case kTaskPriority:
      task_priority_ = value & 0xff;
      return update();
    case kId:
      id_ = value & 0xff000000U;
      return;
    case kLogicalDestination:
      logical_destination_ = value & 0xff000000U;
      return;
    case kDestinationFormat:
      destination_format_ = value | 0x0fffffffU;
      return;
    case kSpurious:
      return write_spurious(value);
    case kErrorStatus:
      error_status_ = std::exchange(error_noted_, 0);
      return;
    case kCommandLow:
      command_low_ = value & kCommandLowBits;
      return send_message();
    case kCommandHigh:
      command_high_ = value & 0xff000000U;
      return;
    case kInitialCount:
      initial_count_ = value;
      return start_timer();
    case kDivide:
      return change_divider(value & 0xb);
    case kVersion:
    case kArbitration:
    case kProcessorPriority:
    case kCurrentCount:
      return;  // read-only
    default:
      return note_error(kIllegalRegister);
  }
}

void LocalApic::visit_state(StateArchive& archive) {
  archive.field("enabled", enabled_);
  archive.field("nmi pending", nmi_pending_);
  archive.field("id", id_);
  archive.field("task priority", task_priority_);
  archive.field("logical destination", logical_destination_);
  archive.field("destination format", destination_format_);
  archive.field("spurious", spurious_);
  archive.numbers("in service", in_service_);
  archive.numbers("trigger mode", trigger_mode_);
  archive.numbers("request", request_);
  archive.field("error status", error_status_);
  archive.field("error noted", error_noted_);
  archive.field("command low", command_low_);
  archive.field("command high", command_high_);
  archive.numbers("lvt", lvt_);
  archive.field("initial count", initial_count_);
  archive.field("divide", divide_);
  archive.field("timer end", timer_end_, 0, kLatestDeadline);
  archive.part("timer", timer_);
  // The pending interrupt follows from the registers; the processor that waits for it is told.
  if (!archive.has_loaded()) return;
  update();
  if (nmi_pending_ && on_output_) on_output_();
}

}  // namespace ringshift
