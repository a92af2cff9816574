// HotSites: the guest's instructions whose plain memory access has failed so often that it is
// translated as a soft access. One is plain again when the soft access has missed often where a
// plain one would have been served. Also calls whose return points were reached by other returns.
// Owns: the lists, by guest-physical address. See docs/translator.md, "Adaptive memory access" and
// "Calls and returns".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>

#include "shadowmmu/base/address.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/paging_mode.h"
#include "translator/code_source.h"

namespace ringshift {

// How often something has happened at an EIP. EIPs that are kSlots apart share a place, and the
// later one begins anew.
template <size_t kSlots, uint32_t kLimit>
class EipCounts {
 public:
  // True each kLimit times.
  [[nodiscard]] bool note(Eip eip) {
    Count& here = counts_[eip.value() % kSlots];
    if (here.eip != eip) here = {eip, 0};
    if (++here.count < kLimit) return false;
    here.count = 0;
    return true;
  }
  // Will the next note() be true?
  [[nodiscard]] bool is_due(Eip eip) const {
    const Count& here = counts_[eip.value() % kSlots];
    return here.eip == eip && here.count + 1 >= kLimit;
  }

 private:
  struct Count {
    Eip eip;
    uint32_t count = 0;
  };
  std::array<Count, kSlots> counts_{};
};

class HotSites final : public SoftSites {
 public:
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return soft_.contains(instruction);
  }

  // A plain access of this instruction could not be served from the window. True: the site is soft
  // from now on, and its fragment must be made anew.
  [[nodiscard]] bool note_fault(GuestPhysical instruction, Privilege privilege) {
    const uint32_t limit =
        privilege == Privilege::Supervisor ? kSupervisorFaultsBeforeSoft : kUserFaultsBeforeSoft;
    if (faults_.size() >= kMostRemembered) faults_.clear();
    if (soft_.size() >= kMostRemembered) soft_.clear();
    if (++faults_[instruction] < limit) return false;
    faults_.erase(instruction);
    if (!soft_.insert(instruction).second) return false;
    counters().sites_softened++;
    return true;
  }

  // A soft access at this EIP missed its TLB where a plain one would have been served. True: it is
  // time to call note_needless_misses for the instruction there. EIPs share counts.
  [[nodiscard]] bool note_needless_miss(Eip eip) { return needless_misses_.note(eip); }
  // True: the site is plain again, and its fragment must be made anew. A site that has been soft
  // again after that has to miss twice as often the next time.
  [[nodiscard]] bool note_needless_misses(GuestPhysical instruction) {
    if (!soft_.contains(instruction)) return false;
    if (returns_.size() >= kMostRemembered) returns_.clear();
    Returns& returns = returns_[instruction];
    if (++returns.misses < (1U << returns.count)) return false;
    returns.misses = 0;
    if (returns.count < kMostDoublings) ++returns.count;
    soft_.erase(instruction);
    counters().sites_plain_again++;
    return true;
  }

  [[nodiscard]] bool reaches_device(GuestPhysical instruction) const override {
    return devices_.contains(instruction);
  }
  // A soft access at this EIP has reached a device's memory. True: it is time for
  // leave_to_monitor(). Is the next one that time? EIPs share counts.
  [[nodiscard]] bool note_device_access(Eip eip) { return device_accesses_.note(eip); }
  [[nodiscard]] bool is_device_due(Eip eip) const { return device_accesses_.is_due(eip); }
  // True: the site is a callout from now on, and its fragment must be made anew.
  [[nodiscard]] bool leave_to_monitor(GuestPhysical instruction) {
    if (devices_.size() >= kMostRemembered) devices_.clear();
    if (returned_.size() >= kMostRemembered) returned_.clear();
    const auto returned = returned_.find(instruction);
    if (returned != returned_.end() && returned->second >= kMostReturns) return false;
    counters().sites_of_devices++;
    return devices_.insert(instruction).second;
  }
  // Such a callout has met RAM. True: it is time for take_back().
  [[nodiscard]] bool note_ram_access(Eip eip) { return ram_accesses_.note(eip); }
  // True: the site is soft again, and its fragment must be made anew. After a few times it stays
  // so.
  [[nodiscard]] bool take_back(GuestPhysical instruction) {
    ++returned_[instruction];
    return devices_.erase(instruction) != 0;
  }

  [[nodiscard]] bool returns_elsewhere(GuestPhysical last_byte) const override {
    return odd_returns_.contains(last_byte);
  }
  // The guest has returned to another place than the one behind this call, in code that pairs calls
  // with returns. True: the call compares by a branch from now on, and its fragment must be made
  // anew.
  [[nodiscard]] bool note_odd_return(GuestPhysical last_byte) {
    if (faults_.size() >= kMostRemembered) faults_.clear();
    if (odd_returns_.size() >= kMostRemembered) odd_returns_.clear();
    if (++faults_[last_byte] < kOddReturnsBeforeBranch) return false;
    faults_.erase(last_byte);
    return odd_returns_.insert(last_byte).second;
  }

  // Everything is translated anew, so each site gets another chance: the reason of its faults may
  // be gone, or its page may hold other code by now.
  void forget_all() {
    soft_.clear();
    faults_.clear();
    returns_.clear();
    devices_.clear();
    returned_.clear();
    odd_returns_.clear();
  }

  // In the kernel a site that faults touches user pages or traced ones and will do so again. In
  // user code most faults are first touches.
  static constexpr uint32_t kSupervisorFaultsBeforeSoft = 2;
  static constexpr uint32_t kUserFaultsBeforeSoft = 64;
  // A fault takes 3 us; a comparison by a branch 1 ns more than one by loads.
  static constexpr uint32_t kOddReturnsBeforeBranch = 4;
  // A miss takes 0.4 us, and a site that is made anew twice, with faults in between, some 30 us.
  static constexpr uint32_t kNeedlessMissesAtOnce = 64;
  static constexpr uint8_t kMostDoublings = 16;
  // A callout saves some 300 cycles where a device is met, and costs some 150 where RAM is; a site
  // that is made anew, some 10,000.
  static constexpr uint32_t kAccessesBeforeChange = 64;
  static constexpr uint32_t kMostReturns = 8;
  // A hostile guest could make the lists grow with its RAM.
  static constexpr size_t kMostRemembered = 32 * 1024;

 private:
  std::unordered_set<GuestPhysical> soft_;
  std::unordered_map<GuestPhysical, uint32_t> faults_;
  EipCounts<256, kNeedlessMissesAtOnce> needless_misses_;
  struct Returns {
    uint32_t misses = 0;  // needless ones, kNeedlessMissesAtOnce each
    uint8_t count = 0;    // how often it has become plain again
  };
  std::unordered_map<GuestPhysical, Returns> returns_;

  EipCounts<64, kAccessesBeforeChange> device_accesses_, ram_accesses_;
  std::unordered_set<GuestPhysical> devices_;
  std::unordered_map<GuestPhysical, uint32_t> returned_;  // how often they were taken back
  std::unordered_set<GuestPhysical> odd_returns_;
};

}  // namespace ringshift
