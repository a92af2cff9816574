// Machine: builds and owns one virtual machine; the order of its members is the wiring diagram.
// Owns: everything of one VM. Called by: main, tests, bench. One machine runs in a process at a
// time. See docs/architecture.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "devices/board/apic_board.h"
#include "devices/board/pc_board.h"
#include "devices/board/pci_board.h"
#include "devices/bus/bus.h"
#include "devices/chips/fw_cfg.h"
#include "devices/host/host_console.h"
#include "devices/input/keyboard_script.h"
#include "devices/screen/screen_image.h"
#include "devices/screen/text_display.h"
#include "monitor/boot/boot.h"
#include "monitor/boot/boot_firmware.h"
#include "monitor/cpu/cpu_context.h"
#include "monitor/host/attention.h"
#include "monitor/host/host_clock.h"
#include "monitor/interpreter/interpreter.h"
#include "monitor/machine/added_devices.h"
#include "monitor/machine/file_serial.h"
#include "monitor/machine/machine_foundation.h"
#include "monitor/machine/media.h"
#include "monitor/memory/linear_memory.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/spaces/coherence.h"
#include "monitor/vcpu/vcpu.h"
#include "shadowmmu/guest_memory.h"
#include "translator/fpu_unit.h"
#include "translator/gate.h"
#include "translator/translator.h"

namespace ringshift {

class Machine;

enum class SerialTarget : uint8_t { Console, None, File };

struct MachineConfig {
  BootRequest boot;  // ignored if there is firmware
  FirmwareRequest firmware;
  Media media;
  std::vector<AddedDevice> devices;  // --device
  bool apic = false;                 // local APIC, I/O APIC
  bool hpet = false;                 // with an APIC
  bool acpi = false;          // without firmware: ACPI and MP tables, and the PCI board they name
  bool tells_clock = false;   // CPUID says how fast the time-stamp counter is
  bool text_display = false;  // the text screen on our terminal, in place of the serial port
  std::vector<KeyStep> keys;  // typed on the keyboard
  std::string firmware_log;   // a file for what the firmware prints for its developers; empty: none
  uint64_t memory_bytes = 128U << 20;
  CpuModel cpu;
  VcpuConfig vcpu;
  CpuidGuard cpuid_guard = CpuidGuard::Auto;  // of user code that runs directly
  TranslatorConfig translator;
  uint32_t refuse_every = 0;  // torture: calls for one more host mapping between two refused
  SerialTarget serial = SerialTarget::Console;
  std::string serial_path;                  // SerialTarget::File: what the guest prints goes there
  std::function<void(Machine&)> on_report;  // SIGUSR1, at a safe point; may be empty
  // A debugger's, which outlives the machine; null: none. It is serviced at safe points.
  ExecutionControl* control = nullptr;
  std::function<void(Machine&)> service_debugger;
  bool raw_console = true;  // read our standard input as the guest's serial input
  // What outlives this machine; null: it makes its own.
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

// The host's time-stamp counter plus the guest's offset.
class HostTimeStampCounter final : public TimeStampCounter {
 public:
  explicit HostTimeStampCounter(const GuestState& state) : state_(state) {}
  [[nodiscard]] uint64_t read() override;
  void set_tap(BusTap* tap) { tap_ = tap; }

 private:
  const GuestState& state_;
  BusTap* tap_ = nullptr;
};

class Machine {
 public:
  // Null with one line in *error if the host refuses something or the image is bad.
  static std::unique_ptr<Machine> create(const MachineConfig& config, std::string* error);
  // What create() finds in config.foundation. False with one line in *error.
  [[nodiscard]] static bool lay_foundation(const MachineConfig& config,
                                           MachineFoundation* foundation, std::string* error);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] MachineOutcome run();
  // From any thread: run() returns before the next guest instruction, from its sleep too.
  void request_stop(StopReason reason) {
    vcpu_->request_stop(reason);
    attention_.raise();
  }
  // Takes out of the guest's time, clock and time-stamp counter alike, what passes while `action`
  // runs. Outside of guest code only.
  void outside_time(const std::function<void()>& action);
  [[nodiscard]] HostClock& clock() { return *clock_; }
  // Told of all that comes from outside of processor and RAM: ports, device memory, the clock.
  void set_tap(BusTap* ports, BusTap* memory, BusTap* clock);
  [[nodiscard]] CpuContext& cpu() { return *cpu_; }
  [[nodiscard]] DeprivilegedRunner* deprivileged() { return deprivileged_.get(); }
  [[nodiscard]] const MemoryBus& memory_bus() const { return memory_bus_; }

