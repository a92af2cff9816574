#include "devices/timers/pit_counter.h"

#include <algorithm>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// More than the ticks of the longest run.
constexpr int64_t kLatestTick = int64_t{1} << 60;

uint16_t to_bcd(int64_t value) {
  return static_cast<uint16_t>(value / 1000 % 10 << 12 | value / 100 % 10 << 8 |
                               value / 10 % 10 << 4 | value % 10);
}

}  // namespace

void PitCounter::write_control(uint8_t control, int64_t tick) {
  access_ = (control >> 4) & 3;
  mode_ = (control >> 1) & 7;
  if (mode_ > 5) mode_ &= 3;  // datasheet: the high mode bit is "don't care" in modes 2 and 3
  bcd_ = (control & 1) != 0;
  counting_ = false;
  null_count_ = true;
  paused_.reset();
  next_count_.reset();
  write_high_next_ = false;
  read_high_next_ = false;
  latched_count_.reset();
  latched_status_.reset();
  start_ = tick;
}

int64_t PitCounter::decode(uint16_t written) const {
  if (!bcd_) return written == 0 ? 65536 : written;
  // Digits above 9 are meaningless to the datasheet; give them their weight so nothing overflows.
  const int64_t value = (written >> 12) * 1000 + ((written >> 8) & 15) * 100 +
                        ((written >> 4) & 15) * 10 + (written & 15);
  return value == 0 ? 10000 : value;
}

void PitCounter::write(uint8_t value, int64_t tick) {
  if (access_ == 1) {
    load(decode(value), tick);
  } else if (access_ == 2) {
    load(decode(static_cast<uint16_t>(value << 8)), tick);
  } else if (!write_high_next_) {
    low_byte_ = value;
    write_high_next_ = true;
    // Mode 0: the first byte stops counting and drives OUT low at once.
    if (mode_ == 0) counting_ = false;
  } else {
    write_high_next_ = false;
    load(decode(static_cast<uint16_t>(value << 8 | low_byte_)), tick);
  }
}

void PitCounter::load(int64_t count, int64_t tick) {
  if (periodic()) count = std::max<int64_t>(count, 2);  // 1 is illegal there
  apply_reload(tick);
  const bool triggered = mode_ == 1 || mode_ == 5;
  if (triggered || (periodic() && counting_ && !paused_)) {
    // Taken over by the next trigger, or at the end of the period in progress.
    if (!triggered && !next_count_) {
      next_count_at_ = start_ + (elapsed(tick) / count_ + 1) * count_;
    }
    next_count_ = count;
    null_count_ = true;
    return;
  }
  count_ = count;
  null_count_ = false;
  restart(tick);
}

void PitCounter::restart(int64_t tick) {
  start_ = tick + 1;  // the count register reaches the counting element on the next clock
  second_period_ = false;
  counting_ = true;
  paused_.reset();
  if (!gate_ && mode_ != 1 && mode_ != 5) paused_ = 0;
}

void PitCounter::set_gate(bool high, int64_t tick) {
  if (high == gate_) return;
  apply_reload(tick);
  gate_ = high;
  switch (mode_) {
    case 0:
    case 4:
      if (!counting_) break;
      if (high && paused_) {
        start_ = tick - *paused_;
        paused_.reset();
      } else if (!high) {
        paused_ = elapsed(tick);
      }
      break;
    case 1:
    case 5:
      if (!high) break;
      if (next_count_) {
        count_ = *next_count_;
        next_count_.reset();
        null_count_ = false;
        counting_ = true;
      }
      if (count_ != 0 && counting_) restart(tick);
      break;
    default:
      if (!counting_) break;
      if (!high) {
        paused_ = elapsed(tick);
      } else {
        if (next_count_) count_ = *next_count_;
        next_count_.reset();
        null_count_ = false;
        restart(tick);
      }
      break;
  }
}

int64_t PitCounter::elapsed(int64_t tick) const {
  if (paused_) return *paused_;
  return std::max<int64_t>(0, tick - start_);
}

