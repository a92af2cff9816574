#include "monitor/spaces/user/user_views.h"

#include <algorithm>
#include <utility>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {
namespace {

constexpr size_t kMostViews = 96;
constexpr uint32_t kPagesWorthOfView = 32;  // of 8 KiB: its jump table

}  // namespace

bool UserViews::set_up(HostRefusals& refusals, std::string* error) {
  refusals_ = &refusals;
  spare_jumps_ = JumpTable::create(error);
  return spare_jumps_ != nullptr;
}

CodeView& UserViews::enter(uint32_t cr3) {
  if (current_ != nullptr) return *current_;
  auto it = views_.find(cr3);
  if (it == views_.end()) {
    if (views_.size() >= kMostViews) evict();
    std::unique_ptr<JumpTable> jumps = make_jump_table();
    it = views_.try_emplace(cr3).first;
    it->second.jumps = std::move(jumps);
    it->second.last_used = ++use_clock_;
    note_growth(kPagesWorthOfView);
  }
  current_ = &it->second;
  current_->last_used = ++use_clock_;
  return *current_;
}

// The host may refuse one more. Then there is the spare one, or the view that has it can do
// without.
std::unique_ptr<JumpTable> UserViews::make_jump_table() {
  std::string error;
  if (!refusals_->refuses()) {
    if (std::unique_ptr<JumpTable> made = JumpTable::create(&error)) return made;
  }
  if (spare_jumps_ == nullptr) evict();
  CHECK(spare_jumps_ != nullptr);
  spare_jumps_->forget_exact();
  spare_jumps_->clear();
  return std::move(spare_jumps_);
}

// Pre: there is one, and it is not the current one.
void UserViews::evict() {
  auto oldest = std::min_element(views_.begin(), views_.end(), [](const auto& a, const auto& b) {
    return a.second.last_used < b.second.last_used;
  });
  if (spare_jumps_ == nullptr) spare_jumps_ = std::move(oldest->second.jumps);
  views_.erase(oldest);
}

void UserViews::drop_all() {
  current_ = nullptr;
  if (spare_jumps_ == nullptr) spare_jumps_ = std::move(views_.begin()->second.jumps);
  views_.clear();
}

size_t UserViews::bytes() const {
  size_t bytes = 0;
  for (const auto& [cr3, view] : views_) bytes += view.bytes();
  return bytes;
}

// Weighing the views takes a while, so they are weighed after so many pages more. A page takes 8
// KiB at most: a record, and the tables of its 2 MiB.
void UserViews::note_growth(uint32_t pages) {
  constexpr uint32_t kPagesBetweenWeighings = 512;
  grown_pages_ += pages;
  if (grown_pages_ < kPagesBetweenWeighings) return;
  grown_pages_ = 0;
  keep_in_bounds();
}

// The least recently used views go, whatever of their parts is so large. The current one stays: by
// the bounds of its parts it takes half of the whole at most.
void UserViews::keep_in_bounds() {
  size_t held = bytes();
  while (held > kMostBytes && views_.size() > 1) {
    counters().user_views_evicted++;
    evict();
    held = bytes();
  }
}

CodeView* UserViews::least_recent_if_full(size_t most, bool (*holds)(const CodeView&)) {
  CodeView* oldest = nullptr;
  size_t holders = 0;
  for (auto& [cr3, view] : views_) {
    if (!holds(view)) continue;
    ++holders;
    if (oldest == nullptr || view.last_used < oldest->last_used) oldest = &view;
  }
  return holders < most ? nullptr : oldest;
}

}  // namespace ringshift
