#include "devices/pci/pci_chipset.h"

#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr unsigned kPam = 0x59, kPamRegisters = 7;
constexpr uint8_t kPamRead = 1, kPamWrite = 2;
constexpr unsigned kSmram = 0x72;

constexpr unsigned kPirqRoute = 0x60;
constexpr uint8_t kPirqDisabled = 0x80;
constexpr uint16_t kRoutableLines = 0xdef8;  // 3-7, 9-12, 14, 15

constexpr unsigned kPmBase = 0x40, kPmEnable = 0x80, kSmbusBase = 0x90, kDeviceActivityB = 0x5b;
constexpr uint8_t kApmcEnabled = 0x02;
constexpr uint32_t kPmBytes = 64;

// PM1 registers (ACPI 1.0, 4.7.3).
constexpr uint16_t kTimerCarry = 1U << 0, kPowerButton = 1U << 8;
constexpr uint16_t kStatusBits = 0x8d31, kEnableBits = 0x0521;
constexpr uint16_t kSciEnable = 1U << 0, kSleepEnable = 1U << 13, kSleepType = 7U << 10;
constexpr uint8_t kAcpiEnable = 0xf1, kAcpiDisable = 0xf0;

constexpr TickRate kPmTimerRate(3'579'545);
constexpr unsigned kCarryShift = 23;  // the 24-bit timer's top bit

uint8_t byte_of(uint32_t value, unsigned index) { return static_cast<uint8_t>(value >> 8 * index); }

uint16_t with_byte(uint16_t word, unsigned index, uint8_t value) {
  return static_cast<uint16_t>((word & ~(0xffU << 8 * index)) | uint32_t{value} << 8 * index);
}

}  // namespace

HostBridge::HostBridge(PciBuses& buses, FirmwareMemory* firmware)
    : PciFunction(buses,
                  {.vendor = 0x8086, .device = 0x1237, .class_code = 0x060000, .revision = 2},
                  "host bridge"),
      buses_(buses),
      firmware_(firmware) {
  for (unsigned i = 0; i < kPamRegisters; ++i) make_writable(kPam + i, i == 0 ? 0x30 : 0x33);
  // There is no system management mode; its register reads as written, and guards nothing.
  make_writable(kSmram, 0x78);
  set_config_byte(kSmram, 0x02);
}

void HostBridge::on_config_written(unsigned first, unsigned length) {
  if (first + length > kPam && first < kPam + kPamRegisters) apply_shadow();
}

void HostBridge::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  if (archive.has_loaded()) apply_shadow();
}

void HostBridge::apply_shadow() {
  if (firmware_ == nullptr) return;
  // PAM0's high half is 0xf0000; each further register has two segments of 16 KiB from 0xc0000 on.
  bool changed = false;
  for (unsigned segment = 0; segment < FirmwareMemory::kShadowSegments; ++segment) {
    const bool last = segment + 1 == FirmwareMemory::kShadowSegments;
    const uint8_t pair = config_byte(last ? kPam : kPam + 1 + segment / 2);
    const auto bits = static_cast<uint8_t>(last || segment % 2 == 1 ? pair >> 4 : pair);
    changed |= firmware_->set_shadow(segment, (bits & kPamRead) != 0, (bits & kPamWrite) != 0);
  }
  if (changed && buses_.on_memory_map_changed) buses_.on_memory_map_changed();
}

IsaBridge::IsaBridge(PciBuses& buses, PciHost& host)
    : PciFunction(buses, {.vendor = 0x8086, .device = 0x7000, .class_code = 0x060100},
                  "isa bridge"),
      host_(host) {
  make_header_multifunction();
  for (unsigned i = 0; i < 4; ++i) {
    make_writable(kPirqRoute + i, 0x8f);
    set_config_byte(kPirqRoute + i, kPirqDisabled);
  }
  for (const unsigned reg : {0x4cU, 0x4eU, 0x4fU, 0x69U, 0x82U}) make_writable(reg, 0xff);
}

void IsaBridge::on_config_written(unsigned first, unsigned length) {
  if (first + length <= kPirqRoute || first >= kPirqRoute + 4) return;
  for (unsigned i = 0; i < 4; ++i) host_.set_route(i, routed_line(i));
}

// 0: none.
unsigned IsaBridge::routed_line(unsigned pirq) const {
  const uint8_t route = config_byte(kPirqRoute + pirq);
  const unsigned irq = route & 0x0f;
  const bool wired = (route & kPirqDisabled) == 0 && (kRoutableLines >> irq & 1) != 0;
  return wired ? irq : 0;
}

void IsaBridge::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  if (!archive.has_loaded()) return;
  for (unsigned i = 0; i < 4; ++i) host_.restore_route(i, routed_line(i));
}

