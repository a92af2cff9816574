#include "devices/pci/i6300esb.h"

#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Configuration space (16.4): the way it counts and its action, and whether it runs.
constexpr unsigned kSetUp = 0x60, kLockRegister = 0x68;
constexpr uint8_t kCountsMegahertz = 1U << 2, kNoOutput = 1U << 5;
constexpr uint8_t kLocked = 1, kEnabled = 2, kFreeRunning = 4;
// Memory (16.5).
constexpr unsigned kPreload1 = 0x00, kPreload2 = 0x04, kReload = 0x0c;
constexpr uint32_t kPreloadMask = 0xfffff;
constexpr uint16_t kReloads = 0x100, kTimedOut = 0x200;
constexpr uint16_t kFirstNumber = 0x80, kSecondNumber = 0x86;
// A tick is so many clocks of the PCI bus, of 30 ns each (16.5.2).
constexpr Nanoseconds kBusClock = 30;
constexpr unsigned kKilohertzShift = 15, kMegahertzShift = 5;

}  // namespace

I6300esb::I6300esb(PciBuses& buses, VirtualClock& clock, std::function<void()> on_expiry,
                   bool has_fired)
    : PciFunction(buses, {.vendor = 0x8086, .device = 0x25ab, .class_code = 0x088000}, "i6300esb"),
      clock_(clock),
      on_expiry_(std::move(on_expiry)),
      has_fired_(has_fired),
      timer_(clock, [this](Nanoseconds) { on_stage_end(); }) {
  add_memory_range(0, kPageSize, page_);
  make_writable(kSetUp, 0x27);
  make_writable(kLockRegister, kLocked | kEnabled | kFreeRunning);
}

bool I6300esb::is_enabled() const { return (config_byte(kLockRegister) & kEnabled) != 0; }

// Once locked nobody switches it off (16.4.17).
void I6300esb::on_config_written(unsigned first, unsigned length) {
  if (first > kLockRegister || first + length <= kLockRegister) return;
  if (is_locked_) {
    set_config_byte(kLockRegister, static_cast<uint8_t>(kLocked | (was_enabled_ ? kEnabled : 0)));
    return;
  }
  is_locked_ = (config_byte(kLockRegister) & kLocked) != 0;
  if (is_enabled() == was_enabled_) return;
  was_enabled_ = is_enabled();
  if (was_enabled_) {
    start_stage(0);
  } else {
    timer_.cancel();
  }
}

uint32_t I6300esb::Page::read(uint64_t offset, AccessWidth) {
  // Preloads are to be written only.
  return offset == kReload && owner_.has_fired_ ? kTimedOut : 0;
}

void I6300esb::Page::write(uint64_t offset, AccessWidth, uint32_t value) {
  owner_.write_register(static_cast<unsigned>(offset), value);
}

void I6300esb::write_register(unsigned offset, uint32_t value) {
  if (offset == kReload) return write_reload(static_cast<uint16_t>(value));
  if (offset != kPreload1 && offset != kPreload2) return;
  if (lock_ == Lock::Open) preload_[offset == kPreload2 ? 1 : 0] = value & kPreloadMask;
  lock_ = Lock::Closed;
}

void I6300esb::write_reload(uint16_t value) {
  if (lock_ == Lock::Open) {
    lock_ = Lock::Closed;
    if ((value & kTimedOut) != 0) has_fired_ = false;
    if ((value & kReloads) != 0 && was_enabled_) start_stage(0);
    return;
  }
  if (value == kSecondNumber && lock_ == Lock::FirstNumber) {
    lock_ = Lock::Open;
  } else {
    lock_ = value == kFirstNumber ? Lock::FirstNumber : Lock::Closed;
  }
}

// A preload of 0 counts as 1: something passes.
void I6300esb::start_stage(unsigned stage) {
  stage_ = static_cast<uint8_t>(stage);
  const unsigned shift =
      (config_byte(kSetUp) & kCountsMegahertz) != 0 ? kMegahertzShift : kKilohertzShift;
  timer_.arm(clock_.now() + (Nanoseconds{preload_[stage]} + 1) * (kBusClock << shift));
}

// The interrupt of the first stage is not there: drivers use the end of the second.
void I6300esb::on_stage_end() {
  if (stage_ == 0) return start_stage(1);
  if ((config_byte(kLockRegister) & kFreeRunning) != 0) return start_stage(0);
  if ((config_byte(kSetUp) & kNoOutput) != 0) return;
  has_fired_ = true;
  on_expiry_();
}

void I6300esb::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  archive.numbers("preload", preload_);
  archive.field("stage", stage_, 0, 1);
  archive.choice("lock", lock_, Lock::Open);
  archive.field("was enabled", was_enabled_);
  archive.field("is locked", is_locked_);
  archive.field("has fired", has_fired_);
  archive.part("timer", timer_);
}

}  // namespace ringshift
