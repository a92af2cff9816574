// KeptStates: a replay's machine at some of the places that it has passed, so that it can go back
// to them. Bounded in number and in memory: the more there are, and the longer they are past, the
// fewer are left. The first one always stays. Owns: the states. See docs/debugging-backwards.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/replay/guest_place.h"
#include "monitor/replay/ram_image.h"
#include "monitor/vcpu/events/event_positions.h"

namespace ringshift {

// A whole machine between two instructions.
struct MachineMoment {
  std::vector<uint8_t> state;  // as StateArchive has saved it
  RamImage ram;
  TapePlace tape;
  EventPositions::Moment events;

  [[nodiscard]] size_t bytes() const { return state.size() + ram.list_bytes(); }
};

class KeptStates {
 public:
  struct Limits {
    size_t states = 64;
    uint64_t bytes = uint64_t{512} << 20;  // of pages, and of states without them
  };
  struct Kept {
    GuestPlace place;
    Nanoseconds work = 0;  // processor time that the replay takes from the first one to here
    std::shared_ptr<const MachineMoment> moment;
  };

  explicit KeptStates(Limits limits) : limits_(limits) {}

  // If there are too many, the one removed is chosen as seen from the new one, where the user is. A
  // second one at the same place is not added.
  void add(Kept kept);
  [[nodiscard]] bool is_empty() const { return all_.empty(); }
  [[nodiscard]] size_t size() const { return all_.size(); }
  [[nodiscard]] const Kept& first() const { return all_.front(); }
  // The last one with fewer events behind it; the first one, if there is none. Pre: not empty.
  [[nodiscard]] const Kept& before(uint64_t events) const;
  // The first one with more events behind it; null: there is none.
  [[nodiscard]] const Kept* after(uint64_t events) const;
  // The count of pages that all images share.
  [[nodiscard]] const PageCount& pages() const { return pages_; }
  [[nodiscard]] uint64_t bytes() const;

 private:
  [[nodiscard]] size_t least_missed(size_t here) const;

  Limits limits_;
  PageCount pages_ = std::make_shared<size_t>(0);
  std::vector<Kept> all_;  // by place
};

}  // namespace ringshift
