// AtapiCdrom: a CD-ROM drive on an IDE cable: packet commands of MMC over ATAPI. Owns: sense data,
// the answer that is moving. Does not own: the medium, which may be absent. Packets are hostile
// input: every length is checked. See docs/devices.md; ATA/ATAPI-6 9.8, INF-8020i, MMC-3.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "devices/storage/disk_backend.h"
#include "devices/storage/ide_drive.h"
#include "devices/storage/paced_medium.h"

namespace ringshift {

class StateArchive;

class AtapiCdrom final : public IdeDrive {
 public:
  explicit AtapiCdrom(DiskBackend* medium) : medium_(nullptr) { insert(medium); }

  void reset() override;
  [[nodiscard]] bool is_packet_device() const override { return true; }
  [[nodiscard]] IdeStep command(uint8_t code) override;
  [[nodiscard]] std::span<uint8_t> block() override;
  [[nodiscard]] IdeStep block_done() override;
  [[nodiscard]] IdeStep resume() override;
  [[nodiscard]] Nanoseconds pause() override { return pause_of(medium_); }
  void visit_state(StateArchive& archive) override;

  // ---- from outside: hands at the drive ----
  // The guest has asked that nobody takes the medium out (PREVENT ALLOW MEDIUM REMOVAL).
  [[nodiscard]] bool is_locked() const { return locked_; }
  [[nodiscard]] bool is_open() const { return ejected_; }
  [[nodiscard]] const DiskBackend* medium() const { return medium_; }
  // The button of a drive that the guest has locked: the guest is told, and may open it.
  void press_eject_button() { event_ = MediaEvent::EjectRequest; }
  // Opens the tray, locked or not, as a paper clip does.
  void open_tray();
  void close_tray();
  // Pre: the tray is open. Null: nothing is in it any more. A transfer under way fails.
  void insert(DiskBackend* medium);
  // Sets the listener for opening and closing of the tray, the guest's own too; it must only take
  // note.
  void set_on_tray(std::function<void(bool is_open)> on_tray) { on_tray_ = std::move(on_tray); }

 private:
  static constexpr uint32_t kSector = 2048;
  static constexpr uint32_t kRawSector = 2352;
  static constexpr uint32_t kPacketBytes = 12;
  static constexpr uint32_t kSectorsPerBlock = 16;

  // Sense key, additional sense code (MMC-3 annex E).
  struct Sense {
    uint8_t key = 0;
    uint8_t code = 0;
    static constexpr unsigned kStateVersion = 1;
    void visit_state(StateArchive& archive);
  };
  enum class Activity : uint8_t { None, Packet, Identify, Answer, Read };
  // An event that GET EVENT STATUS NOTIFICATION reports once (MMC-3, 6.6.4).
  enum class MediaEvent : uint8_t { None, EjectRequest, NewMedium, MediumGone };

  void move_tray(bool open);
  [[nodiscard]] IdeStep media_event();

  void end_data();
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
  [[nodiscard]] DiskBackend::Progress load_sectors();
  void put_raw_sector(uint32_t index);
  void stop_medium();
  [[nodiscard]] IdeStep read_toc();
  [[nodiscard]] IdeStep mode_sense();
  [[nodiscard]] IdeStep configuration();
  [[nodiscard]] uint32_t packet16(unsigned at) const;
  [[nodiscard]] uint32_t packet32(unsigned at) const;
  [[nodiscard]] uint32_t sectors() const;

  // Not state: incoming_: read data passes through it; kept for its room.
  DiskBackend* medium_;
  std::vector<uint8_t> incoming_;
  bool ejected_ = false;
  bool locked_ = false;
  bool changed_ = false;  // the guest has not been told that the medium may be another
  MediaEvent event_ = MediaEvent::None;
  std::function<void(bool)> on_tray_;
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
