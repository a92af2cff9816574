#include "devices/board/pci_board.h"

#include <utility>

#include "shadowmmu/base/check.h"

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
      floppy_(board.interrupts().line(6), board.dma(), on.dma, config.floppy),
      display_(buses_, std::move(config.video_rom)),
      log_port_([](uint16_t) { return kLogPresent; },
                [log = config.firmware_log](uint16_t, uint8_t value) { log->transmit(value); }) {
  on.memory.set_ram_size(on.ram.size());
  host_.attach(0, 0, host_bridge_);
  host_.attach(1, 0, isa_bridge_);
  host_.attach(1, 1, ide_);
  host_.attach(1, 3, power_);
  host_.attach(2, 0, display_.function());
  if (config.first_disk != nullptr) ide_.add_disk(0, *config.first_disk);
  if (config.second_disk != nullptr) ide_.add_disk(1, *config.second_disk);
  ide_.add_cdrom(2, config.cdrom);
  board.rtc().set_byte(kCmosFloppyTypes, static_cast<uint8_t>(floppy_.drive_type() << 4));
  claim_ports(on.ports);
  if (config.firmware_log != nullptr) CHECK(on.ports.claim(0x402, 1, log_port_, "firmware log"));
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

}  // namespace ringshift
