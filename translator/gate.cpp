#include "translator/gate.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "shadowmmu/base/check.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

uint64_t map_anonymous(uint64_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapped == MAP_FAILED ? 0 : reinterpret_cast<uint64_t>(mapped);
}

// Until somebody answers callouts, each is an exit.
uint64_t leave_instead(void* /*context*/) { return kCalloutLeaves; }

}  // namespace

const char* exit_reason_name(ExitReason reason) {
  switch (reason) {
    case ExitReason::Unlinked:
      return "unlinked";
    case ExitReason::IndirectMiss:
      return "indirect-miss";
    case ExitReason::Interpret:
      return "interpret";
    case ExitReason::SoftMiss:
      return "soft-miss";
    case ExitReason::EnsureFpu:
      return "ensure-fpu";
    case ExitReason::EventWindow:
      return "event-window";
    case ExitReason::HostFault:
      return "host-fault";
    case ExitReason::Callout:
      return "callout";
  }
  return "?";
}

// The poll page is one mapping whatever its neighbours are: the host joins and splits mappings of
// the same kind only, and this page alone is shared. So changing its protection never takes a
// mapping more, which a guest that has used up vm.max_map_count could make the host refuse.
std::unique_ptr<FrameStorage> FrameStorage::create(std::string* error) {
  void* const reach = mmap(nullptr, kReturnReachBelow + kReturnReachAbove, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  std::unique_ptr<FrameStorage> storage;
  if (reach != MAP_FAILED) {
    char* const frame = static_cast<char*>(reach) + kReturnReachBelow;
    const bool is_there = mprotect(frame, sizeof(Frame), PROT_READ | PROT_WRITE) == 0;
    if (!is_there) {
      munmap(reach, kReturnReachBelow + kReturnReachAbove);
    } else {
      storage.reset(new FrameStorage(new (frame) Frame()));
      void* const poll_page = storage->frame().poll_page.data();
      constexpr int kFlags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
      if (mprotect(storage->frame().limit_guard.data(), kPageSize, PROT_NONE) == 0 &&
          mprotect(frame + kReturnFloorPage, kPageSize, PROT_READ) == 0 &&
          mprotect(frame + kReturnCeilingPage, kPageSize, PROT_READ) == 0 &&
          mmap(poll_page, kPageSize, PROT_READ, kFlags, -1, 0) != MAP_FAILED) {
        return storage;
      }
    }
  }
  *error = std::string("cannot map the vCPU frame: ") + std::strerror(errno);
  return nullptr;
}

FrameStorage::~FrameStorage() {
  frame_->~Frame();
  munmap(reinterpret_cast<char*>(frame_) - kReturnReachBelow,
         kReturnReachBelow + kReturnReachAbove);
}

std::unique_ptr<Gate> Gate::create(const Stubs& stubs, CodeArena& arena, std::string* error,
                                   std::unique_ptr<FrameStorage> storage) {
  auto gate = std::unique_ptr<Gate>(new Gate(stubs, arena));
  gate->storage_ = storage ? std::move(storage) : FrameStorage::create(error);
  if (gate->storage_ == nullptr) return nullptr;
  gate->frame_ = &gate->storage_->frame();
  bool mapped = true;
  for (uint64_t& stack : gate->return_stacks_) {
    stack = map_anonymous(kReturnStackBytes);
    mapped =
        mapped && stack != 0 && mprotect(reinterpret_cast<void*>(stack), kPageSize, PROT_NONE) == 0;
  }
  if (!mapped) {
    *error = std::string("cannot map the return stacks: ") + std::strerror(errno);
    return nullptr;
  }
  if (stubs.counts_events && !gate->map_event_walk()) {
    *error = std::string("cannot map what events are counted by: ") + std::strerror(errno);
    return nullptr;
  }
  gate->reset_return_stack(Privilege::User);
  gate->reset_return_stack(Privilege::Supervisor);
  gate->frame_->slots.callout = leave_instead;
  return gate;
}

// The guard is a mapping of another kind than the memory above it, as the poll page is one by
// itself: so attention never takes a mapping more.
bool Gate::map_event_walk() {
  void* const guard = mmap(nullptr, kPageSize + kEventRoom, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (guard == MAP_FAILED) return false;
  event_floor_ = reinterpret_cast<uint64_t>(guard) + kPageSize;
  constexpr int kFlags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED;
  return mmap(reinterpret_cast<void*>(event_floor_), kEventRoom, PROT_READ, kFlags, -1, 0) !=
         MAP_FAILED;
}

Gate::~Gate() {
  if (event_floor_ != 0) {
    munmap(reinterpret_cast<void*>(event_floor_ - kPageSize), kPageSize + kEventRoom);
  }
  for (uint64_t stack : return_stacks_) {
    if (stack != 0) munmap(reinterpret_cast<void*>(stack), kReturnStackBytes);
  }
}

void Gate::reset_return_stack(Privilege privilege) {
  empty_return_stack(privilege);
  forget_far_targets();
}

void Gate::empty_return_stack(Privilege privilege) {
  const auto index = static_cast<size_t>(privilege);
  const uint64_t bottom = return_stack_bottom(privilege);
  std::memcpy(reinterpret_cast<void*>(bottom), &stubs_.return_underflow, sizeof(uint64_t));
  return_stack_tops_[index] = bottom;
  if (privilege != selected_) return;
  frame_->slots.return_stack = frame_->slots.return_stack_bottom = bottom;
}

void Gate::forget_far_targets() {
  if (!has_far_targets_) return;
  frame_->far_targets.fill(FarTarget{});
  has_far_targets_ = false;
}

void Gate::select_return_stack(Privilege privilege) {
  if (privilege == selected_) return;
  return_stack_tops_[static_cast<size_t>(selected_)] = frame_->slots.return_stack;
  frame_->slots.return_stack = return_stack_tops_[static_cast<size_t>(privilege)];
  frame_->slots.return_stack_bottom = return_stack_bottom(privilege);
  frame_->slots.ring = static_cast<uint32_t>(privilege);
  selected_ = privilege;
}

void Gate::follow_ring() {
  const size_t other = 1 - frame_->slots.ring;
  return_stack_tops_[other] = frame_->rings[other].return_stack;
  selected_ = static_cast<Privilege>(frame_->slots.ring);
}

void Gate::describe_returns(Privilege privilege, RingView* view) const {
  view->return_stack = privilege == selected_ ? frame_->slots.return_stack
                                              : return_stack_tops_[static_cast<size_t>(privilege)];
  view->return_stack_bottom = return_stack_bottom(privilege);
}

bool Gate::is_return_stack_guard(uint64_t host_address) const {
  for (uint64_t stack : return_stacks_) {
    if (host_address - stack < kPageSize) return true;
  }
  return false;
}

void Gate::raise_poll() { protect_polls(PROT_NONE); }

void Gate::lower_poll() { protect_polls(PROT_READ); }

void Gate::protect_polls(int protection) {
  mprotect(frame_->poll_page.data(), kPageSize, protection);
  if (event_floor_ != 0) {
    mprotect(reinterpret_cast<void*>(event_floor_), kEventRoom, protection);
  }
}

bool Gate::is_return_check(uint64_t host_address) const {
  const uint64_t frame = reinterpret_cast<uint64_t>(frame_);
  return host_address - frame >= sizeof(Frame) &&
         host_address - (frame - kReturnReachBelow) < kReturnReachBelow + kReturnReachAbove;
}

bool Gate::is_poll(uint64_t host_address) const {
  if (host_address - reinterpret_cast<uint64_t>(frame_->poll_page.data()) < kPageSize) return true;
  const uint64_t guard = event_floor_ - kPageSize;
  return event_floor_ != 0 && host_address - guard < kPageSize + kEventRoom;
}

void Gate::load_flags() {
  const uint32_t eflags = frame_->state.eflags;
  Slots& slots = frame_->slots;
  slots.host_flags = (eflags & kHostHeldFlags) | kHostFlagsConstant;
  slots.interrupt_flag = eflags & kFlagIf;
  slots.system_flags = (eflags & ~(kHostHeldFlags | kFlagIf | kFlagRf)) | kFlagReservedOne;
}

void Gate::store_flags() {
  const Slots& slots = frame_->slots;
  frame_->state.eflags = (static_cast<uint32_t>(slots.host_flags) & kHostHeldFlags) |
                         slots.interrupt_flag | slots.system_flags;
}

void Gate::begin_callout() {
  store_flags();
  frame_->state.eip = frame_->slots.exit_eip;
}

uint64_t Gate::return_from_callout() {
  load_flags();
  return kCalloutReturns;
}

uint64_t Gate::dispatch_from_callout() {
  load_flags();
  frame_->slots.exit_eip = frame_->state.eip;
  return stubs_.dispatch;
}

uint64_t Gate::enter_from_callout(uint64_t body) {
  load_flags();
  return body;
}

uint64_t Gate::leave_from_callout() {
  frame_->slots.exit_reason = static_cast<uint32_t>(ExitReason::Callout);
  return kCalloutLeaves;
}

void Gate::recover_at(uint64_t host_pc, const TranslationCache& cache, uint32_t address_register) {
  const Fragment* fragment = cache.fragment_at(host_pc);
  if (fragment == nullptr) {
    // The only instruction of a stub that may fault is the dispatcher's poll.
    frame_->state.eip = address_register;
    return;
  }
  const auto offset = static_cast<uint32_t>(host_pc - fragment->code.address);
  const RecoveryPoint point = recovery_point(*fragment, offset);
  if (point.kind == RecoveryKind::Counted) ++frame_->slots.event_walk;  // and again when it is done
  recover(point, address_register, frame_->slots, &frame_->state);
}

Exit Gate::run(uint64_t host_pc, const TranslationCache& cache) {
  Slots& slots = frame_->slots;
  load_flags();
  slots.enter_at = host_pc;
  reinterpret_cast<void (*)(Slots*)>(stubs_.enter)(&slots);
  const auto reason = static_cast<ExitReason>(slots.exit_reason);
  if (reason != ExitReason::Callout) store_flags();
  // fpu_loaded said whether the guest's FPU state was; the leave stub stored it.
  Exit exit;
  exit.reason = reason;
  switch (exit.reason) {
    case ExitReason::Unlinked:
      exit.link = slots.exit_link;
      frame_->state.eip = cache.link_view(exit.link).destination_eip.value();
      break;
    case ExitReason::SoftMiss:
      exit.address = GuestVirtual(slots.exit_address);
      exit.is_write = slots.exit_is_write != 0;
      // A return address: the call before it belongs to the instruction.
      recover_at(slots.exit_pc - 1, cache, slots.exit_address);
      break;
    case ExitReason::HostFault:
      exit.fault = fault_;
      recover_at(fault_.host_pc, cache, slots.exit_eip);
      break;
    case ExitReason::EventWindow:
      exit.link = slots.exit_link;
      frame_->state.eip = slots.exit_eip;
      break;
    case ExitReason::IndirectMiss:
    case ExitReason::Interpret:
    case ExitReason::EnsureFpu:
      frame_->state.eip = slots.exit_eip;
      break;
    case ExitReason::Callout:
      break;
  }
  exit.eip = Eip(frame_->state.eip);
  return exit;
}

}  // namespace ringshift
