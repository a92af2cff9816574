#include "devices/board/pci_board.h"

#include <string>
#include <utility>

#include "devices/virtio/virtio_9p.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_rng.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr unsigned kCmosFloppyTypes = 0x10;
// Firmware looks for this value before it prints.
constexpr uint8_t kLogPresent = 0xe9;

}  // namespace

PciBoard::PciBoard(const BoardSurroundings& on, PcBoard& board, PciBoardConfig config)
    : buses_{on.ports, on.memory, std::move(config.on_memory_map_changed)},
      host_(board.interrupts(), std::move(config.on_reset)),
      firmware_(config.firmware.empty()
                    ? nullptr
                    : std::make_unique<FirmwareMemory>(std::move(config.firmware), on.ram, on.dma,
                                                       on.memory)),
      host_bridge_(buses_, firmware_.get()),
      isa_bridge_(buses_, host_),
      power_(buses_, on.clock, host_.system_control_wire(), std::move(config.on_power_off)),
      ide_(buses_, on.clock, on.dma, board.interrupts().line(14), board.interrupts().line(15)),
      floppy_(on.clock, board.interrupts().line(6), board.dma(), on.dma, config.floppy),
      display_(buses_, std::move(config.video_rom)),
      log_port_([](uint16_t) { return kLogPresent; },
                [log = config.firmware_log](uint16_t, uint8_t value) { log->transmit(value); }) {
  on.memory.set_ram_size(on.ram.size());
  host_.attach(0, 0, host_bridge_);
  host_.attach(1, 0, isa_bridge_);
  host_.attach(1, 1, ide_);
  host_.attach(1, 3, power_);
  host_.attach(2, 0, display_.function());
  for (unsigned i = 0; i < config.ide.size(); ++i) {
    const IdePlace& place = config.ide[i];
    if (place.is_cdrom) {
      ide_.add_cdrom(i, place.medium);
    } else if (place.medium != nullptr) {
      ide_.add_disk(i, *place.medium);
    }
  }
  add_network(on, config);
  CHECK(config.virtio_disks.size() <= kMostVirtioDisks);
  for (unsigned i = 0; i < config.virtio_disks.size(); ++i) {
    add_virtio(
        on, kVirtioDiskSlot + i,
        std::make_unique<VirtioBlk>(*config.virtio_disks[i], "RSV000" + std::to_string(i + 1)));
  }
  if (config.random != nullptr) {
    add_virtio(on, kRandomSlot, std::make_unique<VirtioRng>(*config.random));
  }
  add_others(on, config);
  board.rtc().set_byte(kCmosFloppyTypes, static_cast<uint8_t>(floppy_.drive_type() << 4));
  claim_ports(on.ports);
  if (config.firmware_log != nullptr) CHECK(on.ports.claim(0x402, 1, log_port_, "firmware log"));
}

void PciBoard::add_others(const BoardSurroundings& on, PciBoardConfig& config) {
  if (config.folder != nullptr) {
    add_virtio(on, kFolderSlot, std::make_unique<Virtio9p>(*config.folder, config.folder_tag));
  }
  if (config.balloon.give_back) {
    config.balloon.ram_bytes = on.ram.size();
    auto balloon = std::make_unique<VirtioBalloon>(std::move(config.balloon));
    balloon_ = balloon.get();
    add_virtio(on, kBalloonSlot, std::move(balloon));
  }
  if (config.console != nullptr) {
    auto console = std::make_unique<VirtioConsole>(*config.console);
    console_ = console.get();
    add_virtio(on, kConsoleSlot, std::move(console));
  }
  if (config.on_panic) {
    panic_ = std::make_unique<PciPanic>(buses_, std::move(config.on_panic));
    host_.attach(kPanicSlot, 0, *panic_);
  }
  if (config.on_watchdog) {
    watchdog_ = std::make_unique<I6300esb>(buses_, on.clock, std::move(config.on_watchdog),
                                           config.watchdog_has_fired);
    host_.attach(kWatchdogSlot, 0, *watchdog_);
  }
}

void PciBoard::add_network(const BoardSurroundings& on, const PciBoardConfig& config) {
  if (config.network == nullptr) return;
  if (config.network_card == NetworkCard::Virtio) {
    add_virtio(on, kNetworkSlot,
               std::make_unique<VirtioNet>(*config.network, config.network_address,
                                           config.takes_any_address));
    return;
  }
  if (config.network_card == NetworkCard::Ne2k) {
    const Ne2kSurroundings around{buses_, on.clock, host_.wire(kNetworkSlot, 1)};
    ne2k_ = std::make_unique<Ne2kPci>(around, *config.network, config.network_address);
    host_.attach(kNetworkSlot, 0, *ne2k_);
    return;
  }
  const E1000Surroundings around{buses_, on.clock, on.dma, host_.wire(kNetworkSlot, 1)};
  e1000_ = std::make_unique<E1000>(around, *config.network, config.network_address,
                                   config.takes_any_address);
  host_.attach(kNetworkSlot, 0, *e1000_);
}

