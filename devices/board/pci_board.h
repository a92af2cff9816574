// PciBoard: the additions of a machine with firmware or disks to the AT board: the PCI bus with its
// chip set, and the firmware's memory. Owns: those. Does not own: the AT board, RAM, the buses.
// Keeps: D1. See docs/devices.md for the same as a table.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "devices/board/pc_board.h"
#include "devices/bus/bus.h"
#include "devices/bus/byte_ports.h"
#include "devices/bus/dma_memory.h"
#include "devices/chips/serial_backend.h"
#include "devices/network/e1000.h"
#include "devices/network/ne2k_pci.h"
#include "devices/network/network_card.h"
#include "devices/pci/firmware_memory.h"
#include "devices/pci/i6300esb.h"
#include "devices/pci/pci_chipset.h"
#include "devices/pci/pci_host.h"
#include "devices/pci/pci_panic.h"
#include "devices/screen/bochs_display.h"
#include "devices/storage/disk_backend.h"
#include "devices/storage/floppy.h"
#include "devices/storage/ide_controller.h"
#include "devices/virtio/file_port.h"
#include "devices/virtio/packet_port.h"
#include "devices/virtio/random_source.h"
#include "devices/virtio/virtio_balloon.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_device.h"
#include "devices/virtio/virtio_pci.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class StateArchive;

inline constexpr size_t kMostVirtioDisks = 8;

// A place on one of the two IDE cables.
struct IdePlace {
  DiskBackend* medium = nullptr;
  bool is_cdrom = false;  // with or without a medium; a place with neither has no drive
};

struct PciBoardConfig {
  std::vector<uint8_t> firmware;   // empty: none
  std::vector<uint8_t> video_rom;  // empty: none
  // Two on the first cable, two on the second.
  std::array<IdePlace, 4> ide{IdePlace{}, IdePlace{}, IdePlace{nullptr, true}, IdePlace{}};
  DiskBackend* floppy = nullptr;           // null: no such drive
  std::vector<DiskBackend*> virtio_disks;  // at most kMostVirtioDisks
  PacketPort* network = nullptr;           // null: no network card
  NetworkCard network_card = NetworkCard::Virtio;
  MacAddress network_address{};       // the card's
  bool takes_any_address = false;     // VirtioNet, E1000
  RandomSource* random = nullptr;     // null: no entropy device
  PanicRegister::OnEvent on_panic;    // empty: no such function
  std::function<void()> on_watchdog;  // empty: no watchdog
  bool watchdog_has_fired = false;    // in an earlier life
  SerialBackend* console = nullptr;   // null: no virtio console
  // Without give_back there is no balloon; the size of RAM is the board's to say.
  BalloonConfig balloon;
  FilePort* folder = nullptr;                   // null: no shared folder
  std::string folder_tag;                       // the name by which a guest mounts it
  SerialBackend* firmware_log = nullptr;        // the firmware's debug output, port 0x402
  std::function<void()> on_memory_map_changed;  // the three run inside a port write: take note only
  std::function<void()> on_power_off;
  std::function<void()> on_reset;
};

// The machine that the board is put on.
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
  [[nodiscard]] IdeController& ide() { return ide_; }
  // Null: there is none, of both.
  [[nodiscard]] VirtioBalloon* balloon() { return balloon_; }
  [[nodiscard]] VirtioConsole* console() { return console_; }
  void press_power_button() { power_.press_power_button(); }
  // Every device of this board. The PC board must have been visited.
  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive);
  // Sets up, where there is no firmware, power management and interrupt routes as firmware would.
  void set_up();
  // The display in a mode of its own, its memory at kFrameBuffer; false: it has no such mode.
  [[nodiscard]] bool show_mode(uint32_t width, uint32_t height, uint32_t bits);
  static constexpr uint32_t kFrameBuffer = 0xfd000000;
  static constexpr uint16_t kPowerManagementPorts = 0xb000;
  static constexpr std::array<uint8_t, 4> kPirqLines{10, 10, 11, 11};

 private:
  void claim_ports(PortBus& ports);
  // Slots: the network card, disks, the entropy device, the shared folder, the balloon, the
  // console, the panic register, the watchdog.
  static constexpr unsigned kNetworkSlot = 3, kVirtioDiskSlot = 4;
  static constexpr unsigned kRandomSlot = kVirtioDiskSlot + kMostVirtioDisks;
  static constexpr unsigned kFolderSlot = kRandomSlot + 1, kBalloonSlot = kFolderSlot + 1;
  static constexpr unsigned kConsoleSlot = kBalloonSlot + 1, kPanicSlot = kConsoleSlot + 1;
  static constexpr unsigned kWatchdogSlot = kPanicSlot + 1;
  struct VirtioSlot {
    unsigned slot;
    std::unique_ptr<VirtioDevice> device;
    std::unique_ptr<VirtioPci> function;
  };
  void add_network(const BoardSurroundings& on, const PciBoardConfig& config);
  void add_others(const BoardSurroundings& on, PciBoardConfig& config);
  void add_virtio(const BoardSurroundings& on, unsigned slot, std::unique_ptr<VirtioDevice> device);

  // Not state: buses_: only where the functions are attached.
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
  std::unique_ptr<E1000> e1000_;   // null: none
  std::unique_ptr<Ne2kPci> ne2k_;  // null: none
  std::vector<VirtioSlot> virtio_;
  // Two of them.
  VirtioBalloon* balloon_ = nullptr;
  VirtioConsole* console_ = nullptr;
  std::unique_ptr<PciPanic> panic_;     // null: none
  std::unique_ptr<I6300esb> watchdog_;  // null: none
};

}  // namespace ringshift
