#include "devices/timers/rtc_cmos.h"

#include <algorithm>
#include <optional>

#include "devices/bus/late_ticks.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

enum Register : unsigned {
  kSeconds = 0,
  kSecondsAlarm = 1,
  kMinutes = 2,
  kMinutesAlarm = 3,
  kHours = 4,
  kHoursAlarm = 5,
  kWeekday = 6,
  kDay = 7,
  kMonth = 8,
  kYear = 9,
  kA = 10,
  kB = 11,
  kC = 12,
  kD = 13,
  kCentury = 0x32,
};

constexpr uint8_t kUpdateInProgress = 0x80;                                // A
constexpr uint8_t kSet = 0x80, kUpdateEnable = 0x10, kAlarmEnable = 0x20;  // B
constexpr uint8_t kBinary = 0x04, kHours24 = 0x02;                         // B
constexpr uint8_t kPeriodicEnable = 0x40;                                  // B
constexpr uint8_t kFlagIrq = 0x80, kFlagPeriodic = 0x40, kFlagAlarm = 0x20, kFlagUpdate = 0x10;
constexpr uint8_t kEnables = kPeriodicEnable | kAlarmEnable | kUpdateEnable;
constexpr uint8_t kValidRam = 0x80;  // D

constexpr int64_t kSecondsPerDay = 86400;
// Datasheet table 6, 32.768 kHz time base: UIP rises 244 us before a cycle that lasts 1984 us.
constexpr Nanoseconds kUpdateWindow = 244'000 + 1'984'000;
constexpr TickRate kChain{32768};

struct Date {
  int64_t year;
  unsigned month;  // 1-12
  unsigned day;    // 1-31
};

// Proleptic Gregorian calendar in eras of 400 years (146,097 days), years beginning in March so
// that the leap day is the last of its year. Day 0 is 1970-01-01.
int64_t days_from_date(const Date& date) {
  const int64_t year = date.year - (date.month <= 2 ? 1 : 0);
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t month = (date.month + 9) % 12;
  const int64_t day_of_year = (153 * month + 2) / 5 + static_cast<int64_t>(date.day) - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
         719468;
}

Date date_from_days(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month = (5 * day_of_year + 2) / 153;
  return {year_of_era + era * 400 + (month >= 10 ? 1 : 0),
          static_cast<unsigned>(month < 10 ? month + 3 : month - 9),
          static_cast<unsigned>(day_of_year - (153 * month + 2) / 5 + 1)};
}

// 0 to 6, Sunday first. 1970-01-01 was a Thursday.
unsigned weekday_of(int64_t days) { return static_cast<unsigned>(((days + 4) % 7 + 7) % 7); }

int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

}  // namespace

RtcCmos::RtcCmos(VirtualClock& clock, InterruptLine& irq8, int64_t epoch_seconds)
    : clock_(clock),
      irq_(irq8),
      base_seconds_(epoch_seconds),
      timer_(clock, [this](Nanoseconds) { catch_up(); }) {
  bytes_[kA] = 0x26;  // 32,768 Hz time base, 1,024 Hz periodic rate: as every PC BIOS leaves it
  bytes_[kB] = kHours24;
  bytes_[kD] = kValidRam;
  last_catch_up_ = chain_time();
  calendar_to_registers();
}

void RtcCmos::set_byte(unsigned index, uint8_t value) {
  CHECK(index > kD && index < bytes_.size());
  bytes_[index] = value;
}

void RtcCmos::set_memory_size(uint64_t ram_bytes) {
  const auto store16 = [this](unsigned index, uint64_t value) {
    const uint64_t capped = std::min<uint64_t>(value, 0xffff);
    bytes_[index] = static_cast<uint8_t>(capped);
    bytes_[index + 1] = static_cast<uint8_t>(capped >> 8);
  };
  constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB, k64KiB = 64 * kKiB;
  const auto above = [ram_bytes](uint64_t base) { return ram_bytes > base ? ram_bytes - base : 0; };
  store16(0x15, std::min<uint64_t>(ram_bytes / kKiB, 640));
  store16(0x17, above(kMiB) / kKiB);
  store16(0x30, above(kMiB) / kKiB);
  store16(0x34, above(16 * kMiB) / k64KiB);
}

