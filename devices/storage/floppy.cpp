#include "devices/storage/floppy.h"

#include <algorithm>
#include <utility>

#include "devices/storage/paced_medium.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Ports, offsets from 0x3f0.
constexpr unsigned kStatusA = 0, kOutput = 2, kTape = 3, kMainStatus = 4, kData = 5;
// Digital output register.
constexpr uint8_t kNotReset = 0x04, kDmaGate = 0x08;
// Main status register.
constexpr uint8_t kReady = 0x80, kToHost = 0x40, kCommandBusy = 0x10;
// Status registers 0 and 1.
constexpr uint8_t kAbnormal = 0x40, kInvalid = 0x80, kPolling = 0xc0, kSeekEnd = 0x20;
constexpr uint8_t kEquipmentCheck = 0x10, kNotReady = 0x08;
constexpr uint8_t kEndOfCylinder = 0x80, kNoData = 0x04, kNotWritable = 0x02, kCrcError = 0x20;
constexpr uint8_t kMissingMark = 0x01;
constexpr unsigned kDmaChannel = 2;
constexpr uint8_t kSectorCode = 2;  // 128 << 2 bytes

// Commands by their low five bits, and how many bytes each has with its parameters.
constexpr uint8_t kSpecify = 0x03, kSenseDrive = 0x04, kWrite = 0x05, kRead = 0x06;
constexpr uint8_t kRecalibrate = 0x07, kSenseInterrupt = 0x08, kReadId = 0x0a, kFormat = 0x0d;
constexpr uint8_t kDumpRegisters = 0x0e, kSeek = 0x0f, kVersion = 0x10, kPerpendicular = 0x12;
constexpr uint8_t kConfigure = 0x13, kLock = 0x14, kPartId = 0x18;

size_t command_length(uint8_t code) {
  switch (code & 0x1f) {
    case kWrite:
    case kRead:
      return 9;
    case kFormat:
      return 6;
    case kConfigure:
      return 4;
    case kSpecify:
    case kSeek:
      return 3;
    case kSenseDrive:
    case kRecalibrate:
    case kReadId:
    case kPerpendicular:
      return 2;
    default:
      return 1;
  }
}

}  // namespace

// Formats by size; anything else is taken for 1.44 MB, of which an image may have the beginning.
FloppyController::Geometry FloppyController::geometry_of(uint64_t bytes) {
  constexpr Geometry kFormats[] = {{40, 1, 8}, {40, 2, 8},  {40, 1, 9}, {40, 2, 9},
                                   {80, 2, 9}, {80, 2, 15}, {80, 2, 36}};
  for (const Geometry& format : kFormats) {
    if (uint64_t{format.cylinders} * format.heads * format.sectors * kSector == bytes)
      return format;
  }
  return {80, 2, 18};
}

FloppyController::FloppyController(VirtualClock& clock, InterruptLine& irq6, DmaControllers& dma,
                                   DmaMemory& memory, DiskBackend* medium)
    : irq_(irq6),
      dma_(dma),
      memory_(memory),
      medium_(medium),
      geometry_(geometry_of(medium != nullptr ? medium->bytes() : 0)),
      ports_([this](uint16_t offset) { return read_port(offset); },
             [this](uint16_t offset, uint8_t value) { write_port(offset, value); }),
      input_port_(
          // Disk change: set until the drive has stepped with a disk in it.
          [this](uint16_t) {
            return static_cast<uint8_t>(has_disk(output_ & 3U) && !changed_ ? 0 : 0x80);
          },
          [this](uint16_t, uint8_t value) { rate_ = value & 3; }),
      clock_(clock),
      look_again_(clock, [this](Nanoseconds) { run_on(); }) {
  if (medium_ == nullptr) return;
  medium_->abandon();
  medium_->set_on_ready([this] { run_on(); });
}

uint8_t FloppyController::read_port(unsigned offset) {
  switch (offset) {
    case kStatusA:
      return 0;
    case kOutput:
      return output_;
    case kTape:
      return 0x20;
    case kMainStatus:
      return main_status();
    case kData:
      return read_data();
    default:
      return 0xff;
  }
}