  [[nodiscard]] PcBoard& board() { return *board_; }
  [[nodiscard]] ScreenImage screen() const;
  [[nodiscard]] GuestState& state() { return frame_->state; }
  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  // Null: the serial port goes somewhere else.
  [[nodiscard]] HostConsole* console() { return console_; }
  [[nodiscard]] Attention& attention() { return attention_; }
  [[nodiscard]] const PortBus& port_bus() const { return ports_; }
  [[nodiscard]] ProcessorInterrupts interrupts() {
    return {board_->interrupts(), apic_ ? &apic_->local() : nullptr};
  }
  [[nodiscard]] const MachineConfig& config() const { return config_; }
  [[nodiscard]] Translator& translator() { return *translator_; }
  [[nodiscard]] Coherence& coherence() { return *coherence_; }
  // Prints what a person needs to see when we stop for a reason of our own (one CHECK away).
  void print_state() const;

 private:
  explicit Machine(const MachineConfig& config) : config_(config) {}
  [[nodiscard]] bool build(std::string* error);
  [[nodiscard]] bool build_processor(std::string* error);
  [[nodiscard]] bool build_console(std::string* error);
  [[nodiscard]] bool build_board(std::string* error);
  [[nodiscard]] std::unique_ptr<HostConsole> make_console();
  void build_text_display();
  [[nodiscard]] std::string text_page() const;
  [[nodiscard]] bool build_pci(std::string* error);
  [[nodiscard]] bool add_devices(std::string* error);
  [[nodiscard]] bool boot(std::string* error);
  [[nodiscard]] bool has_firmware() const { return !config_.firmware.bios_path.empty(); }
  [[nodiscard]] bool has_pci() const {
    return has_firmware() || config_.acpi || config_.media.any();
  }
  void on_memory_map_changed();
  [[nodiscard]] static bool prepare_direct(const MachineConfig& config,
                                           MachineFoundation* foundation, std::string* error);
  [[nodiscard]] bool stand_on_foundation(std::string* error);
  void end_by_debug_exit(uint8_t code);
  [[nodiscard]] bool make_serial_file(std::string* error);
  void service_host();
  void answer_requests();
  void stand_still_while_unread();

  MachineConfig config_;
  Attention attention_;
  MachineFoundation own_foundation_;  // unless config_ has one
  GuestMemory* memory_ = nullptr;
  PortBus ports_;
  MemoryBus memory_bus_;
  Frame* frame_ = nullptr;  // the GuestState and generated code's slots; gate_ owns it in the end
  std::unique_ptr<FrameStorage> frame_storage_;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<LinearMemory> linear_;
  DirectHost* direct_host_ = nullptr;  // null: user code is translated
  std::unique_ptr<Coherence> coherence_;
  std::unique_ptr<Translator> translator_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<HostTimeStampCounter> tsc_;
  std::unique_ptr<CpuContext> cpu_;
  std::unique_ptr<FpuUnit> fpu_;
  std::unique_ptr<Interpreter> interpreter_;
  std::unique_ptr<DeprivilegedRunner> deprivileged_;  // Engine::Trap only
  std::unique_ptr<HostClock> clock_;
  std::unique_ptr<SerialBackend> serial_;
  HostConsole* console_ = nullptr;             // serial_, if it is the console
  std::unique_ptr<ClockTimer> console_timer_;  // shows a line that the guest does not end
  FileSerial* serial_file_ = nullptr;          // serial_, if it is a file
  std::unique_ptr<FileSerial> firmware_log_;
  std::unique_ptr<PcBoard> board_;
  std::string refused_;              // what a device was asked for that is not implemented
  std::unique_ptr<ApicBoard> apic_;  // null: the 8259 pair alone
  std::unique_ptr<FwCfg> fw_cfg_;
  std::unique_ptr<PciBoard> pci_;  // null: no PCI bus
  std::unique_ptr<AddedDevices> added_devices_;
  std::unique_ptr<KeyboardScript> keys_;
  std::unique_ptr<HostConsole> display_console_;
  std::unique_ptr<TextDisplay> text_display_;
  std::unique_ptr<Vcpu> vcpu_;
  uint8_t debug_exit_value_ = 0;
};

}  // namespace ringshift
