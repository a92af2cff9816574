// VirtioBlk: a virtio disk: requests of any number of sectors, of which one is under way at a time.
// Owns: that request. Does not own: the medium. See docs/devices.md; VIRTIO 1.1, 5.2.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "devices/storage/disk_backend.h"
#include "devices/storage/paced_medium.h"
#include "devices/virtio/guest_buffer.h"
#include "devices/virtio/virtio_device.h"

namespace ringshift {

class StateArchive;

class VirtioBlk final : public VirtioDevice {
 public:
  // serial: the driver's answer when it asks, at most 20 characters.
  VirtioBlk(DiskBackend& medium, std::string serial);

  [[nodiscard]] VirtioKind kind() const override;
  [[nodiscard]] uint8_t config_byte(unsigned offset) const override;
  void reset() override { stop(); }
  void forget(unsigned) override { stop(); }
  [[nodiscard]] Served serve(unsigned queue) override;
  [[nodiscard]] Nanoseconds pause() override {
    return is_waiting_ ? kLookAgain : pause_of(&medium_);
  }

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 private:
  // Types of requests, and how they end (5.2.6).
  enum Type : uint32_t {
    kRead = 0,
    kWrite = 1,
    kFlush = 4,
    kIdentify = 8,
    kDiscard = 11,
    kWriteZeroes = 13
  };
  enum Status : uint8_t { kOk = 0, kIoError = 1, kUnsupported = 2 };
  // A range that is to be discarded, or to be filled with zeros (5.2.6).
  struct Range {
    uint64_t sector = 0;
    uint32_t sectors = 0;
    uint32_t flags = 0;
  };

  [[nodiscard]] uint64_t sectors() const { return medium_.bytes() / kSector; }
  [[nodiscard]] bool is_on_medium(uint64_t sector, uint64_t count) const {
    return sector <= sectors() && count <= sectors() - sector;
  }
  void make_config();
  [[nodiscard]] bool begin();
  void judge(uint64_t sector);
  // Does a part of the current request, perhaps its last. Returns the cost, in bytes moved.
  size_t step();
  size_t read_on();
  size_t write_on();
  size_t flush();
  size_t clear_on();
  size_t identify();
  [[nodiscard]] Range first_range() const;
  [[nodiscard]] Status judge(const Range& range) const;
  // Asks the medium. False: the request waits, or has failed, and has then ended.
  [[nodiscard]] bool has_done(const DiskRequest& request);
  void finish(Status status);
  void end();
  void stop();

  static constexpr uint64_t kSector = 512;
  // Not state: serial_, config_: set when it is made.
  // Not state: buffer_, chain_: where bytes and chains pass through; kept for their room.
  // Not state: is_waiting_, range_: the medium is asked again where the machine goes on.
  DiskBackend& medium_;
  std::string serial_;
  std::vector<uint8_t> config_;
  std::vector<uint8_t> buffer_;
  DescriptorChain chain_;
  // The request that is under way:
  bool is_active_ = false;
  uint16_t head_ = 0;
  uint32_t type_ = 0;
  uint64_t offset_ = 0;  // of the next bytes on the medium
  uint64_t written_ = 0;
  uint64_t status_address_ = 0;
  GuestBuffer data_;
  Range range_;
  bool is_waiting_ = false;  // the medium is at work on its next request
};

}  // namespace ringshift
