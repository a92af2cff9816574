// PcBoard: which device sits at which port, memory range and interrupt line: the board on one page.
// Owns: every device. Does not own: the clock, the buses, the backends.
// Called by: machine. Keeps: D1.
// See docs/devices.md for the same as a table.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/a20_gate.h"
#include "devices/bus.h"
#include "devices/debug_ports.h"
#include "devices/dma8237.h"
#include "devices/i8042.h"
#include "devices/pic8259.h"
#include "devices/pit8254.h"
#include "devices/port92.h"
#include "devices/rtc_cmos.h"
#include "devices/serial_backend.h"
#include "devices/uart16550.h"
#include "devices/vga_text.h"
#include "devices/virtual_clock.h"

namespace ringshift {

struct PcBoardConfig {
  uint64_t ram_bytes = 0;
  int64_t epoch_seconds = 0;  // wall time at virtual time zero
  SerialBackend* serial0 = nullptr;
  SerialBackend* debug_console = nullptr;
  std::function<void(uint8_t)> on_debug_exit;
  std::function<void()> on_reset;  // may be called from inside any port write; must only take note
  std::function<void(bool)> on_a20;
};

class PcBoard {
 public:
  PcBoard(VirtualClock& clock, PortBus& ports, MemoryBus& memory, const PcBoardConfig& config);
  PcBoard(const PcBoard&) = delete;
  PcBoard& operator=(const PcBoard&) = delete;

  [[nodiscard]] InterruptControllerPair& interrupts() { return interrupts_; }
  [[nodiscard]] Uart16550& serial(unsigned index);  // Pre: index < 2
  [[nodiscard]] VgaText& vga() { return vga_; }
  [[nodiscard]] I8042& keyboard_controller() { return keyboard_controller_; }
  [[nodiscard]] DmaControllers& dma() { return dma_; }
  [[nodiscard]] RtcCmos& rtc() { return rtc_; }
  [[nodiscard]] DebugPorts& debug_ports() { return debug_ports_; }

 private:
  void claim_ports(PortBus& ports);

  InterruptControllerPair interrupts_;
  A20Gate a20_;
  Pit8254 pit_;
  RtcCmos rtc_;
  Uart16550 serial0_;
  Uart16550 serial1_;
  I8042 keyboard_controller_;
  Port92 port_92_;
  VgaText vga_;
  DmaControllers dma_;
  DebugPorts debug_ports_;
};

}  // namespace ringshift