uint8_t RtcCmos::read_byte(uint16_t offset) {
  // Port 0x70 is write-only; the bus floats.
  return offset == 0 ? uint8_t{0xff} : read_register(index_);
}

void RtcCmos::write_byte(uint16_t offset, uint8_t value) {
  if (offset == 0) {
    index_ = value & 0x7f;  // bit 7 masks NMI, and there is no NMI source on this board
  } else {
    write_register(index_, value);
  }
}

uint8_t RtcCmos::read_register(unsigned index) {
  switch (index) {
    case kA:
      return static_cast<uint8_t>((bytes_[kA] & ~kUpdateInProgress) |
                                  (update_in_progress() ? kUpdateInProgress : 0));
    case kC: {
      catch_up();
      const uint8_t flags = bytes_[kC];
      bytes_[kC] = 0;
      update_irq();
      arm_timer();
      return flags;
    }
    default:
      if (index <= kYear || index == kCentury) calendar_to_registers();
      return bytes_[index];
  }
}

void RtcCmos::write_register(unsigned index, uint8_t value) {
  switch (index) {
    case kSecondsAlarm:
    case kMinutesAlarm:
    case kHoursAlarm:
      catch_up();
      bytes_[index] = value;
      break;
    case kSeconds:
    case kMinutes:
    case kHours:
    case kWeekday:
    case kDay:
    case kMonth:
    case kYear:
    case kCentury:
      catch_up();
      calendar_to_registers();
      bytes_[index] = value;
      if (updating()) registers_to_calendar();
      break;
    case kA:
      write_a(value);
      break;
    case kB:
      write_b(value);
      break;
    case kC:
    case kD:
      break;  // read-only
    default:
      bytes_[index] = value;
      break;
  }
}

bool RtcCmos::divider_running() const {
  // DV 11x holds the divider chain in reset; every other value lets it run.
  return (bytes_[kA] & 0x60) != 0x60;
}

bool RtcCmos::updating() const { return divider_running() && (bytes_[kB] & kSet) == 0; }

void RtcCmos::write_a(uint8_t value) {
  catch_up();
  calendar_to_registers();
  forget_owed();
  const bool ran = divider_running();
  bytes_[kA] = value & 0x7f;
  if (!ran && divider_running()) {
    // Datasheet, "Divider control": the first update comes half a second after the release.
    const Nanoseconds fraction = chain_time() % kNanosecondsPerSecond;
    phase_ = (phase_ + kNanosecondsPerSecond * 3 / 2 - fraction) % kNanosecondsPerSecond;
    last_catch_up_ = chain_time();
  }
  if (updating()) registers_to_calendar();
  arm_timer();
}

void RtcCmos::write_b(uint8_t value) {
  catch_up();
  calendar_to_registers();
  if ((value & kSet) != 0) value &= static_cast<uint8_t>(~kUpdateEnable);
  const uint8_t format_change = (bytes_[kB] ^ value) & (kBinary | kHours24);
  const bool was_updating = updating();
  bytes_[kB] = value;
  if (updating() && !was_updating) registers_to_calendar();
  // A format change alone leaves the register contents wrong until they are written again; while
  // the clock runs they are simply shown in the new format.
  if (format_change != 0) calendar_to_registers();
  if (!owes_periods()) forget_owed();
  update_irq();
  arm_timer();
}

Nanoseconds RtcCmos::chain_time() { return clock_.now() + phase_; }

int64_t RtcCmos::seconds_now() { return base_seconds_ + chain_time() / kNanosecondsPerSecond; }

bool RtcCmos::update_in_progress() {
  if (!updating()) return false;
  return chain_time() % kNanosecondsPerSecond >= kNanosecondsPerSecond - kUpdateWindow;
}

