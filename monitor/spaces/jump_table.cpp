#include "monitor/spaces/jump_table.h"

#include <algorithm>
#include <cstring>

#include "shadowmmu/host_mapping.h"
#include "translator/exact_jumps.h"

namespace ringshift {
namespace {

constexpr size_t kEntries = JumpTable::kBytes / sizeof(uint32_t);
constexpr uint32_t kLongestInstruction = 15;
constexpr size_t kMostOthers = 32;
constexpr size_t kExactBytes = (uint64_t{1} << 32) * sizeof(uint32_t);
constexpr uint32_t kEntriesInPage = kPageSize / sizeof(uint32_t);
// A page for each KiB of guest code that is jumped into.
constexpr size_t kMostExactPages = 1024;

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
  if (const HostResult result = map_private(kPageSize + 2 * kBytes, &mapped); !result.ok()) {
    *error = "cannot map a jump table: " + result.text();
    return nullptr;
  }
  table->entries_ = reinterpret_cast<uint32_t*>(mapped.value() + kPageSize);
  return table;
}

JumpTable::~JumpTable() {
  for (size_t i = 1; i < others_.size(); ++i) {
    (void)release(address_of(others_[i].entries), kBytes);
  }
  forget_exact();
  if (entries_ != nullptr) {
    (void)release(HostAddress(address_of(entries_).value() - kPageSize), kPageSize + 2 * kBytes);
  }
}

void JumpTable::publish_exact() {
  const uint64_t address = address_of(exact_).value();
  std::memcpy(reinterpret_cast<uint8_t*>(entries_) + kExactJumpsFromTable, &address,
              sizeof(address));
}

bool JumpTable::add_exact() {
  if (exact_ != nullptr) return true;
  HostAddress mapped;
  if (!map_private(kExactBytes, &mapped).ok()) return false;
  exact_ = reinterpret_cast<uint32_t*>(mapped.value());
  publish_exact();
  return true;
}

void JumpTable::forget_exact() {
  if (exact_ == nullptr) return;
  (void)release(address_of(exact_), kExactBytes);
  exact_ = nullptr;
  exact_pages_.clear();
  publish_exact();
}

void JumpTable::set_exact(Eip eip, uint32_t body_offset) {
  if (exact_ == nullptr) return;
  if (exact_pages_.size() >= kMostExactPages) clear_exact();
  exact_pages_.insert(eip.value() / kEntriesInPage);
  exact_[eip.value()] = body_offset;
}

void JumpTable::clear_exact() {
  if (exact_ == nullptr) return;
  if (!discard(address_of(exact_), kExactBytes).ok()) {
    for (const uint32_t page : exact_pages_) {
      std::memset(exact_ + uint64_t{page} * kEntriesInPage, 0, kPageSize);
    }
  }
  exact_pages_.clear();
}

// Only entries that can have been set are cleared, so that no other pages of the table become
// memory.
void JumpTable::clear_exact_of(Eip first, uint32_t count) {
  if (exact_ == nullptr) return;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t at = (first + i).value();
    if (exact_pages_.contains(at / kEntriesInPage)) exact_[at] = 0;
  }
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

void JumpTable::clear_if(Eip eip, uint32_t arena_offset, uint32_t body_offset) {
  const uint32_t index = jump_table_index(eip);
  if (exact_pages_.contains(eip.value() / kEntriesInPage) && exact_[eip.value()] == body_offset) {
    exact_[eip.value()] = 0;
  }
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
  clear_exact_of(first - kLongestInstruction, kLongestInstruction + kPageSize);
  clear_others();
}

void JumpTable::clear() {
  empty(entries_);
  clear_exact();
  clear_others();
}

void JumpTable::clear_others() {
  for (const OfMode& other : others_) empty(other.entries);
}

}  // namespace ringshift