void PitCounter::apply_reload(int64_t tick) {
  if (!periodic() || !next_count_ || paused_ || tick < next_count_at_) return;
  start_ = next_count_at_;
  second_period_ = true;
  count_ = *next_count_;
  next_count_.reset();
  null_count_ = false;
}

bool PitCounter::output(int64_t tick) {
  apply_reload(tick);
  if (!counting_) return mode_ != 0;
  const int64_t gone = elapsed(tick);
  switch (mode_) {
    case 0:
    case 1:
      return gone >= count_;
    case 2:
      return !gate_ || gone % count_ != count_ - 1;
    case 3:
      return !gate_ || gone % count_ < (count_ + 1) / 2;
    default:
      return gone != count_;
  }
}

std::optional<int64_t> PitCounter::next_rising_edge(int64_t after) {
  apply_reload(after);
  if (!counting_ || paused_) return std::nullopt;
  if (periodic()) {
    if (after < start_) return second_period_ ? start_ : start_ + count_;
    return start_ + ((after - start_) / count_ + 1) * count_;
  }
  // Modes 0 and 1 rise at terminal count; 4 and 5 are low for the one clock that follows it.
  const int64_t edge = start_ + count_ + (mode_ >= 4 ? 1 : 0);
  return edge > after ? std::optional(edge) : std::nullopt;
}

uint16_t PitCounter::count_at(int64_t tick) {
  apply_reload(tick);
  if (count_ == 0) return 0;
  const int64_t gone = elapsed(tick);
  int64_t value = 0;
  if (mode_ == 2) {
    value = count_ - gone % count_;
  } else if (mode_ == 3) {
    // Counts down by two twice per period; an odd count starts from the even number below it.
    const int64_t high_half = (count_ + 1) / 2;
    const int64_t phase = gone % count_;
    value = (count_ & ~int64_t{1}) - 2 * (phase < high_half ? phase : phase - high_half);
  } else {
    value = (count_ - gone) % modulus();
    if (value < 0) value += modulus();
  }
  return bcd_ ? to_bcd(value % 10000) : static_cast<uint16_t>(value);
}

void PitCounter::latch_count(int64_t tick) {
  if (!latched_count_) latched_count_ = count_at(tick);
}

void PitCounter::latch_status(int64_t tick) {
  if (latched_status_) return;
  const bool out = output(tick);
  latched_status_ = static_cast<uint8_t>((out ? 0x80 : 0) | (null_count_ ? 0x40 : 0) |
                                         access_ << 4 | mode_ << 1 | (bcd_ ? 1 : 0));
}

uint8_t PitCounter::read(int64_t tick) {
  if (latched_status_) {
    const uint8_t status = *latched_status_;
    latched_status_.reset();
    return status;
  }
  const uint16_t value = latched_count_ ? *latched_count_ : count_at(tick);
  const bool high = access_ == 2 || (access_ == 3 && read_high_next_);
  if (access_ == 3) read_high_next_ = !read_high_next_;
  // A latch is used up by the last byte of its reading.
  if (access_ != 3 || high) latched_count_.reset();
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

void PitCounter::visit_state(StateArchive& archive) {
  constexpr int64_t kMostCount = 65536, kFurthest = kLatestTick;
  archive.field("mode", mode_, 0, 5);
  archive.field("access", access_, 1, 3);
  archive.field("bcd", bcd_);
  archive.field("gate", gate_);
  archive.field("counting", counting_);
  archive.field("null count", null_count_);
  archive.field("second period", second_period_);
  archive.field("count", count_, 0, kMostCount);
  archive.field("start", start_, -kFurthest, kFurthest);
  archive.optional("paused", paused_, 0, kFurthest);
  archive.optional("next count", next_count_, 1, kMostCount);
  archive.field("next count at", next_count_at_, 0, kFurthest);
  archive.field("low byte", low_byte_);
  archive.field("write high next", write_high_next_);
  archive.field("read high next", read_high_next_);
  archive.optional("latched count", latched_count_, 0, 0xffff);
  archive.optional("latched status", latched_status_, 0, 0xff);
  archive.require(!counting_ || count_ != 0, "count", "nothing can be counted down from 0");
}

}  // namespace ringshift
