#include "devices/board/pc_board.h"

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

// CMOS fields of the AT BIOS that describe the board.
constexpr unsigned kCmosFloppyTypes = 0x10;
constexpr unsigned kCmosEquipment = 0x14;
constexpr uint8_t kEquipmentFpuAndVga = 0x02;  // display field 00: an adapter with its own BIOS

}  // namespace

PcBoard::PcBoard(VirtualClock& clock, PortBus& ports, MemoryBus& memory,
                 const PcBoardConfig& config)
    : a20_(config.on_a20),
      pit_(clock, interrupts_.line(0)),
      rtc_(clock, interrupts_.line(8), config.epoch_seconds),
      serial0_(clock, interrupts_.line(4), config.serial0),
      serial1_(clock, interrupts_.line(3), config.serial1),
      keyboard_controller_(interrupts_.line(1), interrupts_.line(12), a20_, config.on_reset),
      port_92_(a20_, config.on_reset),
      debug_ports_(config.debug_console, config.on_debug_exit),
      coprocessor_error_(interrupts_.line(13)) {
  rtc_.set_memory_size(config.ram_bytes);
  rtc_.set_byte(kCmosFloppyTypes, 0);
  rtc_.set_byte(kCmosEquipment, kEquipmentFpuAndVga);
  claim_ports(ports);
  CHECK(memory.claim(GuestPhysical(kVgaMemoryBase), kVgaMemoryBytes, vga_, "vga memory"));
}

void PcBoard::claim_ports(PortBus& ports) {
  const struct {
    uint16_t first;
    uint32_t count;
    PortDevice& device;
    const char* name;
  } table[] = {
      {0x000, 16, dma_.first_ports(), "dma 1"},
      {0x020, 2, interrupts_.master_ports(), "pic 1"},
      {0x040, 4, pit_.timer_ports(), "pit"},
      {0x060, 1, keyboard_controller_.data_port(), "keyboard data"},
      {0x061, 1, pit_.system_control_port(), "system control b"},
      {0x064, 1, keyboard_controller_.command_port(), "keyboard command"},
      {0x070, 2, rtc_, "rtc and cmos"},
      {0x080, 1, debug_ports_.post_port(), "post code"},
      {0x081, 15, dma_.page_ports(), "dma pages"},
      {0x092, 1, port_92_, "system control a"},
      {0x0a0, 2, interrupts_.slave_ports(), "pic 2"},
      {0x0c0, 32, dma_.second_ports(), "dma 2"},
      {0x0e9, 1, debug_ports_.console_port(), "debug console"},
      {0x0ed, 1, debug_ports_.delay_port(), "i/o delay"},
      {0x0f0, 1, coprocessor_error_, "coprocessor error"},
      {0x0f4, 4, debug_ports_.exit_port(), "debug exit"},
      {0x2f8, 8, serial1_, "serial 2"},
      {0x3b4, 2, vga_.mono_crtc_ports(), "vga crtc (mono)"},
      {0x3ba, 1, vga_.mono_status_port(), "vga status (mono)"},
      {0x3c0, 16, vga_.color_ports(), "vga"},
      {0x3d4, 2, vga_.crtc_ports(), "vga crtc"},
      {0x3da, 1, vga_.status_port(), "vga status"},
      {0x3f8, 8, serial0_, "serial 1"},
      {0x4d0, 2, interrupts_.elcr_ports(), "edge/level control"},
  };
  for (const auto& row : table) CHECK(ports.claim(row.first, row.count, row.device, row.name));
}

void PcBoard::visit_state(StateArchive& archive) {
  archive.part("interrupts", interrupts_);
  archive.part("a20", a20_);
  archive.part("pit", pit_);
  archive.part("rtc", rtc_);
  archive.part("serial 0", serial0_);
  archive.part("serial 1", serial1_);
  archive.part("keyboard controller", keyboard_controller_);
  archive.part("port 92", port_92_);
  archive.part("vga", vga_);
  archive.part("dma", dma_);
  archive.part("debug ports", debug_ports_);
  if (archive.version() >= 2) archive.part("coprocessor error", coprocessor_error_);
}

Uart16550& PcBoard::serial(unsigned index) {
  CHECK(index < 2);
  return index == 0 ? serial0_ : serial1_;
}

}  // namespace ringshift
