#include "monitor/memory/physical_memory.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "monitor/host/lost_memory.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/host_bytes.h"

namespace ringshift {
namespace {

// How many of `length` bytes from `address` on lie in its page.
uint32_t part_in_page(GuestPhysical address, uint32_t length) {
  return std::min(length, kPageSize - address.offset_in_page());
}

// The widest naturally aligned access that starts at `address` and does not pass `length` bytes.
AccessWidth widest_access(GuestPhysical address, uint32_t length) {
  uint64_t low = address.value();
  if (low % 4 == 0 && length >= 4) return AccessWidth::Dword;
  if (low % 2 == 0 && length >= 2) return AccessWidth::Word;
  return AccessWidth::Byte;
}

}  // namespace

bool PhysicalMemory::is_ram(GuestPhysicalPage page) const {
  GuestPhysical address = masked(page.address());
  return ram_.contains(address, kPageSize) && !bus_.claims(address);
}

void PhysicalMemory::read(GuestPhysical address, void* bytes, uint32_t length) {
  auto* to = static_cast<uint8_t*>(bytes);
  while (length != 0) {
    uint32_t part = part_in_page(address, length);
    read_within_page(masked(address), to, part);
    address += part;
    to += part;
    length -= part;
  }
}

void PhysicalMemory::write(GuestPhysical address, const void* bytes, uint32_t length) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  while (length != 0) {
    uint32_t part = part_in_page(address, length);
    write_within_page(masked(address), from, part);
    address += part;
    from += part;
    length -= part;
  }
}

void PhysicalMemory::read_within_page(GuestPhysical address, uint8_t* bytes, uint32_t length) {
  if (const uint8_t* page = readable_page(GuestPhysicalPage::of(address))) {
    load_bytes(bytes, page + address.offset_in_page(), length);
  } else {
    read_device(address, bytes, length);
  }
}

void PhysicalMemory::write_within_page(GuestPhysical address, const uint8_t* bytes,
                                       uint32_t length) {
  GuestPhysicalPage page = GuestPhysicalPage::of(address);
  if (!is_ram(page)) {
    write_device(address, bytes, length);
    return;
  }
  will_write(page);
  if (is_watched(page)) observer_->before_write(page);
  store_bytes(ram_.at(address), bytes, length);
  // After the store: the observer reads the new bytes (M2).
  if (is_watched(page)) observer_->on_write(address, length);
}

void PhysicalMemory::read_device(GuestPhysical address, uint8_t* bytes, uint32_t length) {
  ++device_accesses_;
  ++device_calls_;
  while (length != 0) {
    AccessWidth width = widest_access(address, length);
    uint32_t part = static_cast<uint32_t>(width);
    uint32_t value = bus_.read(address, width);
    std::memcpy(bytes, &value, part);
    address += part;
    bytes += part;
    length -= part;
  }
}

void PhysicalMemory::write_device(GuestPhysical address, const uint8_t* bytes, uint32_t length) {
  ++device_accesses_;
  if (bus_.writable_page(address.page_base()) == nullptr) ++device_calls_;
  while (length != 0) {
    AccessWidth width = widest_access(address, length);
    uint32_t part = static_cast<uint32_t>(width);
    uint32_t value = 0;
    std::memcpy(&value, bytes, part);
    bus_.write(address, width, value);
    address += part;
    bytes += part;
    length -= part;
  }
}

const uint8_t* PhysicalMemory::readable_page(GuestPhysicalPage page) const {
  const GuestPhysical base = masked(page.address());
  if (!is_ram(page)) return bus_.readable_page(base);
  will_read(GuestPhysicalPage::of(base));
  return ram_.at(base);
}

uint8_t* PhysicalMemory::writable_page(GuestPhysicalPage page) {
  const GuestPhysical base = masked(page.address());
  if (!is_ram(page)) return bus_.writable_page(base);
  will_write(GuestPhysicalPage::of(base));
  return ram_.at(base);
}

void PhysicalMemory::make_own(GuestPhysicalPage page) const {
  PageRange moved;
  if (!ram_.make_own(page, &moved).ok()) end_without_memory();
  if (observer_ != nullptr) observer_->on_moved(moved, Backing::Own);
}

