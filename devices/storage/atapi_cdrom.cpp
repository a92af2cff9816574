#include "devices/storage/atapi_cdrom.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint8_t kNotReady = 0x02, kMediumError = 0x03, kIllegalRequest = 0x05;
constexpr uint8_t kUnitAttention = 0x06, kMayHaveChanged = 0x28, kRemovalPrevented = 0x53;
constexpr uint8_t kReadError = 0x11, kInvalidCommand = 0x20, kOutOfRange = 0x21;
constexpr uint8_t kInvalidField = 0x24, kNoMedium = 0x3a;
// Interrupt reason, in the sector count register.
constexpr uint8_t kReasonCommand = 0x01, kReasonToHost = 0x02;
constexpr uint8_t kUseDma = 0x01;  // of the features register
constexpr uint32_t kLeadOutTrack = 0xaa;

void put16(std::vector<uint8_t>& to, size_t at, uint32_t value) {
  to[at] = static_cast<uint8_t>(value >> 8);
  to[at + 1] = static_cast<uint8_t>(value);
}

void put32(std::vector<uint8_t>& to, size_t at, uint32_t value) {
  put16(to, at, value >> 16);
  put16(to, at + 2, value);
}

// An address as minutes, seconds and frames, which count from two seconds before sector 0.
void put_msf(std::vector<uint8_t>& to, size_t at, uint32_t sector) {
  const uint32_t frames = sector + 150;
  to[at] = 0;
  to[at + 1] = static_cast<uint8_t>(frames / 75 / 60);
  to[at + 2] = static_cast<uint8_t>(frames / 75 % 60);
  to[at + 3] = static_cast<uint8_t>(frames % 75);
}

void put_text(std::vector<uint8_t>& to, size_t at, size_t bytes, const std::string& text) {
  for (size_t i = 0; i < bytes; ++i) {
    to[at + i] = i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{' '};
  }
}

}  // namespace

void AtapiCdrom::reset() {
  registers = IdeRegisters();
  registers.mid[0] = 0x14;  // signature of a packet device
  registers.high[0] = 0xeb;
  registers.status = 0;
  end_data();
  sense_ = Sense();
  locked_ = false;
}

// Nothing moves, and nothing is left of the last transfer.
void AtapiCdrom::end_data() {
  stop_medium();
  activity_ = Activity::None;
  buffer_.clear();
  position_ = chunk_ = 0;
  sectors_left_ = 0;
}

uint32_t AtapiCdrom::sectors() const {
  if (medium_ == nullptr || ejected_) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(medium_->bytes() / kSector, 0x7fffffff));
}

uint32_t AtapiCdrom::packet16(unsigned at) const {
  return uint32_t{packet_[at]} << 8 | packet_[at + 1];
}

uint32_t AtapiCdrom::packet32(unsigned at) const { return packet16(at) << 16 | packet16(at + 2); }

IdeStep AtapiCdrom::command(uint8_t code) {
  end_data();
  if (code >= 0xe0 && code <= 0xe3) return done();  // STANDBY and IDLE
  switch (code) {
    case 0xa0:
      return begin_packet();
    case 0xa1:
      return identify();
    case 0x20:  // READ SECTORS and IDENTIFY DEVICE: refused, and the signature says why
    case 0xec:
      registers.count[0] = registers.low[0] = 1;
      registers.mid[0] = 0x14;
      registers.high[0] = 0xeb;
      return fail(kIdeAborted);
    case 0xef:  // SET FEATURES: transfer modes, which are all the same here
      return registers.features[0] == 0x03 ? done() : fail(kIdeAborted);
    case 0xe5:
      registers.count[0] = 0xff;
      return done();
    case 0xe6:
      return done();
    default:
      return fail(kIdeAborted);
  }
}

IdeStep AtapiCdrom::begin_packet() {
  dma_ = (registers.features[0] & kUseDma) != 0;
  chunk_limit_ = registers.mid[0] | uint32_t{registers.high[0]} << 8;
  // A limit of 0 is the largest; only a chunk of all that is left may be odd.
  if (chunk_limit_ == 0) chunk_limit_ = 0xfffe;
  if (chunk_limit_ > 1) chunk_limit_ &= ~1U;
  if (chunk_limit_ == 1) chunk_limit_ = 2;
  activity_ = Activity::Packet;
  registers.count[0] = kReasonCommand;
  registers.status = kIdeReady;
  registers.error = 0;
  return {IdePhase::DataOut, false};
}

