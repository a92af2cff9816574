#include "monitor/machine/machine.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

#include "devices/storage/paced_medium.h"
#include "monitor/boot/boot_acpi.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/host/host_signals.h"
#include "monitor/host/lost_memory.h"
#include "monitor/machine/ports/file_serial.h"
#include "monitor/trap/deprivileged.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

// The machine whose state a failing CHECK of this thread prints.
thread_local Machine* t_running = nullptr;

void print_running_machine() {
  restore_terminal();
  if (t_running != nullptr) t_running->print_state();
}

}  // namespace

std::unique_ptr<Machine> Machine::create(const MachineConfig& config, std::string* error) {
  auto machine = std::unique_ptr<Machine>(new Machine(config));
  try {
    if (!machine->build(error)) return nullptr;
  } catch (const std::system_error& refused) {
    *error = std::string("the host refuses the console: ") + refused.what();
    return nullptr;
  }
  return machine;
}

bool Machine::build(std::string* error) {
  if (!stand_on_foundation(error) || !build_processor(error)) return false;
  // Before the console makes the terminal raw: whatever ends us from here on gives it back.
  if (!HostSignals::install(&processor_->gate(), &attention(), error)) return false;
  if (!build_board(error)) return false;
  // The guest's TSC is the host's until somebody sets it, so that RDTSC of user code that runs
  // directly need not be made to fault (DirectProcess::set_time_stamp_trap).
  state().tsc_offset = 0;
  if (!build_paravirt(error) || !begin_guest(error)) return false;
  processor_->note_state_changed();
  LoopSurroundings loop{.interrupts = interrupts(),
                        .clock = *clock_,
                        .event_clock = event_clock_,
                        .deprivileged = deprivileged_.get(),
                        .service_host = [this] { service_host(); },
                        .feed_guest = [this] { feed_guest(); },
                        .before_sleep = [this] { guest_ports_->flush(); }};
  processor_->make_loop(loop, config_.vcpu);
  config_.media.set_on_news([this] { attention().raise(); });
  prepare_saving();
  prepare_sharing();
  if (config_.replica != nullptr) attach_replica();
  if (config_.tape != nullptr) begin_tape();
  if (is_to_join() && !config_.replica->join(*this, error)) return false;
  if (config_.goes_back) {
    travel_ = std::make_unique<TimeTravel>(*this, *config_.control, TravelConfig{});
  }
  clone_ = std::make_unique<OutgoingClone>(*this);
  if (config_.control != nullptr) {
    migration_ = std::make_unique<OutgoingMigration>(*this, *clock_, config_.migration);
  }
  return true;
}

bool Machine::begin_guest(std::string* error) {
  if (is_to_join()) return true;
  if (config_.incoming != nullptr) return arrive(error);
  return config_.resume_path.empty() ? boot(error) : resume(error);
}

bool Machine::boot(std::string* error) {
  if (has_firmware()) return true;  // the processor begins at its reset vector
  board_->vga().set_up_text(read_text_font(config_.firmware.video_bios_path));
  BootRequest request = config_.boot;
  if (pci_ != nullptr) {
    request.show = [this](const VideoMode& mode) { return show_on(*pci_, mode); };
  }
  const BootResult booted = boot_guest(request, *memory_, state());
  if (!booted.ok) *error = booted.error;
  if (!booted.notice.empty()) std::fprintf(stderr, "ringshift: %s\n", booted.notice.c_str());
  processor_->cpu().memory_types.set_up();
  if (pci_ != nullptr) pci_->set_up();
  if (config_.acpi) write_board_tables({.apic = config_.apic, .hpet = config_.hpet}, *memory_);
  return booted.ok;
}

bool Machine::build_processor(std::string* error) {
  physical_ = std::make_unique<PhysicalMemory>(*memory_, memory_bus_);
  watch_ = std::make_unique<CodeWatch>(memory_->size());
  physical_->set_observer(watch_.get());
  config_.cpu.apic = config_.apic;
  choose_paravirt();
  const bool counts_events = config_.event_clock.is_used();
  if (config_.tells_clock) {
    config_.cpu.tsc_hz =
        counts_events ? EventTimeStampCounter::kRate : HostClock::time_stamp_rate();
  }
  processor_ = Processor::create({.physical = *physical_,
                                  .watch = *watch_,
                                  .ports = ports_,
                                  .direct_host = config_.foundation->direct_host.get()},
                                 {.cpu = config_.cpu,
                                  .translator = config_.translator,
                                  .refuse_every = config_.refuse_every,
                                  .shadow = config_.shadow,
                                  .control = config_.control,
                                  .time_scale = config_.time.scale,
                                  .event_clock = config_.event_clock},
                                 error);
  if (processor_ == nullptr) return false;
  if (config_.vcpu.engine != Engine::Trap) return true;
  deprivileged_ =
      lab::Deprivileged::create(processor_->linear(), *physical_, config_.foundation->tracees);
  return true;
}

void Machine::on_memory_map_changed() { processor_->note_memory_map_changed(); }

