// AtapiCdrom: a CD-ROM drive on an IDE cable: packet commands of MMC over ATAPI.
// Owns: sense data, the answer that is moving. Does not own: the medium, which may be absent.
// Called by: ide_channel. Packets are hostile input: every length is checked against what there is.
// See docs/devices.md; ATA/ATAPI-6 9.8, INF-8020i, MMC-3.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/storage/disk_backend.h"
#include "devices/storage/ide_drive.h"

namespace ringshift {

class AtapiCdrom final : public IdeDrive {
 public:
  explicit AtapiCdrom(DiskBackend* medium) : medium_(medium) {}

  void reset() override;
  [[nodiscard]] bool is_packet_device() const override { return true; }
  [[nodiscard]] IdeStep command(uint8_t code) override;
  [[nodiscard]] std::span<uint8_t> block() override;
  [[nodiscard]] IdeStep block_done() override;

 private:
  static constexpr uint32_t kSector = 2048;
  static constexpr uint32_t kRawSector = 2352;
  static constexpr uint32_t kPacketBytes = 12;
  static constexpr uint32_t kSectorsPerBlock = 16;

  // Sense key, additional sense code (MMC-3 annex E).
  struct Sense {
    uint8_t key = 0;
    uint8_t code = 0;
  };
  enum class Activity : uint8_t { None, Packet, Identify, Answer, Read };

  [[nodiscard]] IdeStep begin_packet();
  [[nodiscard]] IdeStep identify();
  [[nodiscard]] IdeStep run_packet();
  [[nodiscard]] IdeStep run_medium_packet();
  [[nodiscard]] IdeStep run_query_packet();
  [[nodiscard]] IdeStep finish();
  [[nodiscard]] IdeStep check(Sense sense);
  // The answer, of which the guest gets at most `allowed` bytes.
  [[nodiscard]] IdeStep answer(const std::vector<uint8_t>& bytes, uint32_t allowed);
  [[nodiscard]] IdeStep read(uint32_t first, uint32_t count, uint32_t sector_bytes);
  [[nodiscard]] IdeStep read_cd();
  [[nodiscard]] IdeStep next_data();
  [[nodiscard]] bool load_sectors();
  [[nodiscard]] IdeStep read_toc();
  [[nodiscard]] IdeStep mode_sense();
  [[nodiscard]] IdeStep configuration();
  [[nodiscard]] uint32_t packet16(unsigned at) const;
  [[nodiscard]] uint32_t packet32(unsigned at) const;
  [[nodiscard]] uint32_t sectors() const;

  DiskBackend* medium_;
  bool ejected_ = false;
  Sense sense_;
  Activity activity_ = Activity::None;
  bool dma_ = false;
  uint32_t chunk_limit_ = 0;  // bytes the guest takes at once by programmed I/O
  std::array<uint8_t, kPacketBytes> packet_{};
  std::vector<uint8_t> buffer_;
  size_t position_ = 0;  // of the chunk in the buffer
  size_t chunk_ = 0;
  uint32_t next_sector_ = 0, sectors_left_ = 0, sector_bytes_ = kSector;
};

}  // namespace ringshift