std::span<uint8_t> AtapiCdrom::block() {
  if (activity_ == Activity::Packet) return packet_;
  return std::span(buffer_).subspan(position_, chunk_);
}

IdeStep AtapiCdrom::block_done() {
  switch (activity_) {
    case Activity::Packet:
      return run_packet();
    case Activity::Identify: {
      end_data();
      registers.count[0] = kReasonCommand | kReasonToHost;
      IdeStep step = done();
      step.interrupt = false;
      return step;
    }
    default:
      position_ += chunk_;
      return next_data();
  }
}

IdeStep AtapiCdrom::resume() {
  const bool reads = activity_ == Activity::Read && position_ == buffer_.size();
  return reads ? next_data() : check({kMediumError, kReadError});
}

// --- the tray

void AtapiCdrom::move_tray(bool open) {
  if (ejected_ == open) return;
  ejected_ = open;
  event_ = open || medium_ == nullptr ? MediaEvent::MediumGone : MediaEvent::NewMedium;
  changed_ = !open && medium_ != nullptr;
  if (on_tray_) on_tray_(open);
}

void AtapiCdrom::open_tray() { move_tray(true); }

void AtapiCdrom::close_tray() { move_tray(false); }

void AtapiCdrom::insert(DiskBackend* medium) {
  stop_medium();
  medium_ = medium;
  if (medium_ != nullptr) medium_->set_on_ready([this] { note_ready(); });
}

void AtapiCdrom::stop_medium() {
  if (medium_ != nullptr) medium_->abandon();
}

IdeStep AtapiCdrom::media_event() {
  if ((packet_[1] & 1) == 0) return check({kIllegalRequest, kInvalidField});
  const auto code = static_cast<uint8_t>(event_);
  const auto status = static_cast<uint8_t>((ejected_ ? 1 : 0) | (medium_ != nullptr ? 2 : 0));
  event_ = MediaEvent::None;
  return answer({0, 6, 4, 0x10, code, status, 0, 0}, packet16(7));
}

// --- the ends of a packet command

IdeStep AtapiCdrom::finish() {
  end_data();
  registers.count[0] = kReasonCommand | kReasonToHost;
  registers.status = kIdeReady;
  registers.error = 0;
  sense_ = Sense();
  return {};
}

IdeStep AtapiCdrom::check(Sense sense) {
  end_data();
  registers.count[0] = kReasonCommand | kReasonToHost;
  registers.status = kIdeReady | kIdeError;
  registers.error = static_cast<uint8_t>(sense.key << 4 | kIdeAborted);
  sense_ = sense;
  return {};
}

// --- data

IdeStep AtapiCdrom::answer(const std::vector<uint8_t>& bytes, uint32_t allowed) {
  buffer_.assign(bytes.begin(),
                 bytes.begin() + static_cast<ptrdiff_t>(std::min<size_t>(bytes.size(), allowed)));
  if (buffer_.empty()) return finish();
  if (buffer_.size() % 2 != 0) buffer_.push_back(0);
  activity_ = Activity::Answer;
  position_ = 0;
  sectors_left_ = 0;
  return next_data();
}

// The next ones, if the medium has them. Until it has the guest has none.
DiskBackend::Progress AtapiCdrom::load_sectors() {
  using Progress = DiskBackend::Progress;
  const uint32_t count = std::min(sectors_left_, kSectorsPerBlock);
  // The medium may be out, or another.
  if (next_sector_ >= sectors() || count > sectors() - next_sector_) return Progress::Failed;
  incoming_.resize(size_t{count} * kSector);
  const Progress progress = medium_->advance({.kind = DiskRequest::Kind::Read,
                                              .offset = uint64_t{next_sector_} * kSector,
                                              .bytes = incoming_});
  if (progress != Progress::Done) return progress;
  position_ = 0;
  if (sector_bytes_ == kSector) {
    buffer_ = incoming_;
  } else {
    buffer_.assign(size_t{count} * sector_bytes_, 0);
    for (uint32_t i = 0; i < count; ++i) put_raw_sector(i);
  }
  next_sector_ += count;
  sectors_left_ -= count;
  return progress;
}

