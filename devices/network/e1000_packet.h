// E1000Packet: a packet that a driver of an 82540EM sends, on its way from descriptors to frames:
// gathered, cut into segments, given its checksums. Only the places that the descriptors name
// count: no byte of a packet decides. Owns: the bytes of one packet. See Intel 317453, 3.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ringshift {

class StateArchive;

class E1000Packet {
 public:
  // A context descriptor (3.3.6), as it lies in memory.
  struct Context {
    uint8_t ip_start = 0, ip_sum_at = 0;
    uint16_t ip_end = 0;
    uint8_t payload_start = 0, payload_sum_at = 0;
    uint16_t payload_end = 0;
    uint32_t payload_bytes = 0;  // 20 bits
    bool is_tcp = false, is_ipv4 = false;
    uint8_t header_bytes = 0;
    uint16_t segment_bytes = 0;
  };
  [[nodiscard]] static Context parse_context(std::span<const uint8_t, 16> descriptor);

  struct Options {
    bool ip_sum = false, payload_sum = false;
    bool segments = false;
    uint32_t tag = 0;  // four bytes of a VLAN's tag, the first one highest; 0: none
  };

  void set_context(const Context& context) { context_ = context; }
  // The first descriptor of a packet gives the orders for it.
  void begin(const Options& options);
  [[nodiscard]] bool is_begun() const { return begun_; }
  // For a legacy descriptor: one sum over the bytes from `start` on, put at `at`.
  void ask_for_sum(uint8_t start, uint8_t at);
  // Bytes that are more than a packet can have make it go nowhere, and are wanted no more: false.
  bool append(std::span<const uint8_t> bytes);
  // All of it is there.
  void finish();

  // Frames wait to be sent.
  [[nodiscard]] bool has_frame() const { return finished_; }
  // True: the packet is to be cut.
  [[nodiscard]] bool is_in_segments() const { return options_.segments; }
  // The next one; the packet is gone after its last. Pre: has_frame(). Empty: it makes no sense.
  // whole: a large one that is to be cut is sent as it is, with its lengths and sums right.
  [[nodiscard]] std::span<const uint8_t> next_frame(bool whole = false);
  void clear();

  static constexpr size_t kMostBytes = 65536 + 256;

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);

 private:
  [[nodiscard]] bool can_be_cut() const;
  [[nodiscard]] bool can_be_whole() const;
  void make_segment(size_t most);
  void put_sums(std::span<uint8_t> frame) const;
  void insert_tag();

  // Not state: frame_: where one is put together; kept for its room.
  Context context_;
  Options options_;
  bool begun_ = false, finished_ = false, too_long_ = false;
  bool legacy_sum_ = false;
  uint8_t sum_start_ = 0, sum_at_ = 0;
  uint32_t sent_ = 0;  // bytes of payload that have gone, of a packet in segments
  std::vector<uint8_t> bytes_;
  std::vector<uint8_t> frame_;
};

}  // namespace ringshift
