#include "monitor/lab/lockstep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "monitor/host_clock.h"
#include "monitor/lab/effects.h"

namespace ringshift::lab {
namespace {

// The longest way between two boundaries the loop comes by: a loop without exits runs until the
// host's timer interrupts it, a decompressor with interrupts off for hundreds of millions.
constexpr uint64_t kLongestWay = 400'000'000;
constexpr size_t kSuspectsShown = 6;

std::vector<std::string> differences(const GuestState& left, const GuestState& right,
                                     uint32_t ignored_flags) {
  const Visible a{left.eip, left.eflags & ~ignored_flags, left.gpr, {}};
  const Visible b{right.eip, right.eflags & ~ignored_flags, right.gpr, {}};
  std::vector<std::string> found;
  if (left.eip != right.eip) found.push_back(fmt::format("EIP={:08x}", right.eip));
  for (std::string& effect : visible_effects(a, b, 0)) found.push_back(std::move(effect));
  for (std::string& change : control_changes(left, right)) found.push_back(std::move(change));
  return found;
}

bool quickly_unlike(const GuestState& left, const GuestState& right) {
  return left.eip != right.eip || left.gpr != right.gpr || left.cpl != right.cpl;
}

}  // namespace

bool Lockstep::attach(Machine* leader, std::string* error) {
  leader_ = leader;
  started_ = HostClock::monotonic();
  next_ram_ = ram_every_;
  follower_ = Follower::create(*leader, recorder_.inputs(), error);
  if (follower_ == nullptr) return false;
  recorder_.attach(leader);
  return true;
}

bool Lockstep::agrees(const GuestState& state) {
  if (quickly_unlike(follower_->state(), state)) return false;
  uint32_t open = follower_->undefined_flags();
  // Translated POPF that leaves for the interpreter has used the flags it is about to overwrite.
  const FollowedInstruction* next = follower_->next();
  if (next != nullptr && next->name == "POPFD") open |= kFlagsArithmetic;
  if (!differences(follower_->state(), state, open).empty()) return false;
  // Where the manual leaves flags open, the processor's are taken over.
  if (((follower_->state().eflags ^ state.eflags) & open) != 0) {
    ++figures_.undefined_flags;
    follower_->state().eflags = state.eflags;
  }
  return true;
}

void Lockstep::diverge(const GuestState& state, std::string what) {
  difference_.found = true;
  difference_.to_eip = state.eip;
  difference_.what = std::move(what);
  for (size_t i = 0; i <= last_eips_.size(); ++i) {
    // First where they agreed last, then what was executed most recently.
    const uint32_t eip = i == 0 ? difference_.from_eip
                                : last_eips_[(figures_.instructions + i - 1) % last_eips_.size()];
    std::string line = fmt::format("{:08x}:", eip);
    for (const uint8_t byte : follower_->bytes_at(eip)) line += fmt::format(" {:02x}", byte);
    difference_.path.push_back(std::move(line));
  }
  leader_->request_stop(StopReason::Quit);
}

void Lockstep::catch_up(const GuestState& state) {
  if (difference_.found || difference_.gave_up) return;
  difference_.instruction = figures_.instructions;
  difference_.from_eip = follower_->state().eip;
  difference_.suspects.clear();
  uint64_t way = 0;
  std::string nearest;
  while (must_step_ || !agrees(state)) {
    must_step_ = false;
    // One step of the leader's may be many iterations of a REP string instruction.
    const bool repeats = way != 0 && follower_->state().eip == difference_.from_eip;
    if (++way > kLongestWay || (single_ && way > 1 && !repeats)) {
      if (single_ || !nearest.empty()) {
        return diverge(state, nearest.empty() ? "the interpreter does not come there" : nearest);
      }
      difference_.gave_up = true;
      return leader_->request_stop(StopReason::Quit);
    }
    if (const FollowedInstruction* next = follower_->next()) {
      ++figures_.by_treatment[static_cast<size_t>(next->treatment)];
      if (next->is_sensitive && difference_.suspects.size() < kSuspectsShown) {
        difference_.suspects.push_back(
            fmt::format("{} at {:08x}", next->name, follower_->state().eip));
      }
    } else {
      ++figures_.by_treatment[static_cast<size_t>(Treatment::Interpret)];
    }
    last_eips_[figures_.instructions % last_eips_.size()] = follower_->state().eip;
    ++figures_.instructions;
    if (!follower_->step()) {
      return diverge(state, nearest.empty() ? follower_->problem() : nearest);
    }
    if (single_ && !difference_.suspects.empty()) {
      std::string stored = stack_difference(state);
      if (!stored.empty()) return diverge(state, std::move(stored));
    }
    if (nearest.empty() && follower_->state().eip == state.eip) {
      nearest = joined(differences(follower_->state(), state, 0), ", ");
    }
  }
  ++figures_.boundaries;
  if (figures_.instructions >= next_ram_) {
    next_ram_ = figures_.instructions + ram_every_;
    compare_ram();
  }
}

// What PUSHF, PUSH Sreg and their kind have stored, here and there.
std::string Lockstep::stack_difference(const GuestState& state) {
  // Reads of anything but RAM would be inputs.
  if (follower_->state().reg(Gpr::Esp) != state.reg(Gpr::Esp)) return {};
  if (state.seg(SegmentRegister::Ss).base != 0) return {};
  const Privilege privilege = state.cpl == 3 ? Privilege::User : Privilege::Supervisor;
  for (uint32_t offset = 0; offset < 16; offset += 4) {
    uint32_t mine = 0, theirs = 0;
    const GuestVirtual at(state.reg(Gpr::Esp) + offset);
    if (follower_->linear().read_value(at, privilege, &mine) ||
        leader_->cpu().memory.read_value(at, privilege, &theirs)) {
      return {};
    }
    if (mine == theirs) continue;
    return fmt::format("[{:08x}]={:08x}, interpreted {:08x}", at.value(), theirs, mine);
  }
  return {};
}

// Of words that differ in A and D only, one side has used another translation lookaside buffer.
void Lockstep::compare_ram() {
  constexpr uint32_t kAccessedDirty = 0x60;
  ++figures_.ram_comparisons;
  GuestMemory& mine = follower_->ram();
  GuestMemory& theirs = leader_->memory();
  figures_.accessed_dirty_words = 0;
  for (uint64_t page = 0; page < mine.size(); page += kPageSize) {
    const uint8_t* a = mine.at(GuestPhysical(page));
    const uint8_t* b = theirs.at(GuestPhysical(page));
    if (std::memcmp(a, b, kPageSize) == 0) continue;
    for (uint32_t at = 0; at < kPageSize; at += 4) {
      uint32_t left = 0, right = 0;
      std::memcpy(&left, a + at, 4);
      std::memcpy(&right, b + at, 4);
      if (left == right || follower_->is_open(page + at)) continue;
      if (((left ^ right) & ~kAccessedDirty) == 0) {
        ++figures_.accessed_dirty_words;
        continue;
      }
      return diverge(follower_->state(), fmt::format("RAM at {:x}: {:08x}, interpreted {:08x}",
                                                     page + at, right, left));
    }
  }
}

void Lockstep::stop_when_due() {
  const auto passed = static_cast<double>(HostClock::monotonic() - started_) / 1e9;
  if (passed >= seconds_) leader_->request_stop(StopReason::Quit);
}

void Lockstep::before_interpreted(const GuestState& state) {
  ++figures_.interpreted;
  catch_up(state);
  must_step_ = true;
}

void Lockstep::after_interpreted(const GuestState&) {
  constexpr uint64_t kEventsBetweenLooks = 64;
  if (figures_.interpreted % kEventsBetweenLooks == 0) stop_when_due();
}

void Lockstep::before_interrupt(const Event& event, const GuestState& state) {
  ++figures_.interrupts;
  catch_up(state);
  if (!difference_.found && !difference_.gave_up) follower_->deliver_event(event);
  stop_when_due();
}

void Lockstep::on_guest_fault(const GuestFault& fault, const GuestState& state) {
  const std::string name = exception_name(static_cast<uint32_t>(fault.vector), 0);
  ++figures_.guest_faults[fmt::format("{} at CPL {}", name.substr(0, name.find('(')), state.cpl)];
}

void Lockstep::finish() {
  if (difference_.found || difference_.gave_up || follower_ == nullptr) return;
  // The last instruction, which ended the run.
  if (must_step_ && !follower_->step()) return diverge(leader_->state(), follower_->problem());
  must_step_ = false;
  catch_up(leader_->state());
  if (!difference_.found && !difference_.gave_up) compare_ram();
}

}  // namespace ringshift::lab