PowerManagement::PowerManagement(PciBuses& buses, VirtualClock& clock, InterruptLine& sci,
                                 std::function<void()> on_power_off)
    : PciFunction(buses,
                  {.vendor = 0x8086, .device = 0x7113, .class_code = 0x068000, .revision = 3},
                  "power management"),
      buses_(buses),
      clock_(clock),
      sci_(sci),
      on_power_off_(std::move(on_power_off)),
      carry_timer_(clock, [this](Nanoseconds) { update(); }),
      registers_([this](uint16_t offset) { return read_register(offset); },
                 [this](uint16_t offset, uint8_t value) { write_register(offset, value); }),
      command_ports_([this](uint16_t offset) { return command_[offset & 1]; },
                     [this](uint16_t offset, uint8_t value) { write_command(offset, value); }),
      event_ports_([this](uint16_t offset) { return general_events_[offset & 3]; },
                   [this](uint16_t offset, uint8_t value) {
                     // Two status bytes, cleared by ones, and two of enable bits. No event comes.
                     if ((offset & 3) >= 2) general_events_[offset & 3] = value;
                   }) {
  set_config_byte(kPmBase, 1);
  make_writable(kPmBase, 0xc0);
  make_writable(kPmBase + 1, 0xff);
  make_writable(kPmEnable, 0x01);
  set_config_byte(kSmbusBase, 1);
  make_writable(kSmbusBase, 0xf0);
  make_writable(kSmbusBase + 1, 0xff);
  make_writable(0xd2, 0xff);
  // Firmware takes this as: system management mode has been set up, leave it alone.
  set_config_byte(kDeviceActivityB, kApmcEnabled);
  make_writable(kDeviceActivityB, 0xff);
}

PowerManagement::~PowerManagement() = default;

void PowerManagement::on_config_written(unsigned, unsigned) { place(); }

void PowerManagement::place() {
  const uint32_t base = config_value(kPmBase, AccessWidth::Word) & 0xffc0;
  const bool enabled = (config_byte(kPmEnable) & 1) != 0;
  const uint32_t wanted = enabled ? base : 0;
  if (wanted == claimed_at_) return;
  const DecodeRank rank = rank_of(kOwnRange);
  if (claimed_at_ != 0) buses_.ports.release(static_cast<uint16_t>(claimed_at_), rank);
  claimed_at_ = wanted;
  if (wanted == 0) return;
  // Nothing else has this rank: the guest may put the block anywhere.
  CHECK(buses_.ports.claim(static_cast<uint16_t>(wanted), kPmBytes, registers_, "power management",
                           rank));
}

int64_t PowerManagement::timer_ticks() { return kPmTimerRate.ticks_at(clock_.now()); }

void PowerManagement::catch_up() {
  const int64_t carries = timer_ticks() >> kCarryShift;
  if (carries != carries_seen_) status_ |= kTimerCarry;
  carries_seen_ = carries;
}

// Status, the wire, and when to look again.
void PowerManagement::update() {
  catch_up();
  sci_.set_level((control_ & kSciEnable) != 0 && (status_ & enable_) != 0);
  if ((enable_ & kTimerCarry) != 0 && (status_ & kTimerCarry) == 0) {
    carry_timer_.arm(kPmTimerRate.time_of((carries_seen_ + 1) << kCarryShift));
  } else {
    carry_timer_.cancel();
  }
}

void PowerManagement::press_power_button() {
  status_ |= kPowerButton;
  update();
}

uint8_t PowerManagement::read_register(unsigned offset) {
  switch (offset) {
    case 0x0:
    case 0x1:
      catch_up();
      return byte_of(status_, offset & 1);
    case 0x2:
    case 0x3:
      return byte_of(enable_, offset & 1);
    case 0x4:
    case 0x5:
      return byte_of(control_, offset & 1);
    case 0x8:
    case 0x9:
    case 0xa:
      return byte_of(static_cast<uint32_t>(timer_ticks()), offset & 3);
    default:
      return 0;
  }
}

void PowerManagement::write_register(unsigned offset, uint8_t value) {
  const unsigned half = offset & 1;
  switch (offset) {
    case 0x0:
    case 0x1:
      catch_up();
      status_ &= static_cast<uint16_t>(~(uint32_t{value} << 8 * half & kStatusBits));
      break;
    case 0x2:
    case 0x3:
      enable_ = with_byte(enable_, half, value) & kEnableBits;
      break;
    case 0x4:
    case 0x5:
      write_control(with_byte(control_, half, value));
      break;
    default:
      return;
  }
  update();
}

void PowerManagement::write_control(uint16_t value) {
  // Sleep type 0 is soft off in this chip's tables; the others put RAM to sleep, which does nothing
  // here but wake again at once.
  const bool sleep = (value & kSleepEnable) != 0;
  control_ = static_cast<uint16_t>(value & ~kSleepEnable);
  if (!sleep) return;
  if ((value & kSleepType) == 0) {
    if (on_power_off_) on_power_off_();
  } else {
    status_ |= 0x8000;  // wake status
  }
}

void PowerManagement::write_command(uint16_t offset, uint8_t value) {
  command_[offset & 1] = value;
  if ((offset & 1) != 0) return;
  if (value == kAcpiEnable) control_ |= kSciEnable;
  if (value == kAcpiDisable) control_ &= static_cast<uint16_t>(~kSciEnable);
  update();
}

void PowerManagement::visit_state(StateArchive& archive) {
  PciFunction::visit_state(archive);
  archive.field("status", status_);
  archive.field("enable", enable_);
  archive.field("control", control_);
  archive.field("carries seen", carries_seen_, 0,
                kPmTimerRate.ticks_at(kLatestDeadline) >> kCarryShift);
  archive.numbers("command", command_);
  archive.numbers("general events", general_events_);
  archive.part("carry timer", carry_timer_);
  if (archive.has_loaded()) place();
}

}  // namespace ringshift