void FloppyController::write_port(unsigned offset, uint8_t value) {
  if (offset == kOutput) write_output(value);
  if (offset == kMainStatus && (value & 0x80) != 0) reset();  // data rate select: software reset
  if (offset == kData) write_data(value);
}

void FloppyController::write_output(uint8_t value) {
  const bool leaves_reset = (value & ~output_ & kNotReset) != 0;
  output_ = value;
  if ((value & kNotReset) == 0) {
    irq_.set_level(false);
    end_run();
  }
  if (leaves_reset) reset();
}

void FloppyController::reset() {
  end_run();
  result_.clear();
  result_at_ = 0;
  seek_ended_ = false;
  if (!locked_) configure_ = 0;
  // Each of the four drives is reported once by SENSE INTERRUPT.
  resets_to_sense_ = 4;
  irq_.set_level(true);
}

uint8_t FloppyController::main_status() const {
  if ((output_ & kNotReset) == 0) return 0;
  if (running_ != Running::None) return kCommandBusy;
  if (result_at_ < result_.size()) return kReady | kToHost | kCommandBusy;
  return command_.empty() ? kReady : kReady | kCommandBusy;
}

uint8_t FloppyController::read_data() {
  if (result_at_ >= result_.size()) return 0;
  irq_.set_level(false);
  return result_[result_at_++];
}

void FloppyController::write_data(uint8_t value) {
  if ((output_ & kNotReset) == 0 || result_at_ < result_.size()) return;
  if (running_ != Running::None) return;
  command_.push_back(value);
  if (command_.size() < command_length(command_[0])) return;
  run_command();
  if (running_ == Running::None) command_.clear();
}

void FloppyController::answer(std::vector<uint8_t> bytes) {
  result_ = std::move(bytes);
  result_at_ = 0;
}

void FloppyController::run_command() {
  switch (command_[0] & 0x1f) {
    case kSpecify:
      specify_[0] = command_[1];
      specify_[1] = command_[2];
      break;
    case kSenseDrive: {
      const uint8_t drive = command_[1] & 3;
      const bool locked = has_disk(drive) && medium_->read_only();
      answer({static_cast<uint8_t>((command_[1] & 7) | 0x28 | (locked ? 0x40 : 0) |
                                   (drive == 0 && cylinder_ == 0 ? 0x10 : 0))});
      break;
    }
    case kWrite:
      return transfer(true);
    case kRead:
      return transfer(false);
    case kRecalibrate:
      return run_seek(0);
    case kSeek:
      return run_seek(command_[2]);
    case kSenseInterrupt:
      return sense_interrupt();
    case kReadId:
      return read_id();
    case kFormat:
      return format();
    case kDumpRegisters:
      answer({cylinder_, 0, 0, 0, specify_[0], specify_[1], static_cast<uint8_t>(geometry_.sectors),
              static_cast<uint8_t>(locked_ ? 0x80 : 0), configure_, 0});
      break;
    case kVersion:
      answer({0x90});
      break;
    case kPerpendicular:
      break;
    case kConfigure:
      configure_ = command_[2];
      break;
    case kLock:
      locked_ = (command_[0] & 0x80) != 0;
      answer({static_cast<uint8_t>(locked_ ? 0x10 : 0)});
      break;
    case kPartId:
      answer({0x41});
      break;
    default:
      answer({kInvalid});
      break;
  }
}

void FloppyController::run_seek(uint8_t cylinder) {
  const uint8_t drive = command_[1] & 3;
  seek_ended_ = true;
  if (!has_disk(drive)) {
    // No track 0 is found; a seek steps into the void and does not notice.
    const bool recalibrate = (command_[0] & 0x1f) == kRecalibrate;
    seek_status_ = kSeekEnd | drive | (recalibrate ? kAbnormal | kEquipmentCheck : 0);
  } else {
    cylinder_ = cylinder;
    changed_ = false;
    seek_status_ = kSeekEnd | drive;
  }
  irq_.set_level(true);
}

void FloppyController::sense_interrupt() {
  irq_.set_level(false);
  if (resets_to_sense_ != 0) {
    answer({static_cast<uint8_t>(kPolling | (4 - resets_to_sense_)), cylinder_});
    --resets_to_sense_;
  } else if (std::exchange(seek_ended_, false)) {
    answer({seek_status_, cylinder_});
  } else {
    answer({kInvalid});
  }
}

