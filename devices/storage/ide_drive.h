// IdeDrive: one drive of an IDE cable, as its channel drives it: registers, commands, and blocks of
// data that move by programmed I/O or by DMA alike. Owns: the registers. Derived: ata_disk,
// atapi_cdrom. See docs/devices.md; ATA/ATAPI-6.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "devices/bus/virtual_clock.h"

namespace ringshift {

class StateArchive;

// Status and error bits (ATA/ATAPI-6, 7.15 and 7.9).
inline constexpr uint8_t kIdeError = 0x01, kIdeDataRequest = 0x08, kIdeSeekComplete = 0x10;
inline constexpr uint8_t kIdeFault = 0x20, kIdeReady = 0x40, kIdeBusy = 0x80;
inline constexpr uint8_t kIdeAborted = 0x04, kIdeNotFound = 0x10, kIdeUncorrectable = 0x40;

// Registers; where there are two bytes, [0] is the current and [1] the one written before it, which
// the 48-bit commands use as high half.
struct IdeRegisters {
  uint8_t error = 1;
  uint8_t features[2] = {};
  uint8_t count[2] = {1, 0};
  uint8_t low[2] = {1, 0};
  uint8_t mid[2] = {};
  uint8_t high[2] = {};
  uint8_t device = 0;
  uint8_t status = kIdeReady | kIdeSeekComplete;

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);
};

// The next phase, and whether the drive asks for an interrupt now. Busy: the drive waits for its
// medium, and has nothing to move.
enum class IdePhase : uint8_t { Idle, DataIn, DataOut, DmaIn, DmaOut, Busy };
struct IdeStep {
  IdePhase phase = IdePhase::Idle;
  bool interrupt = true;
};

class IdeDrive {
 public:
  virtual ~IdeDrive() = default;
  IdeRegisters registers;

  // Power-on and reset: signature in the registers, everything else as at the start.
  virtual void reset() = 0;
  [[nodiscard]] virtual bool is_packet_device() const = 0;
  [[nodiscard]] virtual IdeStep command(uint8_t code) = 0;
  // The bytes to move in the phase that the last step began; not empty then, and of even length.
  [[nodiscard]] virtual std::span<uint8_t> block() = 0;
  // How long the drive's medium wants to be left alone before the next block (paced_medium.h).
  [[nodiscard]] virtual Nanoseconds pause() { return 0; }
  // All of block() has been moved.
  [[nodiscard]] virtual IdeStep block_done() = 0;
  // Goes on in a phase that is Busy: the medium may have done its request. May be called too early.
  [[nodiscard]] virtual IdeStep resume() = 0;
  // Called when resume() is of use: inside DiskBackend::deliver().
  void set_on_ready(std::function<void()> on_ready) { on_ready_ = std::move(on_ready); }

  // Registers, and the command that is under way with the block that is moving; not the medium,
  // which must be of the same size. A state that has been loaded never names a drive that is not
  // there.
  static constexpr unsigned kStateVersion = 3;
  virtual void visit_state(StateArchive& archive) = 0;

 protected:
  void note_ready() {
    if (on_ready_) on_ready_();
  }
  IdeStep wait() {
    registers.status = kIdeReady | kIdeSeekComplete;
    registers.error = 0;
    return {IdePhase::Busy, false};
  }
  IdeStep done() {
    registers.status = kIdeReady | kIdeSeekComplete;
    registers.error = 0;
    return {};
  }
  IdeStep fail(uint8_t error) {
    registers.status = kIdeReady | kIdeSeekComplete | kIdeError;
    registers.error = error;
    return {};
  }

 private:
  std::function<void()> on_ready_;
};

}  // namespace ringshift
