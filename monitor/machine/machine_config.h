// MachineConfig: all that a machine is made of, and MachineOutcome: how its run ended. Values. See
// docs/architecture.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "devices/host/control_port.h"
#include "devices/host/screen/screen_port.h"
#include "devices/input/keyboard_script.h"
#include "monitor/boot/boot.h"
#include "monitor/boot/boot_firmware.h"
#include "monitor/machine/added_devices.h"
#include "monitor/machine/guest_events.h"
#include "monitor/machine/machine_foundation.h"
#include "monitor/machine/media/base_guard.h"
#include "monitor/machine/media/media.h"
#include "monitor/machine/ports/guest_ports.h"
#include "monitor/machine/processor.h"
#include "monitor/migration/outgoing_migration.h"
#include "monitor/network/network_link.h"
#include "monitor/share/share_link.h"

namespace ringshift {

class InputTape;
class Machine;
class MigrationListener;
class Replica;

// How a machine saves itself when it is asked to.
struct SaveRequest {
  std::string path;                // empty: it is not asked
  bool then_run = false;           // false: it ends, with StopReason::Saved
  Nanoseconds after = 0;           // also by itself, at this guest time; 0: not
  std::string at;                  // also when this has come out of the serial port; empty: not
  std::vector<std::string> words;  // of the command line, kept in the file
};

struct MachineConfig {
  BootRequest boot;  // ignored if there is firmware
  FirmwareRequest firmware;
  Media media;
  std::vector<AddedDevice> devices;  // --device
  EventActions actions;
  bool watchdog_has_fired = false;  // in an earlier life of the guest
  NetworkRequest network;
  // The other end of the card's cable; outlives the machine. Null: no card, unless the tape of a
  // replay has one.
  NetworkLink* network_link = nullptr;
  ShareRequest share;  // a folder of the host's
  // The link to the folder's server; outlives the machine. Null: there is no folder, or it is a
  // replay's.
  ShareLink* share_link = nullptr;
  bool apic = false;          // local APIC, I/O APIC
  bool hpet = false;          // with an APIC
  bool acpi = false;          // without firmware: ACPI and MP tables, and the PCI board they name
  bool tells_clock = false;   // CPUID says how fast the time-stamp counter is
  bool text_display = false;  // the text screen on our terminal, in place of the serial port
  std::vector<KeyStep> keys;  // typed on the keyboard
  // The remote screens, which outlive the machine; HostInput::source is an index into this list.
  std::vector<ScreenPort*> screens;
  // The page that controls the machine, which outlives it; null: none. `figures` writes the page's
  // figures.
  ControlPort* control_page = nullptr;
  std::function<std::string(Machine&)> figures;
  std::string firmware_log;  // a file for the firmware's debug output; empty: none
  uint64_t memory_bytes = 128U << 20;
  uint64_t memory_min = 0;  // of it, that the host gives at the start and that stays
  CpuModel cpu;
  VcpuConfig vcpu;
  CpuidGuard cpuid_guard = CpuidGuard::Auto;  // of user code that runs directly
  TranslatorConfig translator;
  uint32_t refuse_every = 0;  // torture: calls for one more host mapping between two refused
  ShadowPolicy shadow = ShadowPolicy::Tlb;  // how mappings follow the guest's page tables
  PortsConfig ports;
  int64_t rtc_offset = 0;        // seconds: the guest's clock against the host's UTC
  TimePolicy time;               // --time; of no account with an event clock
  EventClockConfig event_clock;  // --clock events, in place of the host's clock
  InputTape* tape =
      nullptr;  // with an event clock; outlives the machine; null: none is made or played
  Replica* replica = nullptr;               // the tape, if it is one of a pair's
  bool goes_back = false;                   // a replay whose debugger may want to; with `control`
  std::function<void(Machine&)> on_report;  // SIGUSR1, at a safe point; may be empty
  // A debugger's, which outlives the machine; null: none. It is serviced at safe points.
  ExecutionControl* control = nullptr;
  std::function<void(Machine&)> service_debugger;
  std::function<void(Machine&)> service_control;  // clients on --qmp and --monitor
  bool raw_console = true;  // read our standard input as the guest's serial input
  SaveRequest save;         // SIGUSR2; no path: nobody wants it
  // A saved machine to go on with, in place of booting; empty: none. All else must be as it was.
  std::string resume_path;
  // For a clone: the open descriptors of that file and of the files with its RAM. The broker cannot
  // open another process's.
  std::vector<int> resume_descriptors;
  VerifyRam verify_ram = VerifyRam::Later;  // of the saved machine
  uint32_t share_pages_rate = 0;            // --share-pages: pages looked at a second; 0: none
  // The listener at which a machine of another process is waited for in place of booting; it
  // outlives this machine. Null: none is. The rest must be as it was there.
  MigrationListener* incoming = nullptr;
  MigrationPeers migration;  // whom it may be moved to
  // The parts that outlive this machine; null: it makes its own.
  MachineFoundation* foundation = nullptr;
};

// How a run ended.
struct MachineOutcome {
  StopReason reason = StopReason::Halted;
  uint8_t debug_exit_value = 0;  // StopReason::DebugExit: what the guest wrote, its low 7 bits
  std::string message;           // Unimplemented: what and where
  // A file or a stream that was to get something could not take all of it; a line has said so.
  bool lost_output = false;
};

}  // namespace ringshift
