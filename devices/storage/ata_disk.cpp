#include "devices/storage/ata_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint32_t kHeads = 16, kSectorsPerTrack = 63, kMostCylinders = 16383;
constexpr uint32_t kMostMultiple = 16;
constexpr uint64_t kShortLimit = uint64_t{1} << 28;
constexpr uint8_t kUseLba = 0x40;  // of the device register

void put_word(std::span<uint8_t> to, unsigned word, uint32_t value) {
  to[2 * word] = static_cast<uint8_t>(value);
  to[2 * word + 1] = static_cast<uint8_t>(value >> 8);
}

// Characters lie in words with the first in the high byte, padded with spaces.
void put_text(std::span<uint8_t> to, unsigned word, unsigned words, const std::string& text) {
  for (unsigned i = 0; i < 2 * words; ++i) {
    to[2 * word + (i ^ 1U)] = i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{' '};
  }
}

}  // namespace

AtaDisk::AtaDisk(DiskBackend& medium, std::string serial)
    : medium_(medium), serial_(std::move(serial)) {
  CHECK(medium.bytes() >= kSector && serial_.size() <= 20);
  medium_.set_on_ready([this] { note_ready(); });
}

void AtaDisk::reset() {
  registers = IdeRegisters();
  multiple_ = 0;
  heads_ = kHeads;
  sectors_per_track_ = kSectorsPerTrack;
  activity_ = Activity::None;
  is_waiting_ = false;
  medium_.abandon();
}

// A disk of less than one cylinder has one all the same: firmware divides by this number, and finds
// the disk's end by its sectors.
uint32_t AtaDisk::default_cylinders() const {
  return static_cast<uint32_t>(
      std::clamp<uint64_t>(sectors() / (kHeads * kSectorsPerTrack), 1, kMostCylinders));
}

IdeStep AtaDisk::command(uint8_t code) {
  const uint32_t multiple = multiple_;
  is_waiting_ = false;
  medium_.abandon();
  switch (code) {
    case 0x20:  // READ SECTORS
    case 0x21:
      return begin(Activity::Read, IdePhase::DataIn, Address::Short, 1);
    case 0x24:
      return begin(Activity::Read, IdePhase::DataIn, Address::Long, 1);
    case 0xc4:  // READ MULTIPLE
      return begin(Activity::Read, IdePhase::DataIn, Address::Short, multiple);
    case 0x29:
      return begin(Activity::Read, IdePhase::DataIn, Address::Long, multiple);
    case 0xc8:  // READ DMA
    case 0xc9:
      return begin(Activity::Read, IdePhase::DmaIn, Address::Short, kMostPerBlock);
    case 0x25:
      return begin(Activity::Read, IdePhase::DmaIn, Address::Long, kMostPerBlock);
    case 0x30:  // WRITE SECTORS
    case 0x31:
      return begin(Activity::Write, IdePhase::DataOut, Address::Short, 1);
    case 0x34:
      return begin(Activity::Write, IdePhase::DataOut, Address::Long, 1);
    case 0xc5:  // WRITE MULTIPLE
      return begin(Activity::Write, IdePhase::DataOut, Address::Short, multiple);
    case 0x39:
      return begin(Activity::Write, IdePhase::DataOut, Address::Long, multiple);
    case 0xca:  // WRITE DMA
    case 0xcb:
      return begin(Activity::Write, IdePhase::DmaOut, Address::Short, kMostPerBlock);
    case 0x35:
      return begin(Activity::Write, IdePhase::DmaOut, Address::Long, kMostPerBlock);
    default:
      return other_command(code);
  }
}