// Sync pattern and header of a mode 1 sector around its data; its error correction is zero.
void AtapiCdrom::put_raw_sector(uint32_t index) {
  uint8_t* const to = buffer_.data() + size_t{index} * sector_bytes_;
  std::memset(to + 1, 0xff, 10);
  std::vector<uint8_t> header(4);
  put_msf(header, 0, next_sector_ + index);
  std::copy(header.begin() + 1, header.end(), to + 12);
  to[15] = 1;
  std::memcpy(to + 16, incoming_.data() + size_t{index} * kSector, kSector);
}

IdeStep AtapiCdrom::read(uint32_t first, uint32_t count, uint32_t sector_bytes) {
  if (first >= sectors() || count > sectors() - first) return check({kIllegalRequest, kOutOfRange});
  if (count == 0) return finish();
  next_sector_ = first;
  sectors_left_ = count;
  sector_bytes_ = sector_bytes;
  buffer_.clear();
  position_ = 0;
  activity_ = Activity::Read;
  return next_data();
}

IdeStep AtapiCdrom::next_data() {
  if (position_ == buffer_.size()) {
    if (sectors_left_ == 0) return finish();
    chunk_ = 0;
    switch (load_sectors()) {
      case DiskBackend::Progress::Waits:
        return wait();
      case DiskBackend::Progress::Failed:
        return check({kMediumError, kReadError});
      case DiskBackend::Progress::Done:
        break;
    }
  }
  chunk_ = buffer_.size() - position_;
  registers.count[0] = kReasonToHost;
  registers.status = kIdeReady;
  registers.error = 0;
  if (dma_) return {IdePhase::DmaIn, false};
  chunk_ = std::min<size_t>(chunk_, chunk_limit_);
  registers.mid[0] = static_cast<uint8_t>(chunk_);
  registers.high[0] = static_cast<uint8_t>(chunk_ >> 8);
  return {IdePhase::DataIn, true};
}

IdeStep AtapiCdrom::identify() {
  std::vector<uint8_t> words(512);
  const auto put = [&words](unsigned word, uint32_t value) {
    words[2 * word] = static_cast<uint8_t>(value);
    words[2 * word + 1] = static_cast<uint8_t>(value >> 8);
  };
  const auto text = [&words](unsigned word, unsigned count, const std::string& from) {
    for (unsigned i = 0; i < 2 * count; ++i) {
      words[2 * word + (i ^ 1U)] = i < from.size() ? static_cast<uint8_t>(from[i]) : uint8_t{' '};
    }
  };
  put(0, 0x85c0);  // packet device, CD-ROM, removable, 12-byte packets
  text(10, 10, "RS00003");
  text(23, 4, "1.0");
  text(27, 20, "RINGSHIFT CD-ROM");
  put(49, 0x0300);  // LBA, DMA
  put(53, 0x0007);
  put(63, 0x0007);
  put(64, 0x0003);
  for (unsigned word = 65; word <= 68; ++word) put(word, 120);
  put(80, 0x00f0);
  put(82, 0x4210);  // NOP, DEVICE RESET, PACKET
  put(83, 0x4000);
  put(84, 0x4000);
  put(85, 0x4210);
  put(87, 0x4000);
  put(88, 0x003f);
  buffer_ = std::move(words);
  position_ = 0;
  chunk_ = buffer_.size();
  activity_ = Activity::Identify;
  registers.count[0] = kReasonToHost;
  registers.status = kIdeReady | kIdeSeekComplete;
  registers.error = 0;
  return {IdePhase::DataIn, true};
}

// --- packet commands

IdeStep AtapiCdrom::run_packet() {
  switch (packet_[0]) {
    case 0x03: {  // REQUEST SENSE
      std::vector<uint8_t> bytes(18);
      bytes[0] = 0x70;
      bytes[2] = sense_.key;
      bytes[7] = 10;
      bytes[12] = sense_.code;
      return answer(bytes, packet_[4]);
    }
    case 0x12: {  // INQUIRY
      std::vector<uint8_t> bytes(36);
      bytes[0] = 0x05;
      bytes[1] = 0x80;
      bytes[3] = 0x21;
      bytes[4] = 31;
      put_text(bytes, 8, 8, "RINGSHIF");
      put_text(bytes, 16, 16, "CD-ROM");
      put_text(bytes, 32, 4, "1.0");
      return answer(bytes, packet_[4]);
    }
    case 0x1b:  // START STOP UNIT; LoEj: out, or in again
      if ((packet_[4] & 3) == 2 && locked_) return check({kNotReady, kRemovalPrevented});
      if ((packet_[4] & 2) != 0) move_tray((packet_[4] & 1) == 0);
      return finish();
    case 0x1e:  // PREVENT ALLOW MEDIUM REMOVAL
      locked_ = (packet_[4] & 1) != 0;
      return finish();
    case 0xbb:  // SET CD SPEED
      return finish();
    case 0x46:
      return configuration();
    case 0x4a:  // GET EVENT STATUS NOTIFICATION: polled, media class
      return media_event();
    case 0x5a:
      return mode_sense();
    case 0xbd: {  // MECHANISM STATUS
      std::vector<uint8_t> bytes(8);
      return answer(bytes, packet16(8));
    }
    default:
      return run_medium_packet();
  }
}