void Machine::change_disc(unsigned place, std::shared_ptr<DiskBackend> disc,
                          const std::string& name) {
  if (disc != nullptr && !config_.event_clock.is_used()) {
    disc = beside_guest(std::move(disc));
    disc->set_on_news([this] { attention().raise(); });
  }
  for (const auto& medium : config_.media.slot) {
    const auto* const limited = dynamic_cast<const LimitedDisk*>(medium.get());
    if (limited == nullptr || disc == nullptr) continue;
    disc = std::make_shared<LimitedDisk>(std::move(disc), limited->rate());
    break;
  }
  const size_t slot = config_.media.is_disc[place] ? place : static_cast<size_t>(MediaSlot::Cdrom);
  pci_->ide().cdrom(place)->insert(disc.get());
  config_.media.slot[slot] = std::move(disc);
  config_.media.name[slot] = name;
  config_.media.was_changed = true;
}

bool Machine::build_pci(std::string* error) {
  PciBoardConfig pci;
  if (has_firmware() &&
      (!read_bios(config_.firmware.bios_path, &pci.firmware, error) ||
       !read_video_bios(config_.firmware.video_bios_path, &pci.video_rom, error))) {
    return false;
  }
  constexpr size_t kCdromPlace = 2;
  for (size_t i = 0; i < pci.ide.size(); ++i) {
    pci.ide[i] = {config_.media.slot[i].get(), config_.media.is_disc[i]};
  }
  // There is a drive for CD-ROMs, with a medium or without, unless its place has a hard disk.
  if (pci.ide[kCdromPlace].medium == nullptr) {
    pci.ide[kCdromPlace] = {config_.media.at(MediaSlot::Cdrom), true};
  }
  pci.floppy = config_.media.at(MediaSlot::Floppy);
  for (const auto& medium : config_.media.virtio) pci.virtio_disks.push_back(medium.get());
  if (wants<VirtioRngRequest>(config_.devices)) pci.random = &random_;
  if (has_network()) {
    network_ = make_network();
    pci.network = network_.get();
    pci.network_card = config_.network.card;
    pci.network_address = config_.network.address;
    pci.takes_any_address = !config_.resume_descriptors.empty();  // of a clone
  }
  if (wants<PciPanicRequest>(config_.devices)) {
    pci.on_panic = [this](PanicEvent event) { on_panic(event); };
  }
  if (wants<WatchdogRequest>(config_.devices)) {
    pci.on_watchdog = [this] { on_watchdog(); };
    pci.watchdog_has_fired = config_.watchdog_has_fired;
  }
  pci.console = shown_once(held(HeldOutput::VirtioConsole, guest_ports_->virtio_console()));
  if (const VirtioBalloonRequest* balloon = wanted_balloon(config_.devices)) {
    pci.balloon = {.deflates_on_oom = balloon->deflates_on_oom,
                   .reports_free = balloon->reports_free,
                   .give_back = [this](uint64_t address, uint64_t bytes) {
                     physical_->give_back(address, bytes);
                   }};
  }
  if (!config_.share.folder.empty()) {
    share_ = make_share();
    pci.folder = share_.get();
    pci.folder_tag = config_.share.tag;
  }
  if (!config_.firmware_log.empty()) {
    firmware_log_ = FileSerial::create(config_.firmware_log, error);
    if (firmware_log_ == nullptr) return false;
  }
  pci.firmware_log = shown_once(firmware_log_.get());
  pci.on_memory_map_changed = [this] { on_memory_map_changed(); };
  pci.on_power_off = [this] { processor_->loop().request_stop(StopReason::Halted); };
  pci.on_reset = [this] { processor_->loop().request_stop(StopReason::Reset); };
  const BoardSurroundings on{*clock_, ports_, memory_bus_, *memory_, *physical_};
  pci_ = std::make_unique<PciBoard>(on, *board_, std::move(pci));
  if (pci_->console() != nullptr) pci_->console()->set_on_room([this] { on_room(); });
  return true;
}