IdeStep AtaDisk::other_command(uint8_t code) {
  activity_ = Activity::None;
  if (code >= 0x10 && code <= 0x1f) return done();  // RECALIBRATE
  if (code >= 0xe0 && code <= 0xe3) return done();  // STANDBY and IDLE, now or by timer
  switch (code) {
    case 0x40:  // READ VERIFY
    case 0x41:
    case 0x70:  // SEEK
      return verify(Address::Short);
    case 0x42:
      return verify(Address::Long);
    case 0x91:  // INITIALIZE DEVICE PARAMETERS
      heads_ = (registers.device & 0x0fU) + 1;
      sectors_per_track_ = registers.count[0];
      return done();
    case 0xc6:  // SET MULTIPLE MODE
      if (registers.count[0] > kMostMultiple ||
          (registers.count[0] & (registers.count[0] - 1)) != 0)
        return fail(kIdeAborted);
      multiple_ = registers.count[0];
      return done();
    case 0xe5:  // CHECK POWER MODE: active
      registers.count[0] = 0xff;
      return done();
    case 0xe6:  // SLEEP: the next command wakes it
      return done();
    case 0xe7:  // FLUSH CACHE
    case 0xea:
      return flush();
    case 0xec:
      return identify();
    case 0xef:
      return set_features();
    case 0xf8:  // READ NATIVE MAX ADDRESS
      report_capacity(Address::Short);
      return done();
    case 0x27:
      report_capacity(Address::Long);
      return done();
    default:
      return fail(kIdeAborted);
  }
}

// True if the sectors that the registers name are all there; then position_ and left_ say which.
bool AtaDisk::locate(Address address) {
  const IdeRegisters& r = registers;
  if (address == Address::Long) {
    position_ = uint64_t{r.low[0]} | uint64_t{r.mid[0]} << 8 | uint64_t{r.high[0]} << 16 |
                uint64_t{r.low[1]} << 24 | uint64_t{r.mid[1]} << 32 | uint64_t{r.high[1]} << 40;
    left_ = r.count[0] | uint32_t{r.count[1]} << 8;
    if (left_ == 0) left_ = 0x10000;
  } else {
    left_ = r.count[0] == 0 ? 256 : r.count[0];
    const uint32_t cylinder = r.mid[0] | uint32_t{r.high[0]} << 8;
    const uint32_t head = r.device & 0x0fU;
    if ((r.device & kUseLba) != 0) {
      position_ = r.low[0] | cylinder << 8 | uint64_t{head} << 24;
    } else {
      if (r.low[0] == 0 || r.low[0] > sectors_per_track_ || head >= heads_) return false;
      position_ = (uint64_t{cylinder} * heads_ + head) * sectors_per_track_ + r.low[0] - 1U;
    }
  }
  return position_ < sectors() && left_ <= sectors() - position_;
}

IdeStep AtaDisk::verify(Address address) { return locate(address) ? done() : fail(kIdeNotFound); }

IdeStep AtaDisk::begin(Activity activity, IdePhase phase, Address address,
                       uint32_t sectors_per_block) {
  activity_ = Activity::None;
  if (sectors_per_block == 0) return fail(kIdeAborted);  // MULTIPLE without its mode
  if (!locate(address)) return fail(kIdeNotFound);
  if (activity == Activity::Write && medium_.read_only()) return fail(kIdeAborted);
  activity_ = activity;
  phase_ = phase;
  per_block_ = sectors_per_block;
  IdeStep step = next_block();
  // The guest may write its first block at once; a DMA transfer ends with its only interrupt.
  if (step.phase != IdePhase::Idle && phase != IdePhase::DataIn) step.interrupt = false;
  return step;
}

// Writes the position and the count left to the registers, as an error leaves them.
void AtaDisk::report_position() {
  registers.low[0] = static_cast<uint8_t>(position_);
  registers.mid[0] = static_cast<uint8_t>(position_ >> 8);
  registers.high[0] = static_cast<uint8_t>(position_ >> 16);
}

IdeStep AtaDisk::next_block() {
  in_block_ = std::min(left_, per_block_);
  left_ -= in_block_;
  if (activity_ == Activity::Read) return read_block();
  // Nothing is left of the block's old contents, not even until the guest has written over it.
  std::ranges::fill(block(), uint8_t{0});
  registers.status = kIdeReady | kIdeSeekComplete;
  registers.error = 0;
  return {phase_, phase_ == IdePhase::DataOut};
}

DiskBackend::Progress AtaDisk::ask(DiskRequest::Kind kind) {
  const bool moves = kind != DiskRequest::Kind::Flush;
  const DiskBackend::Progress progress =
      medium_.advance({.kind = kind,
                       .offset = moves ? position_ * kSector : 0,
                       .bytes = moves ? block() : std::span<uint8_t>()});
  is_waiting_ = progress == DiskBackend::Progress::Waits;
  return progress;
}

