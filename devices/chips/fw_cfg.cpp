#include "devices/chips/fw_cfg.h"

#include <algorithm>
#include <array>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint16_t kFirstFile = 0x20;
constexpr size_t kMostFiles = 64, kDirectoryEntry = 64;
constexpr uint32_t kTraditional = 1, kDma = 2;  // the interface item's bits

// Control word of a DMA request.
constexpr uint32_t kDmaError = 1, kDmaRead = 2, kDmaSkip = 4, kDmaSelect = 8, kDmaWrite = 16;
constexpr uint64_t kDmaSignature = 0x51454d5520434647;  // read from the DMA register

void put_big_endian(std::vector<uint8_t>& to, uint64_t value, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t big_endian(const uint8_t* from, unsigned bytes) {
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; ++i) value = value << 8 | from[i];
  return value;
}

std::vector<uint8_t> little_endian32(uint32_t value) {
  std::vector<uint8_t> bytes;
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  return bytes;
}

}  // namespace

uint32_t FwCfg::Selector::read(uint16_t offset, AccessWidth width) {
  // Port 0x511 is a window of one byte, whatever is read with it.
  if (offset == 1) return owner_.next_byte();
  return width == AccessWidth::Byte ? 0xff : 0xffff;
}

void FwCfg::Selector::write(uint16_t offset, AccessWidth width, uint32_t value) {
  if (offset == 0 && width != AccessWidth::Byte) owner_.select(static_cast<uint16_t>(value));
}

FwCfg::FwCfg(VirtualClock& clock, DmaMemory& memory)
    : clock_(clock),
      memory_(memory),
      next_step_(clock, [this](Nanoseconds) { go_on_with_dma(); }),
      ports_(*this),
      dma_ports_(
          [](uint16_t offset) {
            return static_cast<uint8_t>(kDmaSignature >> (8 * (7 - (offset & 7U))));
          },
          [this](uint16_t offset, uint8_t value) { write_dma_address(offset & 7U, value); }) {
  add(FwCfgItem::Signature, {'Q', 'E', 'M', 'U'});
  add(FwCfgItem::Interface, little_endian32(kTraditional | kDma));
  rebuild_directory();
}

void FwCfg::attach(PortBus& bus) {
  CHECK(bus.claim(0x510, 2, ports_, "firmware configuration"));
  CHECK(bus.claim(0x514, 8, dma_ports_, "firmware configuration dma"));
}

void FwCfg::add(FwCfgItem item, std::vector<uint8_t> bytes) {
  items_[static_cast<uint16_t>(item)] = std::move(bytes);
}

void FwCfg::add_file(const std::string& name, std::vector<uint8_t> bytes) {
  CHECK(name.size() <= kLongestName && files_.size() < kMostFiles);
  const auto item = static_cast<uint16_t>(kFirstFile + files_.size());
  files_.push_back({name, item, static_cast<uint32_t>(bytes.size())});
  items_[item] = std::move(bytes);
  rebuild_directory();
}

void FwCfg::rebuild_directory() {
  std::vector<uint8_t> bytes;
  put_big_endian(bytes, files_.size(), 4);
  for (const File& file : files_) {
    put_big_endian(bytes, file.bytes, 4);
    put_big_endian(bytes, file.item, 2);
    put_big_endian(bytes, 0, 2);
    bytes.insert(bytes.end(), file.name.begin(), file.name.end());
    bytes.resize(bytes.size() + kDirectoryEntry - 8 - file.name.size());
  }
  add(FwCfgItem::Directory, std::move(bytes));
}

void FwCfg::select(uint16_t item) {
  selected_ = item;
  position_ = 0;
}

// Null: it is not there.
const std::vector<uint8_t>* FwCfg::selected_item() const {
  const auto found = selected_ ? items_.find(*selected_) : items_.end();
  return found == items_.end() ? nullptr : &found->second;
}

