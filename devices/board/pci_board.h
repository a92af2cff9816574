// PciBoard: what a machine with firmware or disks has besides the AT board: the PCI bus with its
// chip set, and the firmware's memory. Owns: those. Does not own: the AT board,
// RAM, the buses. Called by: machine. Keeps: D1.
// See docs/devices.md for the same as a table.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "devices/board/pc_board.h"
#include "devices/bus/bus.h"
#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"
#include "devices/chips/serial_backend.h"
#include "devices/pci/firmware_memory.h"
#include "devices/pci/pci_chipset.h"
#include "devices/pci/pci_host.h"
#include "devices/screen/bochs_display.h"
#include "devices/storage/disk_backend.h"
#include "devices/storage/floppy.h"
#include "devices/storage/ide_controller.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

struct PciBoardConfig {
  std::vector<uint8_t> firmware;      // empty: none
  std::vector<uint8_t> video_rom;     // empty: none
  DiskBackend* first_disk = nullptr;  // null: no such drive
  DiskBackend* second_disk = nullptr;
  DiskBackend* cdrom = nullptr;           // null: a drive without a medium
  DiskBackend* floppy = nullptr;          // null: no such drive
  SerialBackend* firmware_log = nullptr;  // what firmware prints for its developers, port 0x402
  std::function<void()> on_memory_map_changed;  // the three run inside a port write: take note only
  std::function<void()> on_power_off;
  std::function<void()> on_reset;
};

// What the board is put on.
struct BoardSurroundings {
  VirtualClock& clock;
  PortBus& ports;
  MemoryBus& memory;
  GuestMemory& ram;
  DmaMemory& dma;
};

class PciBoard {
 public:
  PciBoard(const BoardSurroundings& on, PcBoard& board, PciBoardConfig config);
  PciBoard(const PciBoard&) = delete;
  PciBoard& operator=(const PciBoard&) = delete;

  [[nodiscard]] PciHost& host() { return host_; }
  [[nodiscard]] BochsDisplay& display() { return display_; }
  // What firmware would have set up, where there is none: power management, interrupt routes.
  void set_up();
  // The display in a mode of its own, its memory at kFrameBuffer; false: it has no such mode.
  [[nodiscard]] bool show_mode(uint32_t width, uint32_t height, uint32_t bits);
  static constexpr uint32_t kFrameBuffer = 0xfd000000;
  static constexpr uint16_t kPowerManagementPorts = 0xb000;
  static constexpr std::array<uint8_t, 4> kPirqLines{10, 10, 11, 11};

 private:
  void claim_ports(PortBus& ports);

  PciBuses buses_;
  PciHost host_;
  std::unique_ptr<FirmwareMemory> firmware_;  // null: none
  HostBridge host_bridge_;
  IsaBridge isa_bridge_;
  PowerManagement power_;
  IdeController ide_;
  FloppyController floppy_;
  BochsDisplay display_;
  PortWindow log_port_;
};

}  // namespace ringshift
