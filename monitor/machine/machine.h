// Machine: builds and owns one virtual machine; the order of its members is the wiring diagram.
// Owns: everything of one VM. One machine runs in a process at a time. See docs/architecture.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/board/apic_board.h"
#include "devices/board/pc_board.h"
#include "devices/board/pci_board.h"
#include "devices/bus/bus.h"
#include "devices/chips/fw_cfg.h"
#include "devices/host/console_inlet.h"
#include "devices/host/control_port.h"
#include "devices/host/host_console.h"
#include "devices/host/host_random.h"
#include "devices/host/inbox.h"
#include "devices/host/screen/screen_port.h"
#include "devices/input/keyboard_script.h"
#include "devices/input/remote_input.h"
#include "devices/screen/screen_image.h"
#include "devices/screen/text_display.h"
#include "monitor/boot/boot.h"
#include "monitor/boot/boot_firmware.h"
#include "monitor/host/time/host_clock.h"
#include "monitor/machine/added_devices.h"
#include "monitor/machine/guest_events.h"
#include "monitor/machine/machine_config.h"
#include "monitor/machine/machine_foundation.h"
#include "monitor/machine/media/base_guard.h"
#include "monitor/machine/media/media.h"
#include "monitor/machine/ports/file_serial.h"
#include "monitor/machine/ports/guest_ports.h"
#include "monitor/machine/processor.h"
#include "monitor/machine/shown_once.h"
#include "monitor/memory/page_sharing.h"
#include "monitor/memory/physical_memory.h"
#include "monitor/migration/incoming_migration.h"
#include "monitor/migration/late_grains.h"
#include "monitor/migration/outgoing_clone.h"
#include "monitor/migration/outgoing_migration.h"
#include "monitor/network/network_port.h"
#include "monitor/paravirt/kvm_interface.h"
#include "monitor/paravirt/ringshift_interface.h"
#include "monitor/paravirt/vmware_interface.h"
#include "monitor/replay/input_tape.h"
#include "monitor/replay/time_travel.h"
#include "monitor/replication/replica.h"
#include "monitor/share/share_port.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

class StateArchive;