// The commands that need a medium.
IdeStep AtapiCdrom::run_medium_packet() {
  switch (packet_[0]) {
    case 0x00:  // TEST UNIT READY
    case 0x25:
    case 0x28:
    case 0x2b:
    case 0x42:
    case 0x43:
    case 0x51:
    case 0x52:
    case 0xa8:
    case 0xbe:
      break;
    default:
      return check({kIllegalRequest, kInvalidCommand});
  }
  if (sectors() == 0) return check({kNotReady, kNoMedium});
  if (std::exchange(changed_, false)) return check({kUnitAttention, kMayHaveChanged});
  switch (packet_[0]) {
    case 0x28:  // READ (10)
      return read(packet32(2), packet16(7), kSector);
    case 0xa8:  // READ (12)
      return read(packet32(2), packet32(6), kSector);
    case 0x2b:  // SEEK
      return packet32(2) < sectors() ? finish() : check({kIllegalRequest, kOutOfRange});
    case 0xbe:
      return read_cd();
    case 0x43:
      return read_toc();
    default:
      return run_query_packet();
  }
}

IdeStep AtapiCdrom::run_query_packet() {
  switch (packet_[0]) {
    case 0x25: {  // READ CAPACITY
      std::vector<uint8_t> bytes(8);
      put32(bytes, 0, sectors() - 1);
      put32(bytes, 4, kSector);
      return answer(bytes, 8);
    }
    case 0x42: {  // READ SUB-CHANNEL: no audio is playing
      std::vector<uint8_t> bytes(4);
      bytes[1] = 0x15;
      return answer(bytes, packet16(7));
    }
    case 0x51: {  // READ DISC INFORMATION: complete, one session, one track
      std::vector<uint8_t> bytes(34);
      put16(bytes, 0, 32);
      bytes[2] = 0x0e;
      bytes[3] = bytes[4] = bytes[5] = bytes[6] = 1;
      bytes[7] = 0x20;
      return answer(bytes, packet16(7));
    }
    case 0x52: {  // READ TRACK INFORMATION
      std::vector<uint8_t> bytes(36);
      put16(bytes, 0, 34);
      bytes[2] = bytes[3] = 1;
      bytes[5] = 0x04;
      bytes[6] = 0x01;
      put32(bytes, 24, sectors());
      return answer(bytes, packet16(7));
    }
    default:
      return finish();  // TEST UNIT READY
  }
}

IdeStep AtapiCdrom::read_cd() {
  const uint32_t count = uint32_t{packet_[6]} << 16 | packet16(7);
  switch (packet_[9] & 0xf8) {
    case 0x00:
      return finish();
    case 0x10:  // user data
      return read(packet32(2), count, kSector);
    case 0xf8:  // everything
      return read(packet32(2), count, kRawSector);
    default:
      return check({kIllegalRequest, kInvalidField});
  }
}

// One session with one data track, and the lead-out.
IdeStep AtapiCdrom::read_toc() {
  const bool msf = (packet_[1] & 2) != 0;
  const uint32_t format = (packet_[2] & 0x0fU) != 0 ? packet_[2] & 0x0fU : packet_[9] >> 6U;
  const uint32_t from = packet_[6];
  if (format == 1) {  // sessions
    std::vector<uint8_t> bytes{0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0};
    if (msf) put_msf(bytes, 8, 0);
    return answer(bytes, packet16(7));
  }
  if (format != 0 || (from > 1 && from != kLeadOutTrack)) {
    return check({kIllegalRequest, kInvalidField});
  }
  std::vector<uint8_t> bytes{0, 0, 1, 1};
  const auto track = [&](uint32_t number, uint32_t sector) {
    const size_t at = bytes.size();
    bytes.resize(at + 8);
    bytes[at + 1] = 0x14;
    bytes[at + 2] = static_cast<uint8_t>(number);
    if (msf) {
      put_msf(bytes, at + 4, sector);
    } else {
      put32(bytes, at + 4, sector);
    }
  };
  if (from <= 1) track(1, 0);
  track(kLeadOutTrack, sectors());
  put16(bytes, 0, static_cast<uint32_t>(bytes.size() - 2));
  return answer(bytes, packet16(7));
}

