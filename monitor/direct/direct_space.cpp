#include "monitor/direct/direct_space.h"

namespace ringshift {
namespace {

constexpr uint32_t kAllPages = 1U << 20;
// Linux's default vm.mmap_min_addr: below, an ordinary process may map nothing.
constexpr uint32_t kLowestPage = 16;

}  // namespace

bool DirectMapper::map(GuestVirtualPage at, GuestPhysicalPage from, uint32_t pages,
                       HostAccess access) {
  if (at.number() < kLowestPage) return false;
  // A program's pages are mapped one by one, and neighbours in its file are often neighbours in the
  // guest's memory.
  if (continues(at, from, access)) {
    last_map_.pages += pages;
    queue_->back() = last_map_.command();
    return true;
  }
  last_map_ = {at, from, pages, access};
  queue_->push_back(last_map_.command());
  return true;
}

bool DirectMapper::continues(GuestVirtualPage at, GuestPhysicalPage from, HostAccess access) const {
  return last_map_.pages != 0 && !queue_->empty() && last_map_.at + last_map_.pages == at &&
         last_map_.from + last_map_.pages == from && last_map_.access == access;
}

bool DirectMapper::unmap(GuestVirtualPage at, uint32_t pages) {
  last_map_ = {};
  queue_->push_back(command_to_unmap(at, pages));
  return true;
}

bool DirectMapper::restrict_to(GuestVirtualPage at, HostAccess access) {
  last_map_ = {};
  queue_->push_back(command_to_protect(at, access));
  return true;
}

bool DirectMapper::clear() {
  queue_->clear();  // nothing before it matters any more
  return unmap(GuestVirtualPage(0), kAllPages);
}

std::unique_ptr<DirectSpace> DirectSpace::create(DirectHost& host, ReverseMap& reverse,
                                                 TraceTable& traces, ShadowBudget budget,
                                                 std::string* error) {
  auto space = std::unique_ptr<DirectSpace>(new DirectSpace());
  space->process_ = host.spawn(error);
  if (space->process_ == nullptr) return nullptr;
  space->shadow_ = ShadowSpace::create(std::make_unique<DirectMapper>(&space->queue_), reverse,
                                       traces, budget, error);
  if (space->shadow_ == nullptr) return nullptr;
  return space;
}

bool DirectSpace::bring_up_to_date(TimeStampTrap trap, std::string* error) {
  if (!process_->set_time_stamp_trap(trap, error)) return false;
  shadow_->settle();
  if (queue_.empty()) return true;
  const bool done = process_->carry_out(queue_, error);
  queue_.clear();
  return done;
}

}  // namespace ringshift