void PciBoard::add_virtio(const BoardSurroundings& on, unsigned slot,
                          std::unique_ptr<VirtioDevice> device) {
  const VirtioSurroundings around{buses_, on.clock, on.dma, on.ram.size(), host_.wire(slot, 1)};
  auto function = std::make_unique<VirtioPci>(around, *device);
  host_.attach(slot, 0, *function);
  virtio_.push_back({slot, std::move(device), std::move(function)});
}

void PciBoard::set_up() {
  constexpr unsigned kPmBase = 0x40, kPmEnable = 0x80, kPirqRoute = 0x60, kInterruptLine = 0x3c;
  constexpr uint8_t kSciLine = 9;
  power_.write_config(kPmBase, AccessWidth::Dword, kPowerManagementPorts | 1);
  power_.write_config(kPmEnable, AccessWidth::Byte, 1);
  power_.write_config(kInterruptLine, AccessWidth::Byte, kSciLine);
  for (unsigned i = 0; i < kPirqLines.size(); ++i) {
    isa_bridge_.write_config(kPirqRoute + i, AccessWidth::Byte, kPirqLines[i]);
  }
  const auto set_line = [](PciFunction& function, unsigned slot) {
    const uint8_t line = kPirqLines[(slot + kPirqLines.size() - 1) % kPirqLines.size()];
    function.write_config(kInterruptLine, AccessWidth::Byte, line);
  };
  for (VirtioSlot& one : virtio_) set_line(*one.function, one.slot);
  if (e1000_ != nullptr) set_line(*e1000_, kNetworkSlot);
  if (ne2k_ != nullptr) set_line(*ne2k_, kNetworkSlot);
}

bool PciBoard::show_mode(uint32_t width, uint32_t height, uint32_t bits) {
  constexpr unsigned kCommand = 0x04, kFirstBar = 0x10;
  constexpr uint32_t kDecodesMemory = 2;
  if (!display_.show(width, height, bits)) return false;
  display_.function().write_config(kFirstBar, AccessWidth::Dword, kFrameBuffer);
  display_.function().write_config(kCommand, AccessWidth::Word, kDecodesMemory);
  return true;
}

void PciBoard::claim_ports(PortBus& ports) {
  CHECK(ports.claim(0x1ce, 4, display_.ports(), "display"));
  for (unsigned i = 0; i < 2; ++i) {
    IdeChannel& channel = ide_.channel(i);
    CHECK(ports.claim(i == 0 ? 0x1f0 : 0x170, 8, channel.command_ports(), "ide"));
    CHECK(ports.claim(i == 0 ? 0x3f6 : 0x376, 1, channel.control_port(), "ide control"));
  }
  CHECK(ports.claim(0x3f0, 6, floppy_.ports(), "floppy"));
  CHECK(ports.claim(0x3f7, 1, floppy_.input_port(), "floppy input"));
  CHECK(ports.claim(0xcf8, 8, host_, "pci configuration"));
  CHECK(ports.claim(0xb2, 2, power_.command_ports(), "power management command"));
  CHECK(ports.claim(0xafe0, 4, power_.event_ports(), "general purpose events"));
}

void PciBoard::visit_state(StateArchive& archive) {
  archive.same("with firmware", firmware_ != nullptr ? 1 : 0);
  if (firmware_ != nullptr) archive.part("firmware", *firmware_);
  archive.part("host", host_);
  archive.part("host bridge", host_bridge_);
  archive.part("isa bridge", isa_bridge_);
  archive.part("power", power_);
  archive.part("ide", ide_);
  archive.part("floppy", floppy_);
  archive.part("display", display_);
  if (e1000_ != nullptr) archive.part("e1000", *e1000_);
  if (ne2k_ != nullptr) archive.part("ne2k", *ne2k_);
  if (panic_ != nullptr) archive.part("pvpanic", *panic_);
  if (watchdog_ != nullptr) archive.part("watchdog", *watchdog_);
  for (VirtioSlot& one : virtio_) {
    archive.part("virtio " + std::to_string(one.slot), *one.function);
  }
}

}  // namespace ringshift
