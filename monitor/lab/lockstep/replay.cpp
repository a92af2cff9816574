#include "monitor/lab/lockstep/replay.h"

#include <fmt/format.h>

#include <cstring>
#include <deque>
#include <memory>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/trap/deprivileged.h"

namespace ringshift::lab {
namespace {

// The processor, deprivileged, on the follower's own memory.
class Probe {
 public:
  explicit Probe(Follower& follower) : follower_(follower) {}

  // Executes one instruction. False: it trapped, so a monitor decides; or it cannot be executed.
  bool execute(GuestState* state) {
    // The process keeps its mappings; other page tables are for another one.
    if (runner_ == nullptr || cr3_ != state->cr3 || cr0_ != state->cr0) {
      runner_ = Deprivileged::create(follower_.linear(), follower_.physical(), &why_not_);
      if (runner_ == nullptr) return false;
      runner_->run_singly(true);
      cr3_ = state->cr3;
      cr0_ = state->cr0;
    }
    // A mapping that was too weak traps once. A tick of the host's clock is a try as well, and on a
    // busy host one may come before the process does, again and again.
    constexpr int kTries = 4096, kTrapped = 2;
    const uint32_t begin = state->eip;
    int traps = 0;
    for (int tries = 0; tries < kTries && traps < kTrapped; ++tries) {
      const DeprivilegedRunner::Stop stop = runner_->run(*state);
      if (stop == DeprivilegedRunner::Stop::GiveUp) {
        why_not_ = runner_->message();
        return false;
      }
      traps += stop == DeprivilegedRunner::Stop::Interpret ? 1 : 0;
      if (stop == DeprivilegedRunner::Stop::Resume && state->eip != begin) return true;
    }
    why_not_ = traps == kTrapped ? "it traps" : "the host's clock ticks before it is executed";
    return false;
  }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }

 private:
  Follower& follower_;
  std::unique_ptr<Deprivileged> runner_;
  std::string why_not_;
  uint32_t cr3_ = 0, cr0_ = 0;
};

// Compares RAM with the interpreter's result.
std::string unlike_memory(Follower& follower, const std::deque<Follower::KeptPage>& right) {
  for (const Follower::KeptPage& page : right) {
    for (uint32_t at = 0; at < kPageSize; at += 4) {
      const GuestPhysical word = page.page.address() + at;
      uint32_t is = 0, should = 0;
      std::memcpy(&is, follower.ram().at(word), 4);
      std::memcpy(&should, page.bytes.data() + at, 4);
      if (is == should || follower.is_open(word.value())) continue;
      return fmt::format("RAM at {:x}: {:08x}, interpreted {:08x}", word.value(), is, should);
    }
  }
  return {};
}

// Exchanges the pages' contents with the kept copies.
void exchange(Follower& follower, std::deque<Follower::KeptPage>* pages) {
  for (Follower::KeptPage& page : *pages) {
    std::array<uint8_t, kPageSize> now;
    uint8_t* there = follower.ram().at(page.page.address());
    std::memcpy(now.data(), there, kPageSize);
    std::memcpy(there, page.bytes.data(), kPageSize);
    page.bytes = now;
  }
}

// Runs one sensitive instruction by the interpreter and then, from the same state, by the
// processor. Returns the difference; the follower is left in the interpreter's state after it.
std::string step_both(Follower& follower, const FollowedInstruction& next, Probe* probe,
                      WrongSearch* search) {
  follower.forget_written();
  GuestState before = follower.state();
  if (!follower.step(&next)) return follower.problem();
  const GuestState after = follower.state();
  std::deque<Follower::KeptPage> pages = follower.kept();
  exchange(follower, &pages);
  // The probe looks at memory through the follower's registers: those before the instruction.
  follower.state() = before;
  GuestState& native = before;
  std::string what;
  if (!probe->execute(&native)) {
    search->not_executed = fmt::format("{} at {:x}: {}", next.name, native.eip, probe->why_not());
  } else {
    ++search->executed;
    what = unlike_memory(follower, pages);
    const uint32_t open = follower.undefined_flags() | kFlagRf;
    const std::string registers = joined(differences(after, native, open), ", ");
    if (!registers.empty()) what = registers;
  }
  follower.state() = after;
  exchange(follower, &pages);
  return what;
}

}  // namespace

WrongSearch find_wrong(Follower& follower, uint64_t steps, double seconds) {
  constexpr uint64_t kStepsBetweenLooks = 1U << 12;
  const Nanoseconds until = HostClock::monotonic() + static_cast<Nanoseconds>(seconds * 1e9);
  follower.rewind();
  Probe probe(follower);
  WrongSearch search;
  for (; search.steps < steps; ++search.steps) {
    if (search.steps % kStepsBetweenLooks == 0 && HostClock::monotonic() > until) break;
    const FollowedInstruction* next = follower.next();
    const uint32_t eip = follower.state().eip;
    if (next == nullptr || !next->is_sensitive) {
      if (!follower.step(next)) break;
      continue;
    }
    const FollowedInstruction known = *next;
    const std::string what = step_both(follower, known, &probe, &search);
    if (what.empty()) continue;
    search.wrong = WrongInstruction{search.steps, eip, known.name, what};
    break;
  }
  return search;
}

}  // namespace ringshift::lab
