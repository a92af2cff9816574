#include "monitor/replay/ram_image.h"

#include <algorithm>
#include <cstring>

namespace ringshift {
namespace {

constexpr uint64_t kPart = uint64_t{64} << 10;

constexpr std::array<uint8_t, kPageSize> kZeros{};

bool is_same(std::span<const uint8_t> one, std::span<const uint8_t> other) {
  return std::memcmp(one.data(), other.data(), kPageSize) == 0;
}

std::span<const uint8_t> page_of(const GuestMemory& memory, size_t number) {
  return memory.span(GuestPhysical(number * kPageSize), kPageSize);
}

}  // namespace

RamImage::Page::Page(std::span<const uint8_t> from, PageCount all) : count(std::move(all)) {
  std::ranges::copy(from, bytes.begin());
  ++*count;
}

RamImage::RamImage(const GuestMemory& memory, const RamImage* like, PageCount count)
    : pages_(memory.size() / kPageSize) {
  const std::vector<bool> used = memory.parts_in_use(kPart);
  for (size_t i = 0; i < pages_.size(); ++i) {
    if (!used[i * kPageSize / kPart]) continue;
    const std::span<const uint8_t> now = page_of(memory, i);
    const bool has_like = like != nullptr && i < like->pages_.size() && like->pages_[i] != nullptr;
    if (has_like && is_same(now, like->pages_[i]->bytes)) {
      pages_[i] = like->pages_[i];
    } else if (!is_same(now, kZeros)) {
      pages_[i] = std::make_shared<const Page>(now, count);
    }
  }
}

// Memory that has not been touched is zeros, and stays untouched.
void RamImage::restore(const GuestMemory& memory, const Write& write) const {
  const std::vector<bool> used = memory.parts_in_use(kPart);
  for (size_t i = 0; i < pages_.size(); ++i) {
    const bool is_used = used[i * kPageSize / kPart];
    if (pages_[i] == nullptr && !is_used) continue;
    const std::span<const uint8_t> then =
        pages_[i] != nullptr ? std::span<const uint8_t>(pages_[i]->bytes) : kZeros;
    if (is_used && is_same(page_of(memory, i), then)) continue;
    write(GuestPhysical(i * kPageSize), then);
  }
}

}  // namespace ringshift