uint8_t RtcCmos::encode(unsigned value) const {
  if ((bytes_[kB] & kBinary) != 0) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

unsigned RtcCmos::decode(uint8_t value) const {
  if ((bytes_[kB] & kBinary) != 0) return value;
  return (value >> 4) * 10U + (value & 15U);
}

uint8_t RtcCmos::encode_hour(unsigned hour) const {
  if ((bytes_[kB] & kHours24) != 0) return encode(hour);
  const unsigned shown = hour % 12 == 0 ? 12 : hour % 12;
  return static_cast<uint8_t>(encode(shown) | (hour >= 12 ? 0x80 : 0));
}

unsigned RtcCmos::decode_hour(uint8_t value) const {
  if ((bytes_[kB] & kHours24) != 0) return decode(value);
  return decode(value & 0x7f) % 12 + ((value & 0x80) != 0 ? 12 : 0);
}

void RtcCmos::calendar_to_registers() {
  if (!updating()) return;
  const int64_t seconds = seconds_now();
  const int64_t days = floor_divide(seconds, kSecondsPerDay);
  const auto of_day = static_cast<unsigned>(seconds - days * kSecondsPerDay);
  const Date date = date_from_days(days);
  const auto year = static_cast<unsigned>(std::clamp<int64_t>(date.year, 0, 9999));
  bytes_[kSeconds] = encode(of_day % 60);
  bytes_[kMinutes] = encode(of_day / 60 % 60);
  bytes_[kHours] = encode_hour(of_day / 3600);
  bytes_[kWeekday] = encode((weekday_of(days) + weekday_ahead_) % 7 + 1);
  bytes_[kDay] = encode(date.day);
  bytes_[kMonth] = encode(date.month);
  bytes_[kYear] = encode(year % 100);
  bytes_[kCentury] = encode(year / 100);
}

void RtcCmos::registers_to_calendar() {
  // Values out of range are the guest's to answer for; they carry into the next unit.
  Date date{};
  date.year = static_cast<int64_t>(decode(bytes_[kCentury])) * 100 + decode(bytes_[kYear]);
  date.month = std::clamp(decode(bytes_[kMonth]), 1U, 12U);
  date.day = decode(bytes_[kDay]);
  const int64_t of_day = decode_hour(bytes_[kHours]) * int64_t{3600} +
                         decode(bytes_[kMinutes]) * int64_t{60} + decode(bytes_[kSeconds]);
  const int64_t seconds = days_from_date(date) * kSecondsPerDay + of_day;
  base_seconds_ = seconds - chain_time() / kNanosecondsPerSecond;
  // The weekday is a counter of its own: it goes on from the guest's value, whatever the date says.
  // The register counts Sunday as 1.
  const unsigned derived = weekday_of(floor_divide(seconds, kSecondsPerDay));
  weekday_ahead_ = static_cast<uint8_t>((decode(bytes_[kWeekday]) + 13 - derived) % 7);
}

int64_t RtcCmos::periodic_ticks() const {
  const unsigned rate = bytes_[kA] & 15U;
  if (rate == 0 || !divider_running()) return 0;
  // Datasheet table 5: with a 32,768 Hz time base the rates 1 and 2 repeat 8 and 9.
  return int64_t{1} << ((rate < 3 ? rate + 7 : rate) - 1);
}

bool RtcCmos::alarm_matches(int64_t seconds) const {
  const int64_t of_day = seconds - floor_divide(seconds, kSecondsPerDay) * kSecondsPerDay;
  const auto field = [this](unsigned index, uint8_t now) {
    // The two top bits set make a field match anything.
    return (bytes_[index] & 0xc0) == 0xc0 || bytes_[index] == now;
  };
  return field(kSecondsAlarm, encode(static_cast<unsigned>(of_day % 60))) &&
         field(kMinutesAlarm, encode(static_cast<unsigned>(of_day / 60 % 60))) &&
         field(kHoursAlarm, encode_hour(static_cast<unsigned>(of_day / 3600)));
}

bool RtcCmos::alarm_between(int64_t after, int64_t until) const {
  const int64_t first = std::max(after + 1, until - kSecondsPerDay);
  for (int64_t second = first; second <= until; ++second) {
    if (alarm_matches(second)) return true;
  }
  return false;
}

void RtcCmos::catch_up() {
  const Nanoseconds now = chain_time();
  uint8_t flags = 0;
  if (const int64_t period = periodic_ticks(); period != 0) {
    const int64_t before = kChain.ticks_at(last_catch_up_) / period;
    const int64_t over = kChain.ticks_at(now) / period - before;
    if (owes_periods()) {
      owed_ += over;
    } else if (over != 0) {
      flags |= kFlagPeriodic;
    }
  }
  const int64_t seconds_before = last_catch_up_ / kNanosecondsPerSecond;
  const int64_t seconds = now / kNanosecondsPerSecond;
  if (updating() && seconds != seconds_before) {
    flags |= kFlagUpdate;
    const bool alarm_known = (bytes_[kC] & kFlagAlarm) != 0;
    if (!alarm_known && alarm_between(base_seconds_ + seconds_before, base_seconds_ + seconds)) {
      flags |= kFlagAlarm;
    }
  }
  last_catch_up_ = now;
  bytes_[kC] |= flags;
  give_owed_period();
  update_irq();
  arm_timer();
}

bool RtcCmos::owes_periods() const {
  return clock_.missed_ticks() == MissedTicks::MakeUp && (bytes_[kB] & kPeriodicEnable) != 0;
}

void RtcCmos::forget_owed() {
  owed_ = 0;
  give_from_ = 0;
}

// The next, when the guest has read of the one before.
void RtcCmos::give_owed_period() {
  if (owed_ == 0 || (bytes_[kC] & kFlagPeriodic) != 0 || last_catch_up_ < give_from_) return;
  --owed_;
  if (owed_ != 0) clock_.late_ticks().made_up++;
  bytes_[kC] |= kFlagPeriodic;
  give_from_ =
      last_catch_up_ + catch_up_pause(kChain.time_of(std::max<int64_t>(periodic_ticks(), 1)));
}

void RtcCmos::update_irq() {
  const bool request = (bytes_[kC] & bytes_[kB] & kEnables) != 0;
  bytes_[kC] = static_cast<uint8_t>((bytes_[kC] & ~kFlagIrq) | (request ? kFlagIrq : 0));
  irq_.set_level(request);
}

void RtcCmos::arm_timer() {
  // While the request stands, until register C is read, further events change nothing the guest
  // could see without reading C, and that catches up.
  const uint8_t enabled = bytes_[kB] & kEnables;
  timer_.cancel();
  if (enabled == 0 || (bytes_[kC] & kFlagIrq) != 0) return;
  const Nanoseconds now = chain_time();
  std::optional<Nanoseconds> next;
  if (const int64_t period = periodic_ticks(); (enabled & kPeriodicEnable) != 0 && period != 0) {
    next = kChain.time_of((kChain.ticks_at(now) / period + 1) * period);
  }
  if (owed_ != 0) next = std::max(give_from_, now);
  if ((enabled & (kAlarmEnable | kUpdateEnable)) != 0 && updating()) {
    const Nanoseconds second = (now / kNanosecondsPerSecond + 1) * kNanosecondsPerSecond;
    next = next ? std::min(*next, second) : second;
  }
  if (next) timer_.arm(*next - phase_);
}

void RtcCmos::visit_state(StateArchive& archive) {
  // Farther than any year that the registers can hold.
  constexpr int64_t kFurthestSeconds = int64_t{1} << 40;
  archive.numbers("bytes", bytes_);
  archive.field("index", index_, 0, 0x7f);
  archive.field("base seconds", base_seconds_, -kFurthestSeconds, kFurthestSeconds);
  archive.field("phase", phase_, 0, kNanosecondsPerSecond - 1);
  archive.field("last catch-up", last_catch_up_, 0, kLatestDeadline);
  if (archive.version() >= 2) {
    archive.field("owed", owed_, 0, kLatestDeadline);
    archive.field("give from", give_from_, 0, kLatestDeadline);
  }
  if (archive.version() >= 3) archive.field("weekday ahead", weekday_ahead_, 0, 6);
  archive.part("timer", timer_);
}

}  // namespace ringshift
