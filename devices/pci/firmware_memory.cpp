#include "devices/pci/firmware_memory.h"

#include <cstring>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint64_t k4GiB = uint64_t{1} << 32;
constexpr uint64_t kShadowBase = 0xc0000, kShadowEnd = 0x100000;
constexpr uint64_t kSegmentBytes = 0x4000, kLastSegmentBytes = 0x10000;
constexpr uint64_t kIsaWindow = 0x20000;  // the image's last 128 KiB are seen below 1 MiB
constexpr uint64_t kLargestImage = uint64_t{16} << 20;

uint32_t load(const uint8_t* from, AccessWidth width) {
  uint32_t value = 0;
  std::memcpy(&value, from, static_cast<size_t>(width));
  return value;
}

}  // namespace

bool FirmwareMemory::is_good_size(uint64_t bytes) {
  return bytes != 0 && bytes <= kLargestImage && bytes % kLastSegmentBytes == 0;
}

uint32_t FirmwareMemory::Image::read(uint64_t offset, AccessWidth width) {
  return load(bytes_.data() + offset, width);
}

uint32_t FirmwareMemory::Segment::read(uint64_t offset, AccessWidth width) {
  return load(source + offset, width);
}

void FirmwareMemory::Segment::write(uint64_t offset, AccessWidth width, uint32_t value) {
  if (!write_ram) return;
  uint8_t data[4];
  std::memcpy(data, &value, sizeof data);
  dma->write_ram(address + offset, {data, static_cast<size_t>(width)});
}

FirmwareMemory::FirmwareMemory(std::vector<uint8_t> image, GuestMemory& ram, DmaMemory& dma,
                               MemoryBus& bus)
    : ram_(ram), bus_(bus), image_(std::move(image)), nothing_(kSegmentBytes, 0xff) {
  const std::vector<uint8_t>& bytes = image_.bytes();
  CHECK(is_good_size(bytes.size()) && ram.size() >= kShadowEnd);
  CHECK(bus.claim(GuestPhysical(k4GiB - bytes.size()), bytes.size(), image_, "firmware"));
  for (unsigned i = 0; i < kShadowSegments; ++i) {
    Segment& segment = segments_[i];
    segment.dma = &dma;
    segment.address = kShadowBase + i * kSegmentBytes;
    segment.bytes = i + 1 < kShadowSegments ? kSegmentBytes : kLastSegmentBytes;
    const uint64_t from_end = kShadowEnd - segment.address;
    segment.image = from_end <= kIsaWindow && from_end <= bytes.size()
                        ? bytes.data() + bytes.size() - from_end
                        : nothing_.data();
    segment.source = segment.image;
    segment.claimed = true;
    CHECK(bus.claim(GuestPhysical(segment.address), segment.bytes, segment, "shadow RAM"));
  }
}

bool FirmwareMemory::set_shadow(unsigned index, bool read_ram, bool write_ram) {
  CHECK(index < kShadowSegments);
  Segment& segment = segments_[index];
  const GuestPhysical at(segment.address);
  const uint8_t* source = read_ram ? ram_.at(at) : segment.image;
  const bool claimed = !(read_ram && write_ram);
  if (source == segment.source && write_ram == segment.write_ram && claimed == segment.claimed) {
    return false;
  }
  segment.source = source;
  segment.write_ram = write_ram;
  if (claimed && !segment.claimed) {
    CHECK(bus_.claim(at, segment.bytes, segment, "shadow RAM"));
  } else if (!claimed && segment.claimed) {
    bus_.release(at);
  }
  segment.claimed = claimed;
  return true;
}

void FirmwareMemory::visit_state(StateArchive& archive) {
  archive.same("hash of image", hash_bytes(image_.bytes(), 0));
}

}  // namespace ringshift