bool Machine::build_board(std::string* error) {
  if (!make_clock(error) || !build_ports(error)) return false;
  PcBoardConfig board;
  board.ram_bytes = config_.memory_bytes;
  board.epoch_seconds = config_.event_clock.is_used() ? config_.event_clock.epoch_seconds
                                                      : std::time(nullptr) + config_.rtc_offset;
  board.serial0 = shown_once(held(HeldOutput::Serial, guest_ports_->serial()));
  board.serial1 = shown_once(held(HeldOutput::SecondSerial, guest_ports_->second_serial()));
  board.debug_console = shown_once(held(HeldOutput::DebugConsole, guest_ports_->debug_console()));
  board.on_debug_exit = [this](uint8_t code) { end_by_debug_exit(code); };
  board.on_reset = [this] { processor_->loop().request_stop(StopReason::Reset); };
  board.on_a20 = [this](bool enabled) {
    if (physical_->a20() == enabled) return;
    physical_->set_a20(enabled);
    on_memory_map_changed();
  };
  board_ = std::make_unique<PcBoard>(*clock_, ports_, memory_bus_, board);
  board_->interrupts().set_on_output([this] { on_interrupt_line(); });
  board_->coprocessor_error().set_on_ignored([this] { attention().raise(); });
  processor_->cpu().x87_error = &board_->coprocessor_error();
  if (config_.apic) {
    apic_ = std::make_unique<ApicBoard>(*clock_, memory_bus_, board_->interrupts(), config_.hpet);
    apic_->local().set_on_output([this] { on_interrupt_line(); });
    apic_->local().set_on_refusal([this](const char* message) {
      refused_ =
          std::string("the guest sends its processor ") + message + ", which is not implemented";
      processor_->loop().request_stop(StopReason::Unimplemented);
    });
    processor_->cpu().apic = &apic_->local();
  }
  for (const unsigned port : {0U, 1U}) board_->serial(port).set_on_room([this] { on_room(); });
  keys_ = std::make_unique<KeyboardScript>(
      *clock_, board_->keyboard_controller(), [this] { return board_->vga().dump_text(); },
      config_.keys);
  if (config_.text_display) build_text_display();
  if (!config_.screens.empty() || config_.tape != nullptr) {
    remote_input_ = std::make_unique<RemoteInput>(*clock_, board_->keyboard_controller(),
                                                  [this](uint8_t source) {
                                                    if (source < config_.screens.size())
                                                      config_.screens[source]->note_input_taken();
                                                  });
  }
  fw_cfg_ = std::make_unique<FwCfg>(*clock_, *physical_);
  fw_cfg_->attach(ports_);
  describe_machine(config_.firmware, config_.memory_bytes, *fw_cfg_, board_->rtc());
  return add_firmware_files(config_.firmware, *fw_cfg_, error) &&
         (!has_pci() || build_pci(error)) && add_devices(error);
}

bool Machine::add_devices(std::string* error) {
  AddedDeviceSurroundings on{.ports = ports_,
                             .memory = memory_bus_,
                             .interrupts = board_->interrupts(),
                             .io_apic = apic_ ? &apic_->io() : nullptr,
                             .on_exit = [this](uint8_t code) { end_by_debug_exit(code); },
                             .on_flush = [this] { on_memory_map_changed(); },
                             .on_panic = [this](PanicEvent event) { on_panic(event); }};
  added_devices_ = AddedDevices::create(config_.devices, std::move(on), error);
  return added_devices_ != nullptr;
}

MachineOutcome Machine::run() {
  MachineOutcome outcome;
  t_running = this;
  set_check_hook(print_running_machine);
  outcome.reason = processor_->loop().run();
  if (config_.tape != nullptr) end_tape(outcome.reason);
  processor_->direct().end_all();  // their processor time is ours from here on
  set_check_hook(nullptr);
  t_running = nullptr;
  outcome.debug_exit_value = debug_exit_value_;
  outcome.message = refused_.empty() ? processor_->loop().message() : refused_;
  finish_base(&outcome);
  if (text_display_ != nullptr) {
    display_console_->drain();
    text_display_->show();  // what the guest has left there
  }
  outcome.lost_output |= !guest_ports_->finish();
  if (display_console_ != nullptr) {
    display_console_->drain();
    outcome.lost_output |= display_console_->lost_output();
  }
  if (firmware_log_ != nullptr) outcome.lost_output |= !firmware_log_->finish();
  outcome.lost_output |= !processor_->translator().finish_perf_map();
  if (network_ != nullptr) outcome.lost_output |= !network_->finish();
  return outcome;
}

void Machine::print_state() const {
  const GuestState& s = processor_->state();
  std::fprintf(stderr,
               "guest: eip=%08x eflags=%08x cpl=%u cr0=%08x cr2=%08x cr3=%08x cr4=%08x\n"
               "       eax=%08x ecx=%08x edx=%08x ebx=%08x esp=%08x ebp=%08x esi=%08x edi=%08x\n",
               s.eip, s.eflags, static_cast<unsigned>(s.cpl), s.cr0, s.cr2, s.cr3, s.cr4, s.gpr[0],
               s.gpr[1], s.gpr[2], s.gpr[3], s.gpr[4], s.gpr[5], s.gpr[6], s.gpr[7]);
}

Machine::~Machine() {
  travel_.reset();     // the debugger's control outlives us
  migration_.reset();  // its thread puts words into the inbox
  if (late_ != nullptr) late_->finish();
  clone_.reset();
  if (base_guard_ != nullptr) note_ram_file(-1, 0);
  base_guard_.reset();
  if (config_.replica != nullptr) detach_replica();
  // The console gives the terminal back while signals still find us; then nobody may.
  text_display_.reset();
  remote_input_.reset();
  save_timer_.reset();
  sharing_timer_.reset();
  display_console_.reset();
  keys_.reset();
  added_devices_.reset();
  pci_.reset();
  network_.reset();
  for (HostInput& unseen : waiting_for_event_)
    inbox_.put(std::move(unseen));  // their tags are free
  share_.reset();
  apic_.reset();
  board_.reset();
  guest_ports_.reset();
  HostSignals::uninstall();
  config_.media.set_on_news({});
  processor_.reset();  // its loop has a timer on the clock
}

}  // namespace ringshift
