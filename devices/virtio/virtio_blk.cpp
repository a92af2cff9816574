#include "devices/virtio/virtio_blk.h"

#include <algorithm>
#include <array>
#include <utility>

#include "devices/virtio/virtio_number.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// Features (5.2.3).
constexpr uint64_t kSegMax = 1U << 2, kReadOnly = 1U << 5, kBlockSize = 1U << 6;
constexpr uint64_t kCanFlush = 1U << 9, kCanDiscard = 1U << 13, kCanWriteZeroes = 1U << 14;

constexpr size_t kHeaderBytes = 16, kRangeBytes = 16, kIdentityBytes = 20, kConfigBytes = 60;
constexpr uint32_t kMayUnmap = 1;  // flag of a range

// Pieces of data in one request: a chain has the header and the status besides.
constexpr uint32_t kMostPieces = Virtqueue::kMostDescriptors - 2;
// One range takes no longer than a step may: zeros may have to be written.
constexpr uint32_t kMostDiscardSectors = 32768, kMostZeroSectors = 4096, kMostRanges = 32;

// The bytes that one call moves before the processor goes on, those that pass through the buffer at
// a time, and the least that a step counts as.
constexpr size_t kMostAtOnce = size_t{1} << 20, kBufferBytes = size_t{128} << 10;
constexpr size_t kLeastCost = 4096;