IdeStep AtaDisk::read_block() {
  switch (ask(DiskRequest::Kind::Read)) {
    case DiskBackend::Progress::Waits:
      return wait();
    case DiskBackend::Progress::Failed:
      activity_ = Activity::None;
      report_position();
      return fail(kIdeUncorrectable);
    case DiskBackend::Progress::Done:
      break;
  }
  position_ += in_block_;
  registers.status = kIdeReady | kIdeSeekComplete;
  registers.error = 0;
  return {phase_, phase_ == IdePhase::DataIn};
}

IdeStep AtaDisk::write_block() {
  switch (ask(DiskRequest::Kind::Write)) {
    case DiskBackend::Progress::Waits:
      return wait();
    case DiskBackend::Progress::Failed: {
      activity_ = Activity::None;
      report_position();
      IdeStep step = fail(kIdeAborted);
      registers.status |= kIdeFault;
      return step;
    }
    case DiskBackend::Progress::Done:
      break;
  }
  position_ += in_block_;
  if (left_ != 0) return next_block();
  activity_ = Activity::None;
  // Without a write cache, data is on the medium before the guest is told.
  return write_cache_ ? done() : flush();
}

IdeStep AtaDisk::resume() {
  if (is_waiting_) {
    if (activity_ == Activity::Read) return read_block();
    if (activity_ == Activity::Write) return write_block();
    if (activity_ == Activity::Flush) return flush();
  }
  activity_ = Activity::None;
  is_waiting_ = false;
  return done();
}

std::span<uint8_t> AtaDisk::block() { return std::span(buffer_).first(in_block_ * kSector); }

IdeStep AtaDisk::block_done() {
  if (activity_ == Activity::Write) return write_block();
  if (left_ != 0) return next_block();
  activity_ = Activity::None;
  IdeStep step = done();
  // After the last block has been read there is nothing more to say.
  if (phase_ == IdePhase::DataIn) step.interrupt = false;
  return step;
}

IdeStep AtaDisk::flush() {
  activity_ = Activity::Flush;
  const DiskBackend::Progress progress = ask(DiskRequest::Kind::Flush);
  if (progress == DiskBackend::Progress::Waits) return wait();
  activity_ = Activity::None;
  if (progress == DiskBackend::Progress::Done) return done();
  IdeStep step = fail(kIdeAborted);
  registers.status |= kIdeFault;
  return step;
}

IdeStep AtaDisk::set_features() {
  switch (registers.features[0]) {
    case 0x02:
      write_cache_ = true;
      return done();
    case 0x82: {
      write_cache_ = false;
      return flush();
    }
    case 0x03:  // transfer mode: programmed I/O, multi-word DMA or ultra DMA
      if ((registers.count[0] & 0xf8) == 0x20 || (registers.count[0] & 0xf8) == 0x40) {
        dma_mode_ = registers.count[0];
      }
      return done();
    case 0xaa:  // look-ahead on and off; power management; reverting to defaults
    case 0x55:
    case 0x05:
    case 0x85:
    case 0x66:
    case 0xcc:
      return done();
    default:
      return fail(kIdeAborted);
  }
}

void AtaDisk::report_capacity(Address address) {
  uint64_t last = sectors() - 1;
  if (address == Address::Short) last = std::min(last, kShortLimit - 1);
  registers.low[0] = static_cast<uint8_t>(last);
  registers.mid[0] = static_cast<uint8_t>(last >> 8);
  registers.high[0] = static_cast<uint8_t>(last >> 16);
  if (address == Address::Short) {
    registers.device = static_cast<uint8_t>((registers.device & 0xf0) | (last >> 24 & 0x0f));
  } else {
    registers.low[1] = static_cast<uint8_t>(last >> 24);
    registers.mid[1] = static_cast<uint8_t>(last >> 32);
    registers.high[1] = static_cast<uint8_t>(last >> 40);
  }
}