class Machine final : public MigratedMachine,
                      public ArrivingMachine,
                      public ClonedMachine,
                      public TravelledMachine,
                      public JoinedMachine {
 public:
  // Null with one line in *error if the host refuses something or the image is bad.
  static std::unique_ptr<Machine> create(const MachineConfig& config, std::string* error);
  // Makes the foundation that create() uses (config.foundation). False with one line in *error.
  [[nodiscard]] static bool lay_foundation(const MachineConfig& config,
                                           MachineFoundation* foundation, std::string* error);
  ~Machine() override;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] MachineOutcome run();
  // Writes the machine, as it is between two instructions, to a file that is whole or not there.
  // False with one line in *error; the machine can go on either way. On the thread that runs it,
  // outside of guest code.
  [[nodiscard]] bool save(const std::string& path, std::string* error);
  // Moves it to another process. Null: nobody could stop the guest for that.
  [[nodiscard]] OutgoingMigration* migration() { return migration_.get(); }
  // Clones it while it runs.
  [[nodiscard]] OutgoingClone& clone() { return *clone_; }
  // True: the machine has come from another process, where somebody has stopped its guest.
  [[nodiscard]] bool stands_on_arrival() const { return stands_on_arrival_; }
  // Any thread: run() returns before the next guest instruction, from its sleep too.
  void request_stop(StopReason reason) {
    processor_->loop().request_stop(reason);
    attention().raise();
  }
  // Takes the time that passes while `action` runs out of the guest's time, clock and time-stamp
  // counter alike. Outside of guest code only.
  void outside_time(const std::function<void()>& action);
  [[nodiscard]] RunClock& clock() { return *clock_; }
  // Sets observers of everything that comes from outside of processor and RAM: ports, device
  // memory, the clock.
  void set_tap(BusTap* ports, BusTap* memory, BusTap* clock);
  [[nodiscard]] Processor& processor() { return *processor_; }
  [[nodiscard]] DeprivilegedRunner* deprivileged() { return deprivileged_.get(); }
  [[nodiscard]] const MemoryBus& memory_bus() const { return memory_bus_; }

  [[nodiscard]] PcBoard& board() { return *board_; }
  // Sets the listener for the guest's own reports, called from inside a device: it must only take
  // note.
  void set_on_event(std::function<void(const GuestEvent&)> on_event) {
    on_event_ = std::move(on_event);
  }
  // Null: there is no PCI bus.
  [[nodiscard]] PciBoard* pci() { return pci_.get(); }
  // Puts another CD-ROM into the drive at this place on the IDE cables, null: none. It is in a
  // machine that resets, too (config().media). Pre: there is such a drive, and it is open.
  void change_disc(unsigned place, std::shared_ptr<DiskBackend> disc, const std::string& name);
  [[nodiscard]] ScreenImage screen() const;
  // Text is on the screen, and not graphics.
  [[nodiscard]] bool shows_text() const;
  [[nodiscard]] GuestState& state() { return processor_->state(); }
  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  // Null: the serial port goes somewhere else.
  [[nodiscard]] HostConsole* console() { return guest_ports_->console(); }
  // The input from the terminal.
  [[nodiscard]] ConsoleInlet& console_inlet() { return guest_ports_->console_inlet(); }
  // Null: it is no replay, or nobody wants it to go back.
  [[nodiscard]] TimeTravel* travel() { return travel_.get(); }
  // Other threads put their input for this machine here.
  [[nodiscard]] Inbox& inbox() { return inbox_; }
  [[nodiscard]] Attention& attention() { return processor_->attention(); }
  [[nodiscard]] const PortBus& port_bus() const { return ports_; }
  [[nodiscard]] ProcessorInterrupts interrupts() {
    return {board_->interrupts(), apic_ ? &apic_->local() : nullptr};
  }
  [[nodiscard]] const MachineConfig& config() const { return config_; }
  [[nodiscard]] const CodeWatch& watch() const { return *watch_; }
  // A hash of everything that the guest has sent into the network and asked of its folder, since it
  // began.
  [[nodiscard]] uint64_t sent_hash() const;
  // Prints facts for a person when we stop for a reason of our own (one CHECK away).
  void print_state() const;

 private:
  explicit Machine(const MachineConfig& config) : config_(config) {}
  [[nodiscard]] bool build(std::string* error);
  [[nodiscard]] bool build_processor(std::string* error);
  [[nodiscard]] bool build_ports(std::string* error);
  [[nodiscard]] bool build_board(std::string* error);
  [[nodiscard]] std::unique_ptr<HostConsole> make_console(uint8_t source);
  void build_text_display();
  void note_typed(size_t count);
  [[nodiscard]] std::string text_page() const;
  [[nodiscard]] bool build_pci(std::string* error);
  [[nodiscard]] bool add_devices(std::string* error);
  [[nodiscard]] bool begin_guest(std::string* error);
  [[nodiscard]] bool boot(std::string* error);
  [[nodiscard]] bool resume(std::string* error);
  [[nodiscard]] bool begin_from(const SavedRam& ram, int descriptor, std::string* error);
  [[nodiscard]] bool begin_from_clone(const SavedRam& ram, std::string* error);
  void finish_base(MachineOutcome* outcome);
  // Once more, of disks: their content may be changing still.
  enum class Visited : uint8_t { All, AllButMedia };
  void visit_state(StateArchive& archive, uint64_t host_time_stamp, Visited what = Visited::All);
  [[nodiscard]] bool write_to(const std::string& path, uint64_t host_time_stamp,
                              std::string* error);
  void prepare_saving();
  void prepare_sharing();
  void share_pages();
  void save_as_asked();
  // MigratedMachine
  [[nodiscard]] PhysicalMemory& physical_memory() override { return *physical_; }
  [[nodiscard]] bool save_state(bool with_media, std::vector<uint8_t>* state,
                                std::string* error) override;
  [[nodiscard]] bool hold_guest() override;
  [[nodiscard]] bool is_guest_held() const override { return was_held_; }
  [[nodiscard]] bool does_clock_stand() const override { return clock_->is_stopped(); }
  void let_go() override;
  [[nodiscard]] bool release_media(std::string* error) override;
  [[nodiscard]] bool retake_media(std::string* error) override;  // ArrivingMachine's, too
  void stand_still(Nanoseconds time) override;
  void end_in_two(const std::string& problem) override;
  void end_migrated() override;
  void wake_for_migration() override;
  // ClonedMachine
  [[nodiscard]] bool can_be_cloned(bool freezes_disks, std::string* error) override;
  [[nodiscard]] bool take_state(const std::function<bool()>& with_ram, std::vector<uint8_t>* state,
                                std::string* error) override;
  [[nodiscard]] int describe_clone(std::vector<uint8_t> state, const ClonedRam& ram,
                                   std::string* error) override;
  // TravelledMachine: machine_travel.cpp
  [[nodiscard]] GuestPlace place() const override;
  [[nodiscard]] bool is_halted() const override;
  [[nodiscard]] EventPositions& event_positions() override { return *processor_->events(); }
  [[nodiscard]] std::shared_ptr<const MachineMoment> keep_moment(const MachineMoment* like,
                                                                 const PageCount& pages,
                                                                 std::string* error) override;
  [[nodiscard]] bool go_to_moment(const MachineMoment& moment, std::string* error) override;
  void fail(const std::string& problem) override;
  void end(StopReason reason) override;
  void visit_moment(StateArchive& archive);
  // For a replay that goes back: output that the guest prints again is not shown again.
  [[nodiscard]] SerialBackend* shown_once(SerialBackend* to);
  // ArrivingMachine
  [[nodiscard]] GuestMemory& arriving_memory() override { return *memory_; }
  [[nodiscard]] bool load_state(std::span<const uint8_t> state, bool with_media,
                                std::string* error) override;
  [[nodiscard]] bool expect_late(const LateGrainsSetup& setup, std::string* error) override;
  [[nodiscard]] bool arrive(std::string* error);
  void take_in_late();
  // Not all of its RAM is here. *error, if not null, says so in one line.
  [[nodiscard]] bool is_arriving(std::string* error = nullptr) const;
  [[nodiscard]] bool defer(const HostInput& input);
  void take_in_deferred();
  [[nodiscard]] bool has_firmware() const { return !config_.firmware.bios_path.empty(); }
  [[nodiscard]] bool has_pci() const {
    return has_firmware() || config_.acpi || config_.media.any() || want_pci(config_.devices) ||
           has_network() || !config_.share.folder.empty() || config_.ports.has_virtio_console;
  }
  [[nodiscard]] bool is_replay() const {
    return config_.tape != nullptr && config_.tape->is_replay();
  }
  [[nodiscard]] bool has_network() const {
    return config_.network_link != nullptr ||
           (is_replay() && config_.network.kind != NetworkRequest::Kind::None);
  }
  [[nodiscard]] std::unique_ptr<GuestPackets> make_network();
  [[nodiscard]] std::unique_ptr<GuestFiles> make_share();
  [[nodiscard]] bool make_clock(std::string* error);
  void on_interrupt_line();
  void on_room();
  // machine_tape.cpp
  void begin_tape();
  [[nodiscard]] TapePosition tape_position() const;
  void end_tape(StopReason reason);
  void mark_tape();
  void feed_guest();
  void feed_from_outside();
  void feed_from_tape(bool after_timers);
  // machine_replica.cpp
  // JoinedMachine
  [[nodiscard]] TapePosition position() const override { return tape_position(); }
  [[nodiscard]] bool take_moment(const std::function<bool()>& with_ram, std::vector<uint8_t>* state,
                                 std::string* error) override;
  [[nodiscard]] bool load_moment(std::span<const uint8_t> state, const TapePosition& at,
                                 std::string* error) override;
  [[nodiscard]] bool is_ending() const override;
  [[nodiscard]] bool is_to_join() const {
    return config_.replica != nullptr && config_.replica->is_to_join();
  }
  void visit_joined(StateArchive& archive);
  void forget_memory();
  void attach_replica();
  void detach_replica();
  [[nodiscard]] SerialBackend* held(HeldOutput::Port port, SerialBackend* to);
  void service_replica();
  [[nodiscard]] bool must_stand_still();
  [[nodiscard]] bool follow_primary(const TapePosition& here, bool after_timers);
  void go_live();
  void wait_for_news();
  void deliver_input();
  [[nodiscard]] bool keep_for_event(const HostInput& input);
  void on_memory_map_changed();
  [[nodiscard]] static bool prepare_direct(const MachineConfig& config,
                                           MachineFoundation* foundation, std::string* error);
  [[nodiscard]] bool stand_on_foundation(std::string* error);
  void end_by_debug_exit(uint8_t code);
  void on_panic(PanicEvent event);
  void on_watchdog();
  void tell_event(const GuestEvent& event);
  void pause_by_event();
  void choose_paravirt();
  [[nodiscard]] bool build_paravirt(std::string* error);
  [[nodiscard]] Nanoseconds stolen_time();
  void tell_paravirt();
  void print_paravirt(std::span<const uint8_t> bytes);
  [[nodiscard]] std::optional<uint8_t> acknowledge_interrupt();
  void visit_paravirt(StateArchive& archive, uint64_t host_time_stamp);
  void service_host();
  void empty_inbox();
  void put_in_signals();
  void take_in(const HostInput& input);
  void give_to_guest(const HostInput& input);
  [[nodiscard]] ConsoleInlet& inlet_of(uint8_t source);
  void show_to_remote_screens();
  void service_debugger();
  void stand_still_while_unread();

  MachineConfig config_;
  MachineFoundation own_foundation_;  // unless config_ has one
  GuestMemory* memory_ = nullptr;
  PortBus ports_;
  MemoryBus memory_bus_;
  std::unique_ptr<PhysicalMemory> physical_;
  std::unique_ptr<CodeWatch> watch_;
  std::unique_ptr<Processor> processor_;
  std::unique_ptr<DeprivilegedRunner> deprivileged_;  // Engine::Trap only
  std::unique_ptr<RunClock> clock_;
  EventClock* event_clock_ = nullptr;         // clock_, if it is one
  std::vector<HostInput> waiting_for_event_;  // with an event clock: the guest gets it at the next
  bool has_room_news_ = false;                // and a device takes input again
  std::optional<TapePosition> fed_at_;        // with a tape: where timers have been looked at last
  std::unique_ptr<ClockTimer> tape_timer_;    // for marks; null: there is no tape
  Inbox inbox_{[this] { attention().raise(); }};
  ConsoleInlet display_inlet_{[this](size_t count) { note_typed(count); }};
  std::vector<std::unique_ptr<ShownOnce>> shown_once_;  // before what is given them
  std::unique_ptr<GuestPorts> guest_ports_;
  std::unique_ptr<FileSerial> firmware_log_;
  std::function<void(const GuestEvent&)> on_event_;
  std::unique_ptr<PcBoard> board_;
  std::string refused_;              // why the run has to end, where its loop does not say
  std::unique_ptr<ApicBoard> apic_;  // null: the 8259 pair alone
  std::unique_ptr<FwCfg> fw_cfg_;
  HostRandom random_;
  std::unique_ptr<GuestPackets> network_;  // null: no network
  std::unique_ptr<GuestFiles> share_;      // null: no shared folder
  NetworkPort* network_port_ = nullptr;    // network_, if it has another half
  std::unique_ptr<PciBoard> pci_;          // null: no PCI bus
  std::unique_ptr<AddedDevices> added_devices_;
  std::unique_ptr<KeyboardScript> keys_;
  std::unique_ptr<HostConsole> display_console_;
  std::unique_ptr<TextDisplay> text_display_;
  std::unique_ptr<RemoteInput> remote_input_;     // null: there is no remote screen
  std::unique_ptr<ClockTimer> save_timer_;        // null: it is not saved by itself
  std::unique_ptr<BaseGuard> base_guard_;         // null: RAM has no base
  std::unique_ptr<KvmInterface> kvm_;             // null: Paravirt::Kvm is not shown
  std::unique_ptr<VmwareInterface> vmware_;       // null: Paravirt::Vmware is not shown
  std::unique_ptr<RingshiftInterface> calls_;     // null: Paravirt::Ringshift is not shown
  Nanoseconds paravirt_told_at_ = 0;              // of the host's clock
  std::unique_ptr<OutgoingMigration> migration_;  // null: there is no ExecutionControl
  std::unique_ptr<OutgoingClone> clone_;
  std::unique_ptr<TimeTravel> travel_;    // null: no debugger wants to go back
  std::unique_ptr<PageSharing> sharing_;  // null: no page is looked for
  std::unique_ptr<ClockTimer> sharing_timer_;
  bool is_sharing_due_ = false;
  std::unique_ptr<LateGrains> late_;  // null: no RAM was to come later
  std::vector<HostInput> deferred_;   // until the guest goes on here, if it does
  bool was_held_ = false;             // by somebody else, before a migration's end
  bool stands_on_arrival_ = false;
  uint8_t debug_exit_value_ = 0;
};

}  // namespace ringshift
