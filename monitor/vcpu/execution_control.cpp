#include "monitor/vcpu/execution_control.h"

#include <algorithm>
#include <utility>

namespace ringshift {
namespace {

// More than a person sets; fewer than would make a debugger's mistake cost anything.
constexpr size_t kMostBreakpoints = 1024;
constexpr size_t kMostWatches = 64;
constexpr uint32_t kLastPage = 0xfffff;
constexpr size_t kMostKeptOut = 4096;

bool overlaps(const WatchedData& watched, GuestVirtual first, uint32_t length) {
  return first - watched.address < watched.length || watched.address - first < length;
}

bool concerns(WatchKind watch, AccessKind access) {
  switch (watch) {
    case WatchKind::Write:
      return access == AccessKind::Write;
    case WatchKind::Read:
      return access == AccessKind::Read;
    case WatchKind::Access:
      return access != AccessKind::Fetch;
  }
  return false;
}

}  // namespace

bool ExecutionControl::insert_breakpoint(GuestVirtual linear, BreakpointKind kind) {
  std::set<GuestVirtual>& set = breakpoints_[static_cast<size_t>(kind)];
  if (set.size() >= kMostBreakpoints && !set.contains(linear)) return false;
  set.insert(linear);
  // Removed breakpoints are forgotten; those in use stay.
  if (kept_out_.size() >= kMostKeptOut) {
    kept_out_.clear();
    for (const std::set<GuestVirtual>& used : breakpoints_)
      kept_out_.insert(used.begin(), used.end());
  }
  if (kept_out_.insert(linear).second) newly_kept_out_.push_back(linear);
  points_changed();
  return true;
}

void ExecutionControl::remove_breakpoint(GuestVirtual linear, BreakpointKind kind) {
  breakpoints_[static_cast<size_t>(kind)].erase(linear);
  points_changed();
}

bool ExecutionControl::insert_watch(const WatchedData& watched) {
  if (watched.length == 0) return false;
  if (watches_.size() >= kMostWatches && !watches_.contains(watched)) return false;
  watches_.insert(watched);
  points_changed();
  return true;
}

void ExecutionControl::remove_watch(const WatchedData& watched) {
  watches_.erase(watched);
  points_changed();
}

void ExecutionControl::remove_all() {
  for (std::set<GuestVirtual>& set : breakpoints_) set.clear();
  watches_.clear();
  kept_out_.clear();
  newly_kept_out_.clear();
  points_changed();
}

void ExecutionControl::update() {
  engaged_ = paused_ || held_ || stepping_ || passing_ || changed_ || leading_ ||
             !kept_out_.empty() || !watches_.empty();
}

void ExecutionControl::points_changed() {
  watched_pages_.clear();
  for (const WatchedData& watched : watches_) {
    const GuestVirtual last = watched.address + watched.length - 1;
    const auto end = GuestVirtualPage::of(last);
    const auto begin = GuestVirtualPage::of(watched.address);
    for (auto page = begin;; page = page + 1) {
      WatchedBytes here{page.address(), page.address() + kPageSize - 1};
      if (page == begin) here.first = watched.address;
      if (page == end) here.last = last;
      const auto [known, is_new] = watched_pages_.try_emplace(page, here);
      if (!is_new) {
        known->second.first = std::min(known->second.first, here.first);
        known->second.last = std::max(known->second.last, here.last);
      }
      if (page == end || page.number() >= kLastPage) break;
    }
  }
  changed_ = true;
  update();
}

void ExecutionControl::stop(const DebugStop& stop) {
  last_stop_ = stop;
  paused_ = true;
  stepping_ = passing_ = touched_ = false;
  update();
}

void ExecutionControl::pause(StopCause cause) {
  if (!paused_) end_lead({cause, {}});
}

void ExecutionControl::resume() {
  paused_ = stepping_ = false;
  passing_ = true;
  update();
}

void ExecutionControl::hold() {
  held_ = true;
  update();
}

void ExecutionControl::release() {
  held_ = false;
  update();
}

void ExecutionControl::step() {
  paused_ = false;
  stepping_ = true;
  update();
}

void ExecutionControl::set_guide(ExecutionGuide* guide) {
  guide_ = guide;
  leading_ = led_by_instruction_ = false;
  update();
}

void ExecutionControl::lead(bool by_instruction) {
  leading_ = true;
  led_by_instruction_ = by_instruction;
  paused_ = stepping_ = passing_ = touched_ = false;
  update();
}

void ExecutionControl::end_lead(const DebugStop& at) {
  leading_ = led_by_instruction_ = false;
  stop(at);
}

bool ExecutionControl::stop_if_touched() {
  if (!touched_) return false;
  if (leading_) {
    touched_ = false;
    guide_->on_point({StopCause::Watch, touched_data_});
    return false;
  }
  stop({StopCause::Watch, touched_data_});
  return true;
}

bool ExecutionControl::stops_at(GuestVirtual linear) {
  if (passes(linear)) return false;
  DebugStop point;
  if (breakpoints(BreakpointKind::Software).contains(linear)) {
    point.cause = StopCause::Breakpoint;
  } else if (breakpoints(BreakpointKind::Hardware).contains(linear)) {
    point.cause = StopCause::HardwareBreakpoint;
  } else {
    return paused_;
  }
  if (leading_) {
    guide_->on_point(point);
    return false;
  }
  stop(point);
  return true;
}

// A stop because of data waits for the loop: translated code may have called the interpreter.
void ExecutionControl::after(Progress progress) {
  if (progress != Progress::Event) passing_ = false;
  if (progress == Progress::Faulted) touched_ = false;
  const bool stops = stepping_ && (!touched_ || progress == Progress::Event);
  if (stops) return stop({StopCause::Step, {}});
  if (progress != Progress::Event) update();
}

void ExecutionControl::on_data_access(GuestVirtual address, uint32_t length, AccessKind kind) {
  if (touched_) return;
  for (const WatchedData& watched : watches_) {
    if (!concerns(watched.kind, kind) || !overlaps(watched, address, length)) continue;
    touched_ = true;
    touched_data_ = watched;
    return;
  }
}

std::optional<std::vector<GuestVirtual>> ExecutionControl::take_change() {
  const bool was = std::exchange(changed_, false);
  update();
  if (!was) return std::nullopt;
  return std::exchange(newly_kept_out_, {});
}

}  // namespace ringshift
