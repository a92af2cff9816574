// The chip set's own PCI functions: host bridge (82441FX), ISA bridge (82371SB) and power
// management (82371AB). Owns: their registers. Does not own: shadow RAM, interrupt wires. See
// docs/devices.md; Intel datasheets 290549 (82441FX), 290550 (PIIX3), 290562 (PIIX4).
#pragma once

#include <cstdint>
#include <functional>

#include "devices/bus/byte_ports.h"
#include "devices/bus/virtual_clock.h"
#include "devices/pci/firmware_memory.h"
#include "devices/pci/pci_function.h"
#include "devices/pci/pci_host.h"
#include "devices/timers/tick_rate.h"

namespace ringshift {

class StateArchive;

// 00:00.0. firmware may be null: a machine without a BIOS has no shadow RAM to switch.
class HostBridge final : public PciFunction {
 public:
  HostBridge(PciBuses& buses, FirmwareMemory* firmware);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 protected:
  void on_config_written(unsigned first, unsigned length) override;

 private:
  void apply_shadow();

  PciBuses& buses_;
  FirmwareMemory* firmware_;
};

// 00:01.0: routes PIRQA# to PIRQD#.
class IsaBridge final : public PciFunction {
 public:
  IsaBridge(PciBuses& buses, PciHost& host);

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 protected:
  void on_config_written(unsigned first, unsigned length) override;

 private:
  [[nodiscard]] unsigned routed_line(unsigned pirq) const;

  PciHost& host_;
};

// 00:01.3: the ACPI fixed registers, the power-management timer, and the port that ACPI is turned
// on with. The block of registers lies where the guest puts it.
class PowerManagement final : public PciFunction {
 public:
  PowerManagement(PciBuses& buses, VirtualClock& clock, InterruptLine& sci,
                  std::function<void()> on_power_off);
  ~PowerManagement() override;

  [[nodiscard]] PortDevice& command_ports() { return command_ports_; }  // 0xb2-0xb3
  [[nodiscard]] PortDevice& event_ports() { return event_ports_; }      // 0xafe0-0xafe3
  // Sets the button's status bit, and raises the SCI if the guest wants it; the guest decides what
  // to do.
  void press_power_button();

  static constexpr unsigned kStateVersion = 1;
  void visit_state(StateArchive& archive) override;

 protected:
  void on_config_written(unsigned first, unsigned length) override;

 private:
  [[nodiscard]] uint8_t read_register(unsigned offset);
  void write_register(unsigned offset, uint8_t value);
  void write_control(uint16_t value);
  void write_command(uint16_t offset, uint8_t value);
  [[nodiscard]] int64_t timer_ticks();
  void catch_up();
  void update();
  void place();

  PciBuses& buses_;
  VirtualClock& clock_;
  InterruptLine& sci_;
  std::function<void()> on_power_off_;
  // Not state: claimed_at_: it follows from the configuration space.
  uint16_t status_ = 0;
  uint16_t enable_ = 0;
  uint16_t control_ = 0;
  int64_t carries_seen_ = 0;  // changes of the timer's top bit
  uint8_t command_[2] = {};
  uint8_t general_events_[4] = {};
  uint32_t claimed_at_ = 0;
  ClockTimer carry_timer_;
  PortWindow registers_;
  PortWindow command_ports_;
  PortWindow event_ports_;
};

}  // namespace ringshift
