// PcBoard: the board on one page: the device at each port, memory range and interrupt line. Owns:
// every device. Does not own: the clock, the buses, the backends. Keeps: D1. See docs/devices.md
// for the same as a table.
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/bus.h"
#include "devices/bus/virtual_clock.h"
#include "devices/chips/a20_gate.h"
#include "devices/chips/coprocessor_error.h"
#include "devices/chips/debug_ports.h"
#include "devices/chips/dma8237.h"
#include "devices/chips/port92.h"
#include "devices/chips/serial_backend.h"
#include "devices/chips/uart16550.h"
#include "devices/input/i8042.h"
#include "devices/interrupts/pic8259.h"
#include "devices/screen/vga_text.h"
#include "devices/timers/pit8254.h"
#include "devices/timers/rtc_cmos.h"

namespace ringshift {

class StateArchive;

struct PcBoardConfig {
  uint64_t ram_bytes = 0;
  int64_t epoch_seconds = 0;  // wall time at virtual time zero
  SerialBackend* serial0 = nullptr;
  SerialBackend* serial1 = nullptr;
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
  [[nodiscard]] CoprocessorError& coprocessor_error() { return coprocessor_error_; }

  // Every device. The clock must have been visited.
  static constexpr unsigned kStateVersion = 2;
  void visit_state(StateArchive& archive);

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
  CoprocessorError coprocessor_error_;
};

}  // namespace ringshift
