#include "devices/storage/ide_channel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Register numbers, offsets from 0x1f0.
constexpr unsigned kData = 0, kError = 1, kCount = 2, kLow = 3, kMid = 4, kHigh = 5, kDevice = 6;
constexpr unsigned kCommand = 7;
constexpr uint8_t kSecondDrive = 0x10;  // of the device register
// Device control.
constexpr uint8_t kNoInterrupts = 0x02, kSoftReset = 0x04, kReadPrevious = 0x80;
constexpr uint8_t kExecuteDiagnostic = 0x90, kDeviceReset = 0x08;

void push(uint8_t (&pair)[2], uint8_t value) {
  pair[1] = pair[0];
  pair[0] = value;
}

}  // namespace

IdeChannel::IdeChannel(InterruptLine& line, std::function<void()> on_interrupt,
                       std::function<void()> on_dma, std::function<void()> on_busy)
    : line_(line),
      on_interrupt_(std::move(on_interrupt)),
      on_dma_(std::move(on_dma)),
      on_busy_(std::move(on_busy)),
      command_ports_(*this),
      control_port_([this](uint16_t) { return status(); },
                    [this](uint16_t, uint8_t value) { write_control(value); }) {}

void IdeChannel::attach(unsigned position, IdeDrive& drive) {
  CHECK(position < 2 && drives_[position] == nullptr);
  drives_[position] = &drive;
  drive.set_on_ready([this] { resume(); });
  drive.reset();
}

uint32_t IdeChannel::CommandPorts::read(uint16_t offset, AccessWidth width) {
  if (offset == kData) return owner_.read_data(width);
  uint32_t value = 0;
  for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
    value |= uint32_t{owner_.read_register(offset + i)} << (8 * i);
  }
  return value;
}

