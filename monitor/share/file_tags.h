// FileTags: the requests of a shared folder that are on their way, by the tag that the server knows
// them by, and the roots that the guest has mounted. It outlives a guest, since answers do. Owns:
// that knowledge. vCPU thread. See docs/sharing.md.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <set>
#include <span>

namespace ringshift {

class StateArchive;

// The tag of a 9P message (devices/virtio/file_port.h).
[[nodiscard]] uint16_t file_tag_of(std::span<const uint8_t> message);

class FileTags {
 public:
  // Requests on their way at a time, at most.
  static constexpr size_t kMostRequests = 512;
  // A new driver: nothing is mounted, whatever the one before it has left.
  void begin_life() { mounted_.clear(); }
  [[nodiscard]] bool has_free() const { return !used_.all(); }
  [[nodiscard]] bool are_used() const { return used_.any(); }
  // Pre: has_free().
  [[nodiscard]] uint16_t free() const;
  // Notes a request that is sent: its tag is in use from here on.
  void note_request(std::span<const uint8_t> message);
  void note_answer(std::span<const uint8_t> message);
  void give_up(uint16_t tag);
  // The guest has the folder mounted.
  [[nodiscard]] bool is_mounted() const { return !mounted_.empty(); }

  // For a replay that goes back.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  // Roots that a guest has at a time; a guest that wants more of them is not saved.
  static constexpr size_t kMostMounts = 1024;

  std::bitset<kMostRequests> used_;
  std::map<uint16_t, uint32_t> attaching_;  // which root a request on its way asks for, by tag
  std::set<uint32_t> mounted_;              // roots: numbers of the guest's choice
};

}  // namespace ringshift
