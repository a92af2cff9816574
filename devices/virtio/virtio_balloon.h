// VirtioBalloon: takes pages of RAM from a guest that can do without them, and gives them back:
// pages in the balloon, and pages that the guest reports as free, take no memory of the host's. A
// page of either is zeros when the guest uses it again. Does not own: RAM. See docs/devices.md;
// VIRTIO 1.2, 5.5.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

struct BalloonConfig {
  uint64_t ram_bytes = 0;
  bool deflates_on_oom = true;  // the guest may take pages out by itself before it kills
  bool reports_free = true;     // pages that the guest just has no use for now
  // Whole pages of RAM are zeros from here on, and their memory is the host's. Called between two
  // guest instructions or within a device access, for at most kMostAtOnce bytes.
  std::function<void(uint64_t address, uint64_t bytes)> give_back;
};

// A driver's figures about its memory (VIRTIO 1.2, 5.5.6.3), by tag: bytes, or counts since it
// booted. Nothing: the driver has not told.
struct BalloonStatistics {
  static constexpr size_t kTags = 10;
  // The name of each tag: "mem_free"...
  [[nodiscard]] static const char* name_of(size_t tag);
  std::array<std::optional<uint64_t>, kTags> by_tag;
  [[nodiscard]] bool any() const;
};

class VirtioBalloon final : public VirtioDevice {
 public:
  explicit VirtioBalloon(BalloonConfig config) : config_(std::move(config)) {}

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned offset) const override;
  void write_config_byte(unsigned offset, uint8_t value) override;
  void reset() override;
  void forget(unsigned queue) override;
  [[nodiscard]] Served serve(unsigned queue) override;

  // The bytes of its RAM that the guest is asked to keep; less than it has. It need not follow.
  void set_target(uint64_t bytes);
  // The bytes that the guest says it has kept.
  [[nodiscard]] uint64_t kept_bytes() const;
  // As the driver told last, and asks it to tell anew, which takes it a moment.
  [[nodiscard]] BalloonStatistics statistics();
  // Called when kept_bytes() has changed, within a device access.
  void set_on_change(std::function<void()> on_change) { on_change_ = std::move(on_change); }

  // A list of pages that a driver hands over at once is no longer: Linux's has 256 of them.
  static constexpr size_t kMostListed = 4096;
  // Bytes given back before the processor goes on.
  static constexpr uint64_t kMostAtOnce = uint64_t{16} << 20;

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive) override;

 private:
  [[nodiscard]] Served take_lists(unsigned queue, bool gives_back);
  [[nodiscard]] bool take_list(bool gives_back);
  [[nodiscard]] Served take_reports(unsigned queue);
  [[nodiscard]] Served take_statistics(unsigned queue);
  void read_statistics();
  // The others follow these two, as far as they have been agreed on.
  static constexpr unsigned kInflate = 0, kDeflate = 1;
  [[nodiscard]] bool tells_statistics() const;
  [[nodiscard]] unsigned statistics_queue() const { return 2; }
  [[nodiscard]] unsigned report_queue() const { return tells_statistics() ? 3 : 2; }

  // Not state: chain_: kept for its room.
  BalloonConfig config_;
  std::function<void()> on_change_;
  uint32_t target_pages_ = 0;  // in the balloon
  uint32_t actual_pages_ = 0;
  bool is_reporting_ = false;  // a report is given back piece by piece
  uint16_t report_head_ = 0;
  GuestBuffer report_;
  // The driver's one buffer, which it gets back when it is to tell anew.
  bool has_statistics_buffer_ = false;
  bool wants_statistics_ = false;
  uint16_t statistics_head_ = 0;
  BalloonStatistics statistics_;
  DescriptorChain chain_;
};

}  // namespace ringshift