void IdeChannel::CommandPorts::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (offset == kData) return owner_.write_data(width, value);
  for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
    owner_.write_register(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

void IdeChannel::set_interrupt(bool pending) {
  interrupt_pending_ = pending;
  const bool level = pending && (control_ & kNoInterrupts) == 0;
  line_.set_level(level);
  if (level && on_interrupt_) on_interrupt_();
}

// --- data

uint32_t IdeChannel::read_data(AccessWidth width) {
  if (phase_ != IdePhase::DataIn || selected() != active_) return 0;
  const size_t bytes = std::min(static_cast<size_t>(width), block_.size() - position_);
  uint32_t value = 0;
  std::memcpy(&value, block_.data() + position_, bytes);
  move_on(bytes);
  return value;
}

void IdeChannel::write_data(AccessWidth width, uint32_t value) {
  if (phase_ != IdePhase::DataOut || selected() != active_) return;
  const size_t bytes = std::min(static_cast<size_t>(width), block_.size() - position_);
  std::memcpy(block_.data() + position_, &value, bytes);
  move_on(bytes);
}

void IdeChannel::move_on(size_t bytes) {
  position_ += bytes;
  if (position_ == block_.size()) enter(active_->block_done());
}

std::span<uint8_t> IdeChannel::dma_block() {
  CHECK(dma_waiting());
  return block_.subspan(position_);
}

void IdeChannel::dma_moved(size_t bytes) {
  CHECK(dma_waiting() && bytes <= block_.size() - position_);
  dma_has_moved_ = true;
  move_on(bytes);
}

void IdeChannel::enter(const IdeStep& step) {
  const bool began_dma = !dma_waiting();
  phase_ = step.phase;
  position_ = 0;
  block_ = is_moving() ? active_->block() : std::span<uint8_t>();
  CHECK(is_moving() != block_.empty());
  if (step.interrupt) set_interrupt(true);
  if (dma_waiting() && began_dma && on_dma_) on_dma_();
  if (phase_ == IdePhase::Busy && on_busy_) on_busy_();
}

void IdeChannel::resume() {
  if (phase_ == IdePhase::Busy && active_ != nullptr) enter(active_->resume());
}

// --- registers

uint8_t IdeChannel::status() const {
  const IdeDrive* drive = selected();
  if (drive == nullptr) return 0;
  const bool moves = is_moving() && drive == active_;
  return static_cast<uint8_t>(drive->registers.status | (moves ? kIdeDataRequest : 0) |
                              (is_busy(drive) ? kIdeBusy : 0));
}

uint8_t IdeChannel::read_register(unsigned index) {
  if (index == kCommand) {
    const uint8_t value = status();
    set_interrupt(false);
    return value;
  }
  // ATA/ATAPI-6 9.16.1: with drive 0 alone, all registers but the two of status read as if it were
  // selected. Without drive 0 nobody answers for it (9.16.2).
  const IdeDrive* drive = answering();
  if (drive == nullptr) return index == kDevice ? static_cast<uint8_t>(selection_ << 4) : 0;
  const IdeRegisters& r = drive->registers;
  const unsigned half = (control_ & kReadPrevious) != 0 ? 1 : 0;
  switch (index) {
    case kError:
      return r.error;
    case kCount:
      return r.count[half];
    case kLow:
      return r.low[half];
    case kMid:
      return r.mid[half];
    case kHigh:
      return r.high[half];
    case kDevice:
      return r.device;
    default:
      return 0;
  }
}

// Both drives see writes to the registers; the selected one obeys. One that is busy owns the
// registers (ATA/ATAPI-6, 7.15.6.1): it takes DEVICE RESET, and nothing else.
void IdeChannel::write_register(unsigned index, uint8_t value) {
  const bool takes = index == kCommand && value == kDeviceReset && selected() != nullptr &&
                     selected()->is_packet_device();
  if (is_busy(selected()) && !takes) return;
  if (index == kCommand) return write_command(value);
  control_ &= static_cast<uint8_t>(~kReadPrevious);
  if (index == kDevice) selection_ = (value & kSecondDrive) != 0 ? 1 : 0;
  for (IdeDrive* drive : drives_) {
    if (drive == nullptr) continue;
    IdeRegisters& r = drive->registers;
    switch (index) {
      case kError:
        push(r.features, value);
        break;
      case kCount:
        push(r.count, value);
        break;
      case kLow:
        push(r.low, value);
        break;
      case kMid:
        push(r.mid, value);
        break;
      case kHigh:
        push(r.high, value);
        break;
      case kDevice:
        r.device = value | 0xa0;
        break;
      default:
        break;
    }
  }
}

void IdeChannel::write_command(uint8_t code) {
  control_ &= static_cast<uint8_t>(~kReadPrevious);
  if (code == kExecuteDiagnostic) return diagnose();
  IdeDrive* drive = selected();
  if (drive == nullptr) return;
  set_interrupt(false);
  // A command ends the one before it. Only a packet device takes DEVICE RESET.
  phase_ = IdePhase::Idle;
  dma_has_moved_ = false;
  active_ = drive;
  if (code == kDeviceReset && drive->is_packet_device()) {
    const uint8_t device = drive->registers.device;
    drive->reset();
    drive->registers.device = device;
    return enter({IdePhase::Idle, false});
  }
  enter(drive->command(code));
}

void IdeChannel::reset() {
  enter({IdePhase::Idle, false});
  selection_ = 0;
  for (IdeDrive* drive : drives_) {
    if (drive != nullptr) drive->reset();
  }
}

void IdeChannel::diagnose() {
  reset();
  if (drives_[0] != nullptr || drives_[1] != nullptr) set_interrupt(true);
}

void IdeChannel::write_control(uint8_t value) {
  const bool begins_reset = (value & ~control_ & kSoftReset) != 0;
  control_ = value;
  set_interrupt(begins_reset ? false : interrupt_pending_);
  if (begins_reset) reset();
}

void IdeChannel::visit_state(StateArchive& archive) {
  constexpr unsigned kNobody = 2;
  unsigned attached = 0;
  unsigned active = kNobody;
  for (unsigned i = 0; i < drives_.size(); ++i) {
    if (drives_[i] == nullptr) continue;
    attached |= 1U << i;
    if (drives_[i] == active_) active = i;
  }
  archive.same("attached", attached);
  if (drives_[0] != nullptr) archive.part("drive 0", *drives_[0]);
  if (drives_[1] != nullptr) archive.part("drive 1", *drives_[1]);
  archive.field("selection", selection_, 0, 1);
  archive.field("control", control_);
  archive.field("interrupt pending", interrupt_pending_);
  archive.field("active", active, 0, kNobody);
  archive.choice("phase", phase_, archive.version() >= 2 ? IdePhase::Busy : IdePhase::DmaOut);
  archive.field("position", position_);
  if (archive.version() >= 2) archive.field("dma has moved", dma_has_moved_);
  if (!archive.has_loaded()) return;
  active_ = active != kNobody ? drives_[active] : nullptr;
  const bool moves = is_moving();
  block_ = moves && active_ != nullptr ? active_->block() : std::span<uint8_t>();
  archive.require(moves ? position_ < block_.size() : position_ == 0, "position",
                  "no data are moving there");
}

}  // namespace ringshift