void PhysicalMemory::take_arrived(size_t first_grain, size_t grains) {
  PageRange moved;
  if (!ram_.take_arrived(first_grain, grains, &moved).ok()) end_without_memory();
  if (observer_ != nullptr) observer_->on_moved(moved, Backing::Own);
}

void PhysicalMemory::make_clean(size_t first_grain, size_t grains) {
  PageRange moved;
  if (!ram_.make_clean(first_grain, grains, &moved).ok()) end_without_memory();
  if (observer_ != nullptr && moved.pages != 0) observer_->on_moved(moved, Backing::Clean);
}

void PhysicalMemory::freeze(size_t first_grain, size_t grains) {
  PageRange moved;
  if (!ram_.freeze(first_grain, grains, &moved).ok()) end_without_memory();
  if (observer_ != nullptr && moved.pages != 0) observer_->on_moved(moved, Backing::Clean);
}

void PhysicalMemory::move_to_base(size_t first_grain, size_t grains) {
  PageRange moved;
  if (!ram_.move_to_base(first_grain, grains, &moved).ok()) end_without_memory();
  if (observer_ != nullptr) observer_->on_moved(moved, Backing::Base);
}

void PhysicalMemory::make_whole(size_t grain) {
  PageRange moved;
  const GuestPhysicalPage first(uint64_t{grain} * ram_.machine_pages()->grain_pages());
  if (!ram_.make_whole(first, &moved).ok()) end_without_memory();
  if (observer_ != nullptr && moved.pages != 0) observer_->on_moved(moved, Backing::Own);
}

void PhysicalMemory::join(PageRange pages) {
  if (!ram_.join(pages).ok()) end_without_memory();
  if (ram_.backing(pages.first) != Backing::Base) return;
  counters().memory_pages_joined += pages.pages;
  if (observer_ != nullptr) observer_->on_moved(pages, Backing::Base);
}

void PhysicalMemory::join_elsewhere(GuestPhysicalPage page, const BasePlace& place) {
  if (!ram_.join_elsewhere(page, place).ok()) end_without_memory();
  if (ram_.backing(page) != Backing::Elsewhere) return;
  counters().memory_pages_joined_elsewhere++;
  if (observer_ != nullptr) observer_->on_moved({page, 1}, Backing::Elsewhere);
}

// The pages stay mapped, and read as zeros. A host that refuses keeps its memory in use.
void PhysicalMemory::drop_zeros(PageRange pages) {
  const uint64_t first = pages.first.address().value(), bytes = uint64_t{pages.pages} * kPageSize;
  if (first < ram_.reserved() || !ram_.empty(first, bytes).ok()) return;
  counters().memory_pages_zeroed += pages.pages;
}

void PhysicalMemory::flip_backing(GuestPhysicalPage page, Flip how) {
  if (will_write(page)) return;
  const MachinePages& pages = *ram_.machine_pages();
  if (how == Flip::Elsewhere) {
    const BasePlace place{pages.own_place_of(page).base, pages.pages() + page.number()};
    if (!pages.is_in_base(page) || !ram_.may_join() || !ram_.is_equal(page, place)) return;
    return join_elsewhere(page, place);
  }
  if (how == Flip::Alone) {
    if (!pages.is_in_base(page) || !ram_.may_join()) return;
    if (ram_.is_equal(page, pages.own_place_of(page))) join({page, 1});
    return;
  }
  if (!ram_.is_as_base(page)) return;
  PageRange moved;
  if (!ram_.make_shared(page, &moved).ok()) end_without_memory();
  if (observer_ != nullptr) observer_->on_moved(moved, Backing::Base);
}

void PhysicalMemory::flip_some_backing(uint32_t random) {
  constexpr uint32_t kLooked = 256, kMoreFlips = 16;
  if (ram_.has_absent()) return;  // nobody else may look at it
  const MachinePages* pages = ram_.machine_pages();
  const bool has_base = pages != nullptr && pages->has_base();
  if (!has_base || flips_ != 0) {
    ++flips_;
    const bool has_room = pages == nullptr || pages->has_room_for_base();
    if (flips_ == flips_until_base_ && has_room) {
      flips_until_base_ *= kMoreFlips;
      if (!ram_.add_copy_as_base().ok()) end_without_memory();
    }
  }
  if (ram_.machine_pages() == nullptr) return;
  constexpr Flip kHow[] = {Flip::Grain, Flip::Alone, Flip::Elsewhere};
  const bool by_grains = ram_.machine_pages()->is_tracking();
  const Flip how = by_grains ? Flip::Grain : kHow[(random >> 16) % std::size(kHow)];
  for (uint32_t i = 0; i < kLooked; ++i) {
    const GuestPhysicalPage page((random + i) % ram_.machine_pages()->pages());
    if (ram_.machine_pages()->is_in_base(page)) return flip_backing(page, how);
  }
}