void put_number(std::vector<uint8_t>& to, size_t at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) to[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace

VirtioBlk::VirtioBlk(DiskBackend& medium, std::string serial)
    : medium_(medium), serial_(std::move(serial)), buffer_(kBufferBytes) {
  CHECK(sectors() != 0 && serial_.size() <= kIdentityBytes);
  medium_.abandon();
  medium_.set_on_ready([this] { transport().serve_soon(0); });
  make_config();
}

VirtioKind VirtioBlk::kind() const {
  uint64_t features = kSegMax | kBlockSize | kCanFlush;
  if (medium_.read_only()) {
    features |= kReadOnly;
  } else {
    features |= kCanWriteZeroes | (medium_.can_discard() ? kCanDiscard : 0);
  }
  return {.name = "virtio-blk",
          .id = 2,
          .pci_device = 0x1001,
          .class_code = 0x010000,
          .features = features,
          .config_bytes = kConfigBytes};
}

// struct virtio_blk_config (5.2.4).
void VirtioBlk::make_config() {
  config_.resize(kConfigBytes);
  put_number(config_, 0, sectors(), 8);
  put_number(config_, 12, kMostPieces, 4);
  put_number(config_, 20, kSector, 4);
  put_number(config_, 36, kMostDiscardSectors, 4);
  put_number(config_, 40, kMostRanges, 4);
  put_number(config_, 44, 8, 4);  // a discard is of use if it is aligned to so many sectors
  put_number(config_, 48, kMostZeroSectors, 4);
  put_number(config_, 52, kMostRanges, 4);
  config_[56] = 1;  // zeros may free their room
}

uint8_t VirtioBlk::config_byte(unsigned offset) const { return config_[offset]; }

VirtioDevice::Served VirtioBlk::serve(unsigned index) {
  Virtqueue& queue = transport().queue(index);
  for (size_t cost = 0; cost < kMostAtOnce;) {
    const bool may_begin = is_active_ ? !is_waiting_ : queue.has_waiting();
    if (may_begin && pause_of(&medium_) != 0) return Served::More;
    if (!is_active_) {
      const Virtqueue::Taken taken = queue.take(&chain_);
      if (taken == Virtqueue::Taken::None) return Served::All;
      if (taken == Virtqueue::Taken::Broken || !begin()) return Served::Broken;
    }
    cost += std::max(kLeastCost, is_active_ ? step() : 0);
    if (is_waiting_) return Served::More;
  }
  return is_active_ || queue.has_waiting() ? Served::More : Served::All;
}

// False: there is no room for a request in it.
bool VirtioBlk::begin() {
  if (chain_.readable.bytes() < kHeaderBytes || chain_.writable.bytes() == 0) return false;
  std::array<uint8_t, kHeaderBytes> header{};
  chain_.readable.take(transport().memory(), header);
  head_ = chain_.head;
  type_ = static_cast<uint32_t>(number_at(header, 0, 4));
  written_ = 0;
  offset_ = 0;
  status_address_ = chain_.writable.split_last_byte();
  const bool reads_medium = type_ == kRead || type_ == kIdentify;
  std::swap(data_, reads_medium ? chain_.writable : chain_.readable);
  is_active_ = true;
  judge(number_at(header, 8, 8));
  return true;
}

// A request that cannot be done ends at once.
void VirtioBlk::judge(uint64_t sector) {
  const uint64_t bytes = data_.bytes();
  switch (type_) {
    case kRead:
    case kWrite:
      if (type_ == kWrite && medium_.read_only()) return finish(kIoError);
      if (bytes % kSector != 0 || !is_on_medium(sector, bytes / kSector)) return finish(kIoError);
      offset_ = sector * kSector;
      return;
    case kDiscard:
    case kWriteZeroes: {
      const uint64_t feature = type_ == kDiscard ? kCanDiscard : kCanWriteZeroes;
      if (!transport().has_feature(feature)) return finish(kUnsupported);
      const bool is_list = bytes % kRangeBytes == 0 && bytes <= kMostRanges * kRangeBytes;
      if (bytes == 0 || !is_list) return finish(kIoError);
      return;
    }
    case kFlush:
    case kIdentify:
      return;
    default:
      return finish(kUnsupported);
  }
}

size_t VirtioBlk::step() {
  switch (type_) {
    case kRead:
      return read_on();
    case kWrite:
      return write_on();
    case kFlush:
      return flush();
    case kIdentify:
      return identify();
    default:
      return clear_on();
  }
}

bool VirtioBlk::has_done(const DiskRequest& request) {
  const DiskBackend::Progress progress = medium_.advance(request);
  is_waiting_ = progress == DiskBackend::Progress::Waits;
  if (progress == DiskBackend::Progress::Failed) finish(kIoError);
  return progress == DiskBackend::Progress::Done;
}

size_t VirtioBlk::read_on() {
  const auto part = static_cast<size_t>(std::min<uint64_t>(data_.bytes(), buffer_.size()));
  const std::span<uint8_t> bytes = std::span(buffer_).first(part);
  if (part != 0 && !has_done({DiskRequest::Kind::Read, offset_, bytes})) return part;
  data_.put(transport().memory(), bytes);
  offset_ += part;
  written_ += part;
  if (data_.bytes() == 0) finish(kOk);
  return part;
}

// Without VIRTIO_BLK_F_FLUSH a driver cannot ask for it: written data is safe when the request is
// done (5.2.6.2).
size_t VirtioBlk::write_on() {
  const auto part = static_cast<size_t>(std::min<uint64_t>(data_.bytes(), buffer_.size()));
  if (part != 0) {
    const std::span<uint8_t> bytes = std::span(buffer_).first(part);
    if (!is_waiting_) data_.look_at(transport().memory(), bytes);
    if (!has_done({DiskRequest::Kind::Write, offset_, bytes})) return part;
    data_.drop(part);
    offset_ += part;
    if (data_.bytes() != 0) return part;
  }
  if (!transport().has_feature(kCanFlush)) return flush();
  finish(kOk);
  return part;
}

size_t VirtioBlk::flush() {
  if (has_done({.kind = DiskRequest::Kind::Flush})) finish(kOk);
  return kMostAtOnce;  // nobody knows how long the host's disk takes
}

size_t VirtioBlk::identify() {
  std::array<uint8_t, kIdentityBytes> text{};
  std::copy(serial_.begin(), serial_.end(), text.begin());
  const auto part = static_cast<size_t>(std::min<uint64_t>(data_.bytes(), text.size()));
  data_.put(transport().memory(), std::span(text).first(part));
  written_ = part;
  finish(kOk);
  return part;
}

VirtioBlk::Range VirtioBlk::first_range() const {
  std::array<uint8_t, kRangeBytes> bytes{};
  data_.look_at(transport().memory(), bytes);
  return {.sector = number_at(bytes, 0, 8),
          .sectors = static_cast<uint32_t>(number_at(bytes, 8, 4)),
          .flags = static_cast<uint32_t>(number_at(bytes, 12, 4))};
}

// 5.2.6.1: of the flags, only zeros know one.
VirtioBlk::Status VirtioBlk::judge(const Range& range) const {
  const bool zeros = type_ == kWriteZeroes;
  if ((range.flags & ~(zeros ? kMayUnmap : 0)) != 0) return kUnsupported;
  const uint32_t most = zeros ? kMostZeroSectors : kMostDiscardSectors;
  const bool is_there = range.sectors <= most && is_on_medium(range.sector, range.sectors);
  return is_there ? kOk : kIoError;
}

size_t VirtioBlk::clear_on() {
  constexpr size_t kCost = kMostAtOnce / 2;
  // While the medium is at work the guest may write another range there: it is the first that is
  // cleared.
  if (!is_waiting_) range_ = first_range();
  if (const Status status = judge(range_); status != kOk) {
    finish(status);
    return kCost;
  }
  const bool may_free = (range_.flags & kMayUnmap) != 0;
  const DiskRequest request = {.kind = type_ == kDiscard ? DiskRequest::Kind::Discard
                                       : may_free        ? DiskRequest::Kind::FreeingZeroes
                                                         : DiskRequest::Kind::Zeroes,
                               .offset = range_.sector * kSector,
                               .count = range_.sectors * kSector};
  if (request.count != 0 && !has_done(request)) return kCost;
  data_.drop(kRangeBytes);
  if (data_.bytes() == 0) finish(kOk);
  return kCost;
}

// The status is the last byte that is written, and counts among them.
void VirtioBlk::finish(Status status) {
  const uint8_t byte = status;
  transport().memory().write_ram(status_address_, std::span(&byte, 1));
  transport().queue(0).give_back(head_, written_ + 1);
  end();
}

void VirtioBlk::stop() {
  medium_.abandon();
  end();
}

// A finished request is neither kept nor saved.
void VirtioBlk::end() {
  is_active_ = is_waiting_ = false;
  head_ = 0;
  type_ = 0;
  offset_ = written_ = status_address_ = 0;
  data_.clear();
}

void VirtioBlk::visit_state(StateArchive& archive) {
  archive.same("bytes", medium_.bytes());
  archive.field("is active", is_active_);
  archive.field("head", head_);
  archive.field("type", type_);
  archive.field("offset", offset_);
  archive.field("written", written_);
  archive.field("status address", status_address_);
  archive.part("data", data_);
  if (!is_active_) return;
  const bool moves = type_ == kRead || type_ == kWrite;
  const bool clears = type_ == kDiscard || type_ == kWriteZeroes;
  const bool is_on = offset_ % kSector == 0 && data_.bytes() % kSector == 0 &&
                     is_on_medium(offset_ / kSector, data_.bytes() / kSector);
  archive.require(!moves || is_on, "offset", "the request is not on the medium");
  archive.require(type_ != kWrite || !medium_.read_only(), "type", "the medium is read-only");
  const bool is_list = data_.bytes() != 0 && data_.bytes() % kRangeBytes == 0;
  archive.require(!clears || (is_list && !medium_.read_only()), "type", "it cannot be cleared");
  archive.require(moves || clears || type_ == kFlush || type_ == kIdentify, "type", "it is none");
}

}  // namespace ringshift
