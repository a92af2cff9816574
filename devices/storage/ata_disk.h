// AtaDisk: a hard disk on an IDE cable: LBA28, LBA48 and CHS, programmed I/O, blocks of several
// sectors, DMA. Owns: its parameters, the block that is moving. Does not own: the medium. A failure
// of the host is an error that the guest sees. See docs/devices.md; ATA/ATAPI-6.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "devices/storage/disk_backend.h"
#include "devices/storage/ide_drive.h"
#include "devices/storage/paced_medium.h"

namespace ringshift {

class StateArchive;

class AtaDisk final : public IdeDrive {
 public:
  // serial: at most 20 characters.
  AtaDisk(DiskBackend& medium, std::string serial);

  void reset() override;
  [[nodiscard]] bool is_packet_device() const override { return false; }
  [[nodiscard]] IdeStep command(uint8_t code) override;
  [[nodiscard]] std::span<uint8_t> block() override;
  [[nodiscard]] IdeStep block_done() override;
  [[nodiscard]] IdeStep resume() override;
  [[nodiscard]] Nanoseconds pause() override { return pause_of(&medium_); }
  void visit_state(StateArchive& archive) override;

 private:
  static constexpr uint32_t kSector = 512;
  static constexpr uint32_t kMostPerBlock = 128;  // sectors in our buffer

  enum class Address : uint8_t { Short, Long };  // 28 bits or CHS; 48 bits
  enum class Activity : uint8_t { None, Identify, Read, Write, Flush };

  [[nodiscard]] IdeStep other_command(uint8_t code);
  [[nodiscard]] IdeStep identify();
  [[nodiscard]] IdeStep begin(Activity activity, IdePhase phase, Address address,
                              uint32_t sectors_per_block);
  [[nodiscard]] IdeStep verify(Address address);
  [[nodiscard]] IdeStep next_block();
  [[nodiscard]] IdeStep read_block();
  [[nodiscard]] IdeStep write_block();
  [[nodiscard]] IdeStep set_features();
  [[nodiscard]] IdeStep flush();
  [[nodiscard]] DiskBackend::Progress ask(DiskRequest::Kind kind);
  [[nodiscard]] bool locate(Address address);
  void report_position();
  void report_capacity(Address address);
  [[nodiscard]] uint64_t sectors() const { return medium_.bytes() / kSector; }
  [[nodiscard]] uint32_t default_cylinders() const;

  // Not state: serial_, buffer_: a name, and the memory behind block().
  DiskBackend& medium_;
  std::string serial_;
  uint8_t multiple_ = 0;  // sectors to a block of the MULTIPLE commands; 0: not set
  uint8_t dma_mode_ = 0x42;
  uint32_t heads_ = 16, sectors_per_track_ = 63;
  bool write_cache_ = true;

  Activity activity_ = Activity::None;
  IdePhase phase_ = IdePhase::Idle;
  uint64_t position_ = 0;  // sector
  uint32_t left_ = 0;      // sectors after the current block
  uint32_t per_block_ = 1;
  uint32_t in_block_ = 0;
  bool is_waiting_ = false;  // the medium is at work
  std::array<uint8_t, kMostPerBlock * kSector> buffer_{};
};

}  // namespace ringshift
