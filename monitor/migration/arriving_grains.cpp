#include "monitor/migration/arriving_grains.h"

#include <algorithm>
#include <cstring>

#include "monitor/migration/migration_messages.h"
#include "shadowmmu/base/hash.h"
#include "shadowmmu/base/zeroed_bytes.h"

namespace ringshift {
namespace {

constexpr uint32_t kLargestGrain = uint32_t{1} << 20;

// Pages of zeros stay holes where nothing was.
void put_into(std::span<uint8_t> ram, std::span<const uint8_t> bytes, bool was_zero) {
  for (size_t at = 0; at < bytes.size(); at += kPageSize) {
    const auto page = bytes.subspan(at, kPageSize);
    if (was_zero && is_zero(page)) continue;
    std::memcpy(&ram[at], page.data(), page.size());
  }
}

}  // namespace

bool ArrivingGrains::begin(GuestMemory& memory, uint32_t grain_bytes) {
  const bool is_power = grain_bytes != 0 && (grain_bytes & (grain_bytes - 1)) == 0;
  if (!is_power || grain_bytes < kPageSize || grain_bytes > kLargestGrain) return false;
  memory_ = &memory;
  grain_bytes_ = grain_bytes;
  hashes_.assign((memory.size() + grain_bytes - 1) / grain_bytes, 0);
  return true;
}

bool ArrivingGrains::take(std::span<const uint8_t> message, std::string* problem) {
  *problem = "a piece of memory is none";
  if (message.size() < kGrainHeadBytes) return false;
  const uint32_t number = get_u32(message, 0);
  *problem = "a piece of memory lies behind its end";
  if (number >= hashes_.size()) return false;
  const uint64_t start = uint64_t{number} * grain_bytes_;
  const uint64_t length = std::min<uint64_t>(grain_bytes_, memory_->size() - start);
  const auto bytes = message.subspan(kGrainHeadBytes);
  if (bytes.empty()) {
    hashes_[number] = 0;
    *problem = "the host does not take memory back";
    return memory_->empty(start, length).ok();
  }
  *problem = "a piece of memory has another size";
  if (bytes.size() != length) return false;
  put_into(memory_->span(GuestPhysical(start), length), bytes, hashes_[number] == 0);
  hashes_[number] = hash_bytes(bytes, number);
  return true;
}

uint64_t ArrivingGrains::hash() const { return hash_of_grains(hashes_); }

}  // namespace ringshift