// Past the end, and of an item that is not there, everything reads zero.
uint8_t FwCfg::next_byte() {
  const std::vector<uint8_t>* const item = selected_item();
  if (item == nullptr || position_ >= item->size()) return 0;
  return (*item)[position_++];
}

// The address is big-endian; its last byte starts the request.
void FwCfg::write_dma_address(uint16_t offset, uint8_t value) {
  const unsigned shift = 8 * (7 - offset);
  dma_address_ = (dma_address_ & ~(uint64_t{0xff} << shift)) | uint64_t{value} << shift;
  if (offset != 7) return;
  begin_dma();
  dma_address_ = 0;
}

// A request that comes before the last one has ended takes its place: that one ends in an error, if
// it is still there to be told.
void FwCfg::begin_dma() {
  std::array<uint8_t, 16> request{};
  memory_.read_ram(dma_address_, request);
  if (transfer_.active && transfer_.request != dma_address_) end_dma(kDmaError);
  next_step_.cancel();
  const auto control = static_cast<uint32_t>(big_endian(request.data(), 4));
  const auto length = static_cast<uint32_t>(big_endian(request.data() + 4, 4));
  const uint64_t address = big_endian(request.data() + 8, 8);
  transfer_ = {true, dma_address_, address, 0};
  if ((control & kDmaSelect) != 0) select(static_cast<uint16_t>(control >> 16));
  if ((control & kDmaRead) != 0) {
    transfer_.left = length;
    go_on_with_dma();
  } else if ((control & kDmaWrite) != 0) {
    end_dma(kDmaError);  // no item may be written
  } else {
    if ((control & kDmaSkip) != 0) position_ += length;
    end_dma(0);
  }
}

// One step. The guest runs on between two of them, and may look at its request's control word.
void FwCfg::go_on_with_dma() {
  const uint32_t part = std::min(transfer_.left, kDmaStep);
  copy_out(transfer_.address, part);
  transfer_.address += part;
  transfer_.left -= part;
  if (transfer_.left == 0) return end_dma(0);
  next_step_.arm(clock_.now());
}

void FwCfg::end_dma(uint32_t result) {
  next_step_.cancel();
  transfer_.active = false;
  std::vector<uint8_t> answer;
  put_big_endian(answer, result, 4);
  memory_.write_ram(transfer_.request, answer);
}

// Everything past the item's end is zeros.
void FwCfg::copy_out(uint64_t address, uint32_t length) {
  const std::vector<uint8_t>* const item = selected_item();
  const uint64_t size = item != nullptr ? item->size() : 0;
  const uint64_t available = position_ < size ? size - position_ : 0;
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(length, available));
  if (count != 0) {
    memory_.write_ram(address, {item->data() + position_, count});
    position_ += count;
  }
  static constexpr std::array<uint8_t, 4096> kZeros{};
  for (uint64_t done = count; done < length; done += kZeros.size()) {
    const uint64_t part = std::min<uint64_t>(kZeros.size(), length - done);
    memory_.write_ram(address + done, {kZeros.data(), static_cast<size_t>(part)});
  }
}

uint64_t FwCfg::hash_of_items() const {
  uint64_t hash = 0;
  for (const auto& [number, bytes] : items_) hash = hash_bytes(bytes, hash ^ number);
  return hash;
}

void FwCfg::Transfer::visit_state(StateArchive& archive) {
  archive.field("active", active);
  archive.field("request", request);
  archive.field("address", address);
  archive.field("left", left);
}

void FwCfg::visit_state(StateArchive& archive) {
  archive.same("hash of items", hash_of_items());
  archive.optional("selected", selected_, 0, 0xffff);
  archive.field("position", position_);
  archive.field("dma address", dma_address_);
  archive.part("transfer", transfer_);
  archive.part("next step", next_step_);
  archive.require(!next_step_.armed() || transfer_.active, "next step", "nothing is moving");
}

}  // namespace ringshift