void PhysicalMemory::read_ram(uint64_t address, std::span<uint8_t> bytes) {
  const uint64_t present =
      address < ram_.size() ? std::min(bytes.size(), ram_.size() - address) : 0;
  for (uint64_t at = address; ram_.has_absent() && at < address + present;) {
    const GuestPhysical page = GuestPhysical(at).page_base();
    will_read(GuestPhysicalPage::of(page));
    at = page.value() + kPageSize;
  }
  if (present != 0) std::memcpy(bytes.data(), ram_.at(GuestPhysical(address)), present);
  std::fill(bytes.begin() + static_cast<ptrdiff_t>(present), bytes.end(), uint8_t{0xff});
}

void PhysicalMemory::write_ram(uint64_t address, std::span<const uint8_t> bytes) {
  while (!bytes.empty() && address < ram_.size()) {
    const GuestPhysical at(address);
    const auto length =
        static_cast<uint32_t>(std::min<uint64_t>(bytes.size(), kPageSize - at.offset_in_page()));
    will_write(GuestPhysicalPage::of(at));
    std::memcpy(ram_.at(at), bytes.data(), length);
    if (is_watched(GuestPhysicalPage::of(at))) observer_->on_write(at, length);
    address += length;
    bytes = bytes.subspan(length);
  }
}

// The watcher of a page is told of zeros that are written; a page of zeros is then discarded
// without a change.
void PhysicalMemory::give_back(uint64_t address, uint64_t bytes) {
  static constexpr std::array<uint8_t, kPageSize> kZeros{};
  CHECK(ram_.contains(GuestPhysical(address), bytes) && (address | bytes) % kPageSize == 0);
  for (uint64_t at = address; at < address + bytes; at += kPageSize) {
    const auto page = GuestPhysicalPage::of(GuestPhysical(at));
    will_write(page);
    if (is_watched(page)) write_ram(at, kZeros);
  }
  if (ram_.empty(address, bytes).ok()) return;
  for (uint64_t at = address; at < address + bytes; at += kPageSize) write_ram(at, kZeros);
}

uint8_t* PhysicalMemory::entry_in_ram(GuestPhysical address) const {
  GuestPhysical reached = masked(address);
  if (!is_ram(GuestPhysicalPage::of(reached))) return nullptr;
  will_read(GuestPhysicalPage::of(reached));
  return ram_.at(reached);
}

uint32_t PhysicalMemory::read_entry32(GuestPhysical address) {
  uint32_t value = ~uint32_t{0};
  if (const uint8_t* entry = entry_in_ram(address)) load_bytes(&value, entry, sizeof(value));
  return value;
}

uint64_t PhysicalMemory::read_entry64(GuestPhysical address) {
  uint64_t value = ~uint64_t{0};
  if (const uint8_t* entry = entry_in_ram(address)) load_bytes(&value, entry, sizeof(value));
  return value;
}

void PhysicalMemory::set_entry_bits(GuestPhysical address, uint32_t bits) {
  uint8_t* entry = entry_in_ram(address);
  if (entry == nullptr) return;
  will_write(GuestPhysicalPage::of(masked(address)));
  // A and D lie in the low half of a 64-bit entry too.
  uint32_t value = 0;
  load_bytes(&value, entry, sizeof(value));
  value |= bits;
  store_bytes(entry, &value, sizeof(value));
  const GuestPhysical reached = masked(address);
  constexpr uint32_t kEntryBits = 0;  // in place of a length
  if (is_watched(GuestPhysicalPage::of(reached))) observer_->on_write(reached, kEntryBits);
}

const uint8_t* PhysicalMemory::table_bytes(GuestPhysical address) const {
  return entry_in_ram(address.page_base());
}

}  // namespace ringshift
