#include "monitor/spaces/jump_table.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/host_mapping.h"

namespace ringshift {
namespace {

constexpr size_t kEntries = JumpTable::kBytes / sizeof(uint32_t);
constexpr uint32_t kLongestInstruction = 15;
constexpr size_t kMostOthers = 32;

HostAddress address_of(const uint32_t* entries) {
  return HostAddress(reinterpret_cast<uint64_t>(entries));
}

void empty(uint32_t* entries) {
  // Stale entries would lead into dropped code.
  if (!discard(address_of(entries), JumpTable::kBytes).ok()) {
    std::memset(entries, 0, JumpTable::kBytes);
  }
}

}  // namespace

// With room for one more, so that a host that refuses more leaves one for the other modes.
std::unique_ptr<JumpTable> JumpTable::create(std::string* error) {
  auto table = std::unique_ptr<JumpTable>(new JumpTable());
  HostAddress mapped;
  if (const HostResult result = map_private(2 * kBytes, &mapped); !result.ok()) {
    *error = "cannot map a jump table: " + result.text();
    return nullptr;
  }
  table->entries_ = reinterpret_cast<uint32_t*>(mapped.value());
  return table;
}

JumpTable::~JumpTable() {
  for (size_t i = 1; i < others_.size(); ++i) {
    (void)release(address_of(others_[i].entries), kBytes);
  }
  if (entries_ != nullptr) (void)release(address_of(entries_), 2 * kBytes);
}

uint32_t* JumpTable::other_entries(const CodeMode& mode) {
  if (latest_ < others_.size() && others_[latest_].mode == mode) return others_[latest_].entries;
  for (size_t i = 0; i < others_.size(); ++i) {
    if (others_[i].mode != mode) continue;
    others_[i].last_used = ++use_clock_;
    latest_ = i;
    return others_[i].entries;
  }
  OfMode& other = table_to_use();
  other.mode = mode;
  other.last_used = ++use_clock_;
  latest_ = static_cast<size_t>(&other - others_.data());
  return other.entries;
}

// An empty one: new, or that of the mode that has not been used for longest.
JumpTable::OfMode& JumpTable::table_to_use() {
  if (others_.empty()) return others_.emplace_back(OfMode{{}, entries_ + kEntries, 0});
  HostAddress mapped;
  if (others_.size() < kMostOthers && map_private(kBytes, &mapped).ok()) {
    return others_.emplace_back(OfMode{{}, reinterpret_cast<uint32_t*>(mapped.value()), 0});
  }
  OfMode& oldest =
      *std::min_element(others_.begin(), others_.end(),
                        [](const OfMode& a, const OfMode& b) { return a.last_used < b.last_used; });
  empty(oldest.entries);
  has_moved_ = true;
  return oldest;
}

void JumpTable::clear_if(Eip eip, uint32_t arena_offset) {
  const uint32_t index = jump_table_index(eip);
  if (entries_[index] == arena_offset) entries_[index] = 0;
  for (const OfMode& other : others_) {
    if (other.entries[index] == arena_offset) other.entries[index] = 0;
  }
}

void JumpTable::clear_page(GuestVirtualPage page) {
  const Eip first = flat_eip(page.address());
  for (Eip eip = first - kLongestInstruction; eip != first; eip += 1) set(eip, 0);
  const uint32_t start = jump_table_index(first);
  const uint32_t until_end = std::min<uint32_t>(kPageSize, kEntries - start);
  std::memset(entries_ + start, 0, until_end * sizeof(uint32_t));
  std::memset(entries_, 0, (kPageSize - until_end) * sizeof(uint32_t));
  clear_others();
}

void JumpTable::clear() {
  empty(entries_);
  clear_others();
}

void JumpTable::clear_others() {
  for (const OfMode& other : others_) empty(other.entries);
}

}  // namespace ringshift
