// IdeChannel: one IDE cable: the registers as the guest sees them, two drives, the interrupt wire,
// and the hand-over of data by programmed I/O. Owns: selection, control, position in the block.
// Does not own: the drives. See docs/devices.md; ATA/ATAPI-6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "devices/bus/byte_ports.h"
#include "devices/bus/device.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/storage/ide_drive.h"

namespace ringshift {

class StateArchive;

class IdeChannel {
 public:
  // on_interrupt: the wire has risen, which a bus master notes. on_dma: a DMA phase has begun, or
  // goes on after a wait. on_busy: the drive waits for its medium; resume() is to be called soon,
  // and again until it no longer waits.
  IdeChannel(InterruptLine& line, std::function<void()> on_interrupt, std::function<void()> on_dma,
             std::function<void()> on_busy);

  // Pre: position 0 or 1, and nobody is there yet.
  void attach(unsigned position, IdeDrive& drive);
  [[nodiscard]] PortDevice& command_ports() { return command_ports_; }  // 0x1f0-0x1f7
  [[nodiscard]] PortDevice& control_port() { return control_port_; }    // 0x3f6

  // Bus mastering. dma_in() is true for data that goes to memory. move() hands over at most
  // `longest` bytes of the rest of the block, in place; dma_moved() says that they were moved.
  [[nodiscard]] bool dma_waiting() const {
    return phase_ == IdePhase::DmaIn || phase_ == IdePhase::DmaOut;
  }
  [[nodiscard]] bool dma_in() const { return phase_ == IdePhase::DmaIn; }
  [[nodiscard]] std::span<uint8_t> dma_block();
  // Nanoseconds before more of it is to be moved; 0: none. Pre: dma_waiting().
  [[nodiscard]] Nanoseconds dma_pause() { return selected() != nullptr ? selected()->pause() : 0; }
  void dma_moved(size_t bytes);
  // Some of the command's data have been moved.
  [[nodiscard]] bool dma_has_moved() const { return dma_has_moved_; }
  // Looks whether a drive that waits for its medium has to wait on.
  void resume();

  // The drives, and then how far the block between them and the guest has moved.
  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);

 private:
  class CommandPorts final : public PortDevice {
   public:
    explicit CommandPorts(IdeChannel& owner) : owner_(owner) {}
    [[nodiscard]] uint32_t read(uint16_t offset, AccessWidth width) override;
    void write(uint16_t offset, AccessWidth width, uint32_t value) override;

   private:
    IdeChannel& owner_;
  };

  [[nodiscard]] IdeDrive* selected() const { return drives_[selection_]; }
  // The drive whose registers the guest reads: a drive 0 alone answers for an absent drive 1.
  [[nodiscard]] const IdeDrive* answering() const {
    return selected() != nullptr ? selected() : drives_[0];
  }
  [[nodiscard]] uint32_t read_data(AccessWidth width);
  void write_data(AccessWidth width, uint32_t value);
  [[nodiscard]] uint8_t read_register(unsigned index);
  [[nodiscard]] uint8_t status() const;
  void write_register(unsigned index, uint8_t value);
  void write_command(uint8_t code);
  void write_control(uint8_t value);
  void diagnose();
  void reset();
  void enter(const IdeStep& step);
  [[nodiscard]] bool is_moving() const {
    return phase_ != IdePhase::Idle && phase_ != IdePhase::Busy;
  }
  [[nodiscard]] bool is_busy(const IdeDrive* drive) const {
    return phase_ == IdePhase::Busy && drive == active_;
  }
  void move_on(size_t bytes);
  void set_interrupt(bool pending);

  // Not state: command_ports_: they lead here.
  InterruptLine& line_;
  std::function<void()> on_interrupt_;
  std::function<void()> on_dma_;
  std::function<void()> on_busy_;
  std::array<IdeDrive*, 2> drives_{};
  unsigned selection_ = 0;
  uint8_t control_ = 0;
  bool interrupt_pending_ = false;
  IdeDrive* active_ = nullptr;  // whose phase it is: the guest may select the other one meanwhile
  IdePhase phase_ = IdePhase::Idle;
  std::span<uint8_t> block_;
  size_t position_ = 0;
  bool dma_has_moved_ = false;
  CommandPorts command_ports_;
  PortWindow control_port_;
};

}  // namespace ringshift
