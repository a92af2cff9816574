#include "monitor/memory/page_sharing.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "monitor/host/time/host_clock.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {
namespace {

uint32_t short_hash(std::span<const uint8_t> bytes) {
  const auto hash = static_cast<uint32_t>(hash_bytes(bytes, 0));
  return hash != 0 ? hash : 1;
}

}  // namespace

void PageSharing::begin_anew() {
  has_begun_ = true;
  version_ = pages().bases_version();
  uint64_t in_bases = 0;
  for (size_t i = 0; i < pages().grains(); ++i) {
    if (pages().is_in_base(first_page_of(i))) in_bases += pages().grain_pages();
  }
  index_.assign(std::bit_ceil(in_bases + 1), {});
  entries_ = 0;
  next_indexed_ = next_looked_at_ = 0;
  hashes_.assign(pages().pages(), 0);
}

void PageSharing::step(uint32_t left, int64_t until) {
  const MachinePages* machine = memory_.ram().machine_pages();
  if (machine == nullptr || !machine->has_base() || machine->is_tracking()) return;
  if (!has_begun_ || version_ != machine->bases_version()) begin_anew();
  const auto is_over = [&] { return left == 0 || HostClock::monotonic() >= until; };
  const auto spend = [&left](uint32_t pages) { left -= std::min(left, pages); };
  // Once round at the most: there may be nothing to look at.
  for (size_t i = 0; i < machine->grains() && !is_over(); ++i) {
    if (next_indexed_ < machine->grains()) spend(take_into_index(next_indexed_++));
    spend(look_at(next_looked_at_));
    next_looked_at_ = (next_looked_at_ + 1) % machine->grains();
  }
}

size_t PageSharing::slot_of(uint32_t hash) const {
  const size_t mask = index_.size() - 1;
  size_t slot = hash & mask;
  while (index_[slot].hash != 0 && index_[slot].hash != hash) slot = (slot + 1) & mask;
  return slot;
}

// One entry always stays free, at which a search ends.
uint32_t PageSharing::take_into_index(size_t grain) {
  const PageRange range = pages().grain_around(first_page_of(grain));
  if (!pages().is_in_base(range.first)) return 0;
  const BasePlace place = pages().own_place_of(range.first);
  buffer_.resize(size_t{range.pages} * kPageSize);
  if (!read_contents(pages().descriptor_at(place), pages().offset_at(place), buffer_).ok()) {
    return range.pages;
  }
  for (uint32_t i = 0; i < range.pages && entries_ + 1 < index_.size(); ++i) {
    const auto bytes = std::span<const uint8_t>(buffer_).subspan(size_t{i} * kPageSize, kPageSize);
    if (is_zero(bytes)) continue;
    const uint32_t hash = short_hash(bytes);
    Entry& entry = index_[slot_of(hash)];
    if (entry.hash != 0) continue;
    entry = {hash, static_cast<uint32_t>((range.first + i).number())};
    ++entries_;
  }
  return range.pages;
}

uint32_t PageSharing::look_at(size_t grain) {
  const PageRange range = pages().grain_around(first_page_of(grain));
  const uint64_t end = range.first.address().value() + uint64_t{range.pages} * kPageSize;
  uint32_t looked_at = 0;
  found_.clear();
  for (uint64_t at = range.first.address().value(); at < end;) {
    const ByteRange used = next_contents(memory_.ram().descriptor(), at, end);
    if (used.begin == used.end) break;
    for (at = used.begin; at < used.end; at += kPageSize) {
      const auto page = GuestPhysicalPage::of(GuestPhysical(at));
      const Backing backing = pages().backing(page);
      if (backing != Backing::Own && backing != Backing::Clean) continue;
      if (at < memory_.ram().reserved()) continue;  // nothing would come of it
      ++looked_at;
      consider(page);
    }
  }
  counters().memory_pages_looked_at += looked_at;
  if (!found_.empty()) act(grain);
  return looked_at;
}

void PageSharing::consider(GuestPhysicalPage page) {
  const std::span<const uint8_t> bytes = memory_.ram().span(page.address(), kPageSize);
  const uint32_t hash = short_hash(bytes);
  uint32_t& before = hashes_[page.number()];
  if (before != hash) {
    before = hash;
    return;
  }
  if (is_zero(bytes)) return found_.push_back({page, Kind::Zeros, {}});
  if (memory_.is_shown_outside(page)) return;
  if (pages().is_in_base(page)) {
    const BasePlace place = pages().own_place_of(page);
    if (memory_.ram().is_equal(page, place)) return found_.push_back({page, Kind::Here, place});
  }
  const Entry& entry = index_[slot_of(hash)];
  if (entry.hash == 0) return;
  const BasePlace place = pages().own_place_of(GuestPhysicalPage(entry.page));
  if (memory_.ram().is_equal(page, place)) found_.push_back({page, Kind::Elsewhere, place});
}

// Pages that lie together change with one call.
void PageSharing::act(size_t grain) {
  if (pages().backing(first_page_of(grain)) == Backing::Clean) {
    memory_.will_write(first_page_of(grain));
  }
  for (size_t i = 0; i < found_.size();) {
    const Find& first = found_[i];
    size_t count = 1;
    const auto goes_on = [&](size_t next) {
      return next < found_.size() && found_[next].kind == first.kind &&
             found_[next].page == first.page + (next - i);
    };
    if (first.kind != Kind::Elsewhere) {
      while (goes_on(i + count)) ++count;
    }
    i += count;
    const PageRange range{first.page, static_cast<uint32_t>(count)};
    if (first.kind == Kind::Zeros) {
      memory_.drop_zeros(range);
    } else if (!memory_.ram().may_join()) {
      return;
    } else if (first.kind == Kind::Here) {
      memory_.join(range);
    } else {
      memory_.join_elsewhere(first.page, first.place);
    }
  }
}

}  // namespace ringshift