void FloppyController::finish_transfer(uint8_t st0, uint8_t st1) {
  const auto head = static_cast<uint8_t>(command_[1] & 7);
  end_run();
  answer(
      {static_cast<uint8_t>(st0 | head), st1, 0, at_cylinder_, at_head_, at_sector_, kSectorCode});
  irq_.set_level(true);
}

void FloppyController::end_run() {
  if (running_ != Running::None) medium_->abandon();
  running_ = Running::None;
  has_sector_ = ended_ = false;
  filled_ = 0;
  look_again_.cancel();
  command_.clear();
}

DiskBackend::Progress FloppyController::move_sector() {
  return running_ == Running::Read ? read_sector() : write_sector();
}

uint64_t FloppyController::place() const {
  const uint64_t track = uint64_t{at_cylinder_} * geometry_.heads + at_head_;
  return (track * geometry_.sectors + at_sector_ - 1U) * kSector;
}

// Sectors behind the end of an image read zeros.
DiskBackend::Progress FloppyController::read_sector() {
  buffer_.fill(0);
  if (is_present(place())) {
    const DiskBackend::Progress progress =
        medium_->advance({.kind = DiskRequest::Kind::Read, .offset = place(), .bytes = buffer_});
    if (progress != DiskBackend::Progress::Done) return progress;
  }
  ended_ = false;
  if (dma_.to_memory(kDmaChannel, memory_, buffer_, &ended_) < kSector) ended_ = true;
  return DiskBackend::Progress::Done;
}

DiskBackend::Progress FloppyController::write_sector() {
  if (!has_sector_) {
    buffer_.fill(0);
    ended_ = false;
    const uint32_t moved = dma_.from_memory(kDmaChannel, memory_, buffer_, &ended_);
    if (moved < kSector) ended_ = true;
    if (moved == 0) return DiskBackend::Progress::Done;
    has_sector_ = true;
  }
  const DiskBackend::Progress progress = put_buffer(place());
  if (progress != DiskBackend::Progress::Waits) has_sector_ = false;
  return progress;
}

DiskBackend::Progress FloppyController::put_buffer(uint64_t offset) {
  if (!is_present(offset)) return DiskBackend::Progress::Failed;
  return medium_->advance({.kind = DiskRequest::Kind::Write, .offset = offset, .bytes = buffer_});
}

void FloppyController::transfer(bool to_medium) {
  const uint8_t drive = command_[1] & 3;
  at_cylinder_ = command_[2];
  at_head_ = command_[3];
  at_sector_ = command_[4];
  if (!has_disk(drive) || (output_ & kDmaGate) == 0)
    return finish_transfer(kAbnormal | kNotReady, 0);
  if (to_medium && medium_->read_only()) return finish_transfer(kAbnormal, kNotWritable);
  if (at_cylinder_ != cylinder_ || at_cylinder_ >= geometry_.cylinders ||
      at_head_ >= geometry_.heads || at_sector_ == 0 || at_sector_ > geometry_.sectors ||
      command_[5] != kSectorCode) {
    return finish_transfer(kAbnormal, kNoData);
  }
  running_ = to_medium ? Running::Write : Running::Read;
  run_on();
}

// Until the command has ended, or the medium is waited for.
void FloppyController::run_on() {
  while (running_ != Running::None) {
    const bool fills = running_ == Running::Format;
    switch (fills ? fill_sector() : move_sector()) {
      case DiskBackend::Progress::Waits:
        return look_again_.arm(clock_.now() + kLookAgain);
      case DiskBackend::Progress::Failed:
        return finish_transfer(kAbnormal, kCrcError);
      case DiskBackend::Progress::Done:
        break;
    }
    if (!fills) {
      step_to_next_sector();
    } else if (++filled_ >= geometry_.sectors) {
      finish_transfer(0, 0);
    }
  }
}