IdeStep AtaDisk::identify() {
  in_block_ = 1;
  left_ = 0;
  activity_ = Activity::Identify;
  phase_ = IdePhase::DataIn;
  const std::span<uint8_t> to = block();
  std::fill(to.begin(), to.end(), uint8_t{0});
  const uint64_t short_sectors = std::min(sectors(), kShortLimit - 1);
  const uint32_t cylinders = default_cylinders();
  const uint32_t chs = cylinders * kHeads * kSectorsPerTrack;
  put_word(to, 0, 0x0040);  // a fixed disk
  put_word(to, 1, cylinders);
  put_word(to, 3, kHeads);
  put_word(to, 6, kSectorsPerTrack);
  put_text(to, 10, 10, serial_);
  put_text(to, 23, 4, "1.0");
  put_text(to, 27, 20, "RINGSHIFT HARDDISK");
  put_word(to, 47, 0x8000 | kMostMultiple);
  put_word(to, 49, 0x0300);  // LBA, DMA
  put_word(to, 50, 0x4000);
  put_word(to, 51, 0x0200);
  put_word(to, 53, 0x0007);  // words 54-58, 64-70 and 88 are valid
  put_word(to, 54, cylinders);
  put_word(to, 55, heads_);
  put_word(to, 56, sectors_per_track_);
  put_word(to, 57, chs);
  put_word(to, 58, chs >> 16);
  put_word(to, 59, multiple_ != 0 ? 0x0100U | multiple_ : 0);
  put_word(to, 60, static_cast<uint32_t>(short_sectors));
  put_word(to, 61, static_cast<uint32_t>(short_sectors >> 16));
  put_word(to, 63, 0x0007 | ((dma_mode_ & 0xf8) == 0x20 ? 0x100U << (dma_mode_ & 7) : 0));
  put_word(to, 64, 0x0003);
  for (unsigned word = 65; word <= 68; ++word) put_word(to, word, 120);
  put_word(to, 80, 0x00f0);  // ATA-4 to ATA-7
  put_word(to, 82, 0x4020);  // NOP, write cache; 83: FLUSH CACHE, its long form, 48 bits
  put_word(to, 83, 0x7400);
  put_word(to, 84, 0x4000);
  put_word(to, 85, write_cache_ ? 0x4020 : 0x4000);
  put_word(to, 86, 0x3400);
  put_word(to, 87, 0x4000);
  put_word(to, 88, 0x003f | ((dma_mode_ & 0xf8) == 0x40 ? 0x100U << (dma_mode_ & 7) : 0));
  put_word(to, 93, 0x6001 | 0x4000);
  for (unsigned i = 0; i < 4; ++i) {
    put_word(to, 100 + i, static_cast<uint32_t>(sectors() >> (16 * i) & 0xffff));
  }
  registers.status = kIdeReady | kIdeSeekComplete;
  registers.error = 0;
  return {IdePhase::DataIn, true};
}

void AtaDisk::visit_state(StateArchive& archive) {
  archive.same("sectors", sectors());
  archive.part("registers", registers);
  archive.field("multiple", multiple_, 0, kMostMultiple);
  archive.field("dma mode", dma_mode_);
  archive.field("heads", heads_, 1, kHeads);
  archive.field("sectors per track", sectors_per_track_, 0, 0xff);
  archive.field("write cache", write_cache_);
  const bool is_of_now = archive.version() >= 3;
  archive.choice("activity", activity_, is_of_now ? Activity::Flush : Activity::Write);
  if (is_of_now) archive.field("is waiting", is_waiting_);
  archive.choice("phase", phase_, IdePhase::DmaOut);
  archive.field("position", position_);
  archive.field("left", left_, 0, 0x10000);
  archive.field("per block", per_block_, 1, kMostPerBlock);
  archive.field("in block", in_block_, 0, kMostPerBlock);
  const bool is_read_later = activity_ == Activity::Read && is_waiting_;
  const bool has_block =
      activity_ != Activity::None && activity_ != Activity::Flush && !is_read_later;
  archive.memory("block", has_block ? block() : std::span<uint8_t>());
  // A block that was read lies before the position, one that is not yet, or being written, behind.
  const bool writes = activity_ == Activity::Write;
  const uint64_t ahead = uint64_t{left_} + (writes || is_waiting_ ? in_block_ : 0);
  const bool is_there = position_ <= sectors() && ahead <= sectors() - position_;
  archive.require(is_there || (!writes && activity_ != Activity::Read), "position",
                  "it is behind the disk's end");
  archive.require(!writes || !medium_.read_only(), "activity", "the disk cannot be written");
}

}  // namespace ringshift
