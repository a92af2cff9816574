// FloppyController: an 82077AA with one drive; data move through ISA DMA channel 2. Owns:
// registers, the command being given and its answer. Does not own: the medium, DMA, RAM. Commands
// are hostile input: a bad one ends with an error status. See docs/devices.md; Intel 82077AA
// datasheet 290166.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"
#include "devices/bus/virtual_clock.h"
#include "devices/chips/dma8237.h"
#include "devices/interrupts/interrupt_line.h"
#include "devices/storage/disk_backend.h"

namespace ringshift {

class StateArchive;

class FloppyController {
 public:
  // medium may be null: there is no drive then, and no disk in it.
  FloppyController(VirtualClock& clock, InterruptLine& irq6, DmaControllers& dma, DmaMemory& memory,
                   DiskBackend* medium);

  [[nodiscard]] PortDevice& ports() { return ports_; }            // 0x3f0-0x3f5
  [[nodiscard]] PortDevice& input_port() { return input_port_; }  // 0x3f7

  // The type that CMOS byte 0x10 names: 4 is a drive of 1.44 MB; 0: none.
  [[nodiscard]] uint8_t drive_type() const { return medium_ != nullptr ? 4 : 0; }

  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);

 private:
  static constexpr uint32_t kSector = 512;
  struct Geometry {
    uint32_t cylinders, heads, sectors;
  };
  [[nodiscard]] static Geometry geometry_of(uint64_t bytes);

  [[nodiscard]] uint8_t read_port(unsigned offset);
  void write_port(unsigned offset, uint8_t value);
  void write_output(uint8_t value);
  void write_data(uint8_t value);
  [[nodiscard]] uint8_t read_data();
  [[nodiscard]] uint8_t main_status() const;
  void reset();
  void run_command();
  void run_seek(uint8_t cylinder);
  void sense_interrupt();
  void transfer(bool to_medium);
  void run_on();
  void end_run();
  // One sector, of a command that is running: between DMA and medium, or filled by FORMAT.
  [[nodiscard]] DiskBackend::Progress move_sector();
  [[nodiscard]] DiskBackend::Progress read_sector();
  [[nodiscard]] DiskBackend::Progress write_sector();
  [[nodiscard]] DiskBackend::Progress fill_sector();
  [[nodiscard]] DiskBackend::Progress put_buffer(uint64_t offset);
  void step_to_next_sector();
  [[nodiscard]] uint64_t place() const;  // of the sector, in bytes
  [[nodiscard]] bool is_present(uint64_t offset) const {
    return offset + kSector <= medium_->bytes();
  }
  void read_id();
  void format();
  void answer(std::vector<uint8_t> bytes);
  void finish_transfer(uint8_t st0, uint8_t st1);
  [[nodiscard]] bool has_disk(unsigned drive) const { return drive == 0 && medium_ != nullptr; }

  // Not state: geometry_: the medium's.
  InterruptLine& irq_;
  DmaControllers& dma_;
  DmaMemory& memory_;
  DiskBackend* medium_;
  Geometry geometry_;

  uint8_t output_ = 0;  // digital output register
  uint8_t rate_ = 0;
  std::vector<uint8_t> command_;
  std::vector<uint8_t> result_;
  size_t result_at_ = 0;
  uint8_t cylinder_ = 0;     // where the head is
  uint8_t seek_status_ = 0;  // the answer to SENSE INTERRUPT
  unsigned resets_to_sense_ = 0;
  bool seek_ended_ = false;
  bool changed_ = true;
  bool locked_ = false;
  uint8_t specify_[2] = {};
  uint8_t configure_ = 0;
  // The command that is running: where the next sector is, and the sector that moves.
  enum class Running : uint8_t { None, Read, Write, Format };
  Running running_ = Running::None;
  uint8_t at_cylinder_ = 0, at_head_ = 0, at_sector_ = 1;
  uint32_t filled_ = 0;      // sectors of the track that FORMAT has filled
  bool has_sector_ = false;  // DMA has brought the sector that is being written
  bool ended_ = false;       // DMA takes, or has, no more
  std::array<uint8_t, kSector> buffer_{};
  PortWindow ports_;
  PortWindow input_port_;
  VirtualClock& clock_;
  ClockTimer look_again_;
};

}  // namespace ringshift