void FloppyController::step_to_next_sector() {
  const bool both_heads = (command_[0] & 0x80) != 0;
  const uint32_t last = std::min<uint32_t>(command_[6], geometry_.sectors);
  const bool end_of_track = at_sector_ >= last;
  at_sector_ = static_cast<uint8_t>(end_of_track ? 1 : at_sector_ + 1);
  const bool to_other_head = end_of_track && both_heads && at_head_ + 1U < geometry_.heads;
  if (to_other_head) ++at_head_;
  if (end_of_track && !to_other_head) {
    ++at_cylinder_;
    if (both_heads) at_head_ = 0;
    return finish_transfer(ended_ ? 0 : kAbnormal, ended_ ? 0 : kEndOfCylinder);
  }
  if (ended_) finish_transfer(0, 0);
}

void FloppyController::read_id() {
  const uint8_t drive = command_[1] & 3;
  at_cylinder_ = cylinder_;
  at_head_ = command_[1] >> 2 & 1;
  at_sector_ = 1;
  if (!has_disk(drive)) return finish_transfer(kAbnormal | kNotReady, 0);
  // A format is found only at its own data rate: 500 kbit/s for 15 and 18 sectors, 1000 for 36, 250
  // (or 300, in a drive that turns faster) for less.
  const uint32_t sectors = geometry_.sectors;
  const bool found = sectors == 36   ? rate_ == 3
                     : sectors >= 15 ? rate_ == 0
                                     : rate_ == 1 || rate_ == 2;
  finish_transfer(found ? 0 : kAbnormal, found ? 0 : kMissingMark);
}

// Every sector of the track is filled; the list of addresses that DMA offers is taken as read.
void FloppyController::format() {
  const uint8_t drive = command_[1] & 3;
  at_cylinder_ = cylinder_;
  at_head_ = command_[1] >> 2 & 1;
  at_sector_ = 1;
  if (!has_disk(drive)) return finish_transfer(kAbnormal | kNotReady, 0);
  if (medium_->read_only()) return finish_transfer(kAbnormal, kNotWritable);
  if (at_cylinder_ >= geometry_.cylinders || at_head_ >= geometry_.heads ||
      command_[2] != kSectorCode) {
    return finish_transfer(kAbnormal, kNoData);
  }
  running_ = Running::Format;
  run_on();
}

DiskBackend::Progress FloppyController::fill_sector() {
  buffer_.fill(command_[5]);
  return put_buffer(place() + uint64_t{filled_} * kSector);
}

void FloppyController::visit_state(StateArchive& archive) {
  constexpr size_t kLongestCommand = 9, kLongestResult = 10;
  archive.same("medium bytes", medium_ != nullptr ? medium_->bytes() : 0);
  archive.field("output", output_);
  archive.field("rate", rate_, 0, 3);
  archive.list("command", command_, kLongestCommand);
  archive.list("result", result_, kLongestResult);
  archive.field("result at", result_at_, 0, result_.size());
  archive.field("cylinder", cylinder_);
  archive.field("seek status", seek_status_);
  archive.field("resets to sense", resets_to_sense_, 0, 4);
  archive.field("seek ended", seek_ended_);
  archive.field("changed", changed_);
  archive.field("locked", locked_);
  archive.numbers("specify", specify_);
  archive.field("configure", configure_);
  if (archive.version() < 2) return;
  archive.choice("running", running_, Running::Format);
  archive.field("at cylinder", at_cylinder_);
  archive.field("at head", at_head_);
  archive.field("at sector", at_sector_);
  archive.field("filled", filled_, 0, geometry_.sectors);
  archive.field("has sector", has_sector_);
  archive.field("ended", ended_);
  archive.part("look again", look_again_);
  archive.memory("sector", has_sector_ ? std::span<uint8_t>(buffer_) : std::span<uint8_t>());
  const bool is_whole = !command_.empty() && command_.size() == command_length(command_[0]);
  const bool moves = running_ == Running::Read || running_ == Running::Write;
  const size_t least = moves ? command_length(kRead) : command_length(kFormat);
  const bool can_run = medium_ != nullptr && is_whole && command_.size() >= least &&
                       at_sector_ != 0 && result_at_ == result_.size();
  archive.require(running_ == Running::None || can_run, "running", "there is no such command");
  archive.require(running_ != Running::Write || !medium_->read_only(), "running",
                  "the disk cannot be written");
}

}  // namespace ringshift