IdeStep AtapiCdrom::mode_sense() {
  const uint32_t page = packet_[2] & 0x3fU;
  if (packet_[2] >> 6 == 3) return check({kIllegalRequest, 0x39});  // there are no saved values
  std::vector<uint8_t> bytes(8);
  bytes[2] = sectors() != 0 ? 0x01 : 0x70;  // data CD, or no medium
  if (page == 0x01 || page == 0x3f) {
    const uint8_t recovery[] = {0x01, 0x06, 0x00, 0x05, 0, 0, 0, 0};
    bytes.insert(bytes.end(), std::begin(recovery), std::end(recovery));
  }
  if (page == 0x2a || page == 0x3f) {
    const size_t at = bytes.size();
    bytes.resize(at + 20);
    bytes[at] = 0x2a;
    bytes[at + 1] = 18;
    bytes[at + 2] = 0x01;  // reads CD-R
    bytes[at + 4] = 0x70;
    bytes[at + 6] = 0x29;       // tray, ejects, locks
    put16(bytes, at + 8, 706);  // KiB/s
    put16(bytes, at + 14, 706);
  }
  if (bytes.size() == 8) return check({kIllegalRequest, kInvalidField});
  put16(bytes, 0, static_cast<uint32_t>(bytes.size() - 2));
  return answer(bytes, packet16(7));
}

IdeStep AtapiCdrom::configuration() {
  std::vector<uint8_t> bytes(8);
  put16(bytes, 6, sectors() != 0 ? 0x0008 : 0);                          // current profile: CD-ROM
  const uint8_t features[] = {0, 0, 0x03, 4, 0,    8, 1, 0,              // profile list
                              0, 1, 0x0b, 8, 0,    0, 0, 2, 1, 0, 0, 0,  // core: ATAPI
                              0, 3, 0x03, 4, 0x29, 0, 0, 0};             // removable medium: tray
  bytes.insert(bytes.end(), std::begin(features), std::end(features));
  put32(bytes, 0, static_cast<uint32_t>(bytes.size() - 4));
  return answer(bytes, packet16(7));
}

void AtapiCdrom::Sense::visit_state(StateArchive& archive) {
  archive.field("key", key);
  archive.field("code", code);
}

void AtapiCdrom::visit_state(StateArchive& archive) {
  archive.same("medium bytes", medium_ != nullptr ? medium_->bytes() : 0);
  archive.part("registers", registers);
  archive.field("ejected", ejected_);
  if (archive.version() >= 2) {
    archive.field("locked", locked_);
    archive.field("changed", changed_);
    archive.choice("event", event_, MediaEvent::MediumGone);
  }
  archive.part("sense", sense_);
  archive.choice("activity", activity_, Activity::Read);
  archive.field("dma", dma_);
  archive.field("chunk limit", chunk_limit_, 0, 0xfffe);
  archive.numbers("packet", packet_);
  archive.list("buffer", buffer_, size_t{kSectorsPerBlock} * kRawSector);
  archive.field("position", position_, 0, buffer_.size());
  archive.field("chunk", chunk_, 0, buffer_.size());
  archive.field("next sector", next_sector_);
  archive.field("sectors left", sectors_left_);
  archive.field("sector bytes", sector_bytes_, kSector, kRawSector);
  archive.require(chunk_ <= buffer_.size() - position_, "chunk", "it is longer than the buffer");
  const bool is_size = sector_bytes_ == kSector || sector_bytes_ == kRawSector;
  archive.require(is_size, "sector bytes", "no sector is of this size");
  const bool reads = activity_ == Activity::Read;
  const bool is_there = next_sector_ <= sectors() && sectors_left_ <= sectors() - next_sector_;
  archive.require(sectors_left_ == 0 || (reads && is_there), "sectors left", "they are not there");
  archive.require(chunk_ == 0 || activity_ != Activity::None, "chunk", "nothing is moving");
  const bool needs_limit = activity_ != Activity::None && activity_ != Activity::Identify;
  archive.require(!needs_limit || chunk_limit_ >= 2, "chunk limit", "nothing could be moved");
}

}  // namespace ringshift
