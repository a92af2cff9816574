#include "monitor/machine/machine.h"

#include <x86intrin.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <system_error>

#include "monitor/boot/boot_acpi.h"
#include "monitor/cpu/control_registers.h"
#include "monitor/host/host_signals.h"
#include "monitor/machine/file_serial.h"
#include "monitor/trap/deprivileged.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "shadowmmu/base/host_files.h"

namespace ringshift {
namespace {

class NullSerial final : public SerialBackend {
 public:
  void transmit(uint8_t) override {}
};

// The machine whose state a failing CHECK prints.
Machine* g_running = nullptr;

void print_running_machine() {
  restore_terminal();
  if (g_running != nullptr) g_running->print_state();
}

}  // namespace

uint64_t HostTimeStampCounter::read() {
  const uint64_t value = __rdtsc() + state_.tsc_offset;
  if (tap_ != nullptr) tap_->on_read(0, AccessWidth::Dword, value);
  return value;
}

void Machine::set_tap(BusTap* ports, BusTap* memory, BusTap* clock) {
  ports_.set_tap(ports);
  memory_bus_.set_tap(memory);
  tsc_->set_tap(clock);
}

void Machine::outside_time(const std::function<void()>& action) {
  const Nanoseconds time = HostClock::monotonic();
  const uint64_t ticks = __rdtsc();
  action();
  state().tsc_offset -= __rdtsc() - ticks;
  clock_->leave_out(HostClock::monotonic() - time);
}

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
  if (!HostSignals::install(gate_.get(), &attention_, error)) return false;
  if (!build_board(error)) return false;
  reset(state());
  // The guest's TSC is the host's until somebody sets it, so that RDTSC of user code that runs
  // directly need not be made to fault (DirectProcess::set_time_stamp_trap).
  state().tsc_offset = 0;
  if (!boot(error)) return false;
  linear_->flush();
  coherence_->on_paging_mode_changed();
  VcpuParts parts{.cpu = *cpu_,
                  .interpreter = *interpreter_,
                  .interrupts = interrupts(),
                  .clock = *clock_,
                  .attention = attention_,
                  .gate = gate_.get(),
                  .translator = translator_.get(),
                  .coherence = coherence_.get(),
                  .deprivileged = deprivileged_.get(),
                  .control = config_.control,
                  .service_host = [this] { service_host(); },
                  .before_sleep =
                      [this] {
                        if (console_ != nullptr) console_->flush();
                      }};
  vcpu_ = std::make_unique<Vcpu>(parts, config_.vcpu);
  return true;
}

bool Machine::boot(std::string* error) {
  if (has_firmware()) return true;  // the processor begins at its reset vector
  BootRequest request = config_.boot;
  if (pci_ != nullptr) {
    request.show = [this](const VideoMode& mode) { return show_on(*pci_, mode); };
  }
  const BootResult booted = boot_guest(request, *memory_, state());
  if (!booted.ok) *error = booted.error;
  if (!booted.notice.empty()) std::fprintf(stderr, "ringshift: %s\n", booted.notice.c_str());
  cpu_->memory_types.set_up();
  if (config_.acpi) {
    pci_->set_up();
    write_board_tables({.apic = config_.apic, .hpet = config_.hpet}, *memory_);
  }
  return booted.ok;
}

// While we are small: what is forked from us now copies little. A host without direct execution is
// no error unless the user asked for it: `doctor` and --stats tell.
bool Machine::prepare_direct(const MachineConfig& config, MachineFoundation* foundation,
                             std::string* error) {
  const VcpuConfig& vcpu = config.vcpu;
  if (vcpu.engine != Engine::Translate || vcpu.user == UserEngine::Translate) return true;
  std::string why;
  foundation->direct_host =
      DirectHost::create(foundation->memory->descriptor(), config.cpuid_guard, &why);
  counters().direct_offered = foundation->direct_host != nullptr ? 1 : 0;
  if (foundation->direct_host != nullptr || vcpu.user != UserEngine::Direct) return true;
  *error = "--user direct: " + why;
  return false;
}

bool Machine::lay_foundation(const MachineConfig& config, MachineFoundation* foundation,
                             std::string* error) {
  foundation->memory = GuestMemory::create(config.memory_bytes, error);
  if (foundation->memory == nullptr || !prepare_direct(config, foundation, error)) return false;
  if (config.vcpu.engine != Engine::Trap) return true;
  for (std::shared_ptr<lab::Tracee>& tracee : foundation->tracees) {
    tracee = lab::Tracee::create(foundation->memory->descriptor(), error);
    if (tracee == nullptr) return false;
  }
  return true;
}

bool Machine::stand_on_foundation(std::string* error) {
  if (config_.foundation == nullptr) {
    if (!lay_foundation(config_, &own_foundation_, error)) return false;
    config_.foundation = &own_foundation_;
  }
  memory_ = config_.foundation->memory.get();
  direct_host_ = config_.foundation->direct_host.get();
  return true;
}

bool Machine::build_processor(std::string* error) {
  frame_storage_ = FrameStorage::create(error);
  if (frame_storage_ == nullptr) return false;
  frame_ = &frame_storage_->frame();
  physical_ = std::make_unique<PhysicalMemory>(*memory_, memory_bus_);
  linear_ = std::make_unique<LinearMemory>(*physical_, state());
  coherence_ = Coherence::create(*physical_, *linear_, state(), error);
  if (coherence_ == nullptr) return false;
  coherence_->refuse_every(config_.refuse_every);
  config_.cpu.apic = config_.apic;
  if (config_.tells_clock) config_.cpu.tsc_hz = HostClock::time_stamp_rate();
  config_.translator.features.sse2_and_later = config_.cpu.sse42;
  config_.translator.features.tzcnt = config_.cpu.bmi1;
  config_.translator.features.host_time_stamp = true;  // HostTimeStampCounter below
  translator_ = Translator::create(config_.translator, *coherence_, *coherence_, *coherence_,
                                   *coherence_, error);
  if (translator_ == nullptr) return false;
  gate_ =
      Gate::create(translator_->stubs(), translator_->arena(), error, std::move(frame_storage_));
  if (gate_ == nullptr) return false;
  coherence_->attach(gate_.get(), &translator_->cache(), &translator_->arena());
  if (config_.control != nullptr) {
    coherence_->set_kept_out(&config_.control->kept_out());
    coherence_->set_watched(&config_.control->watched_pages());
  }
  if (direct_host_ != nullptr) {
    coherence_->attach_direct(direct_host_,
                              {.features = config_.translator.features,
                               .traps = direct_host_->traps(),
                               .mxcsr_is_guests = host_mxcsr_mask() == config_.cpu.mxcsr_mask()});
  }
  physical_->set_observer(coherence_.get());
  tsc_ = std::make_unique<HostTimeStampCounter>(state());
  cpu_ = std::make_unique<CpuContext>(
      CpuContext{state(), *linear_, ports_, *tsc_, *coherence_, config_.cpu});
  fpu_ = FpuUnit::create(error);
  if (fpu_ == nullptr) return false;
  interpreter_ = std::make_unique<Interpreter>(*cpu_, *fpu_);
  attention_.set_gate(gate_.get());
  if (config_.vcpu.engine != Engine::Trap) return true;
  deprivileged_ = lab::Deprivileged::create(*linear_, *physical_, config_.foundation->tracees);
  return true;
}

std::unique_ptr<HostConsole> Machine::make_console() {
  HostConsoleConfig console;
  console.input = config_.raw_console ? 0 : -1;
  console.offers_prompt = config_.control != nullptr && config_.serial == SerialTarget::Console;
  console.notify = [this] { attention_.raise(); };
  console.on_quit = [this] {
    HostSignals::request_termination();  // the vCPU may not exist yet
    attention_.raise();
  };
  console.is_ending = HostSignals::termination_requested;
  constexpr Nanoseconds kUntilShown = 20'000'000;
  console.on_held = [this] {
    if (console_timer_ != nullptr) console_timer_->arm(clock_->now() + kUntilShown);
  };
  return std::make_unique<HostConsole>(std::move(console));
}

std::string Machine::text_page() const {
  const bool graphics = (board_->vga().graphics(6) & 1) != 0;
  if (!graphics && (pci_ == nullptr || !pci_->display().enabled()))
    return board_->vga().dump_text();
  const ScreenImage image = screen();
  return "(graphics, " + std::to_string(image.width) + " x " + std::to_string(image.height) + ")\n";
}

void Machine::build_text_display() {
  display_console_ = make_console();
  TextDisplayConfig display;
  display.page = [this] { return text_page(); };
  display.print = [this](const std::string& text) {
    if (display_console_->has_backlog()) return false;
    for (const char c : text) display_console_->transmit(static_cast<uint8_t>(c));
    display_console_->flush();
    return true;
  };
  display.poll_keys = [this] {
    display_console_->deliver_input(
        [this](std::span<const uint8_t> bytes) { return text_display_->type(bytes); });
  };
  text_display_ = std::make_unique<TextDisplay>(*clock_, board_->vga(),
                                                board_->keyboard_controller(), std::move(display));
}

bool Machine::build_console(std::string* error) {
  switch (config_.serial) {
    case SerialTarget::None:
      serial_ = std::make_unique<NullSerial>();
      break;
    case SerialTarget::File:
      return make_serial_file(error);
    case SerialTarget::Console: {
      auto made = make_console();
      console_ = made.get();
      console_timer_ =
          std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds) { console_->flush(); });
      serial_ = std::move(made);
      break;
    }
  }
  return true;
}

bool Machine::make_serial_file(std::string* error) {
  auto made = FileSerial::create(config_.serial_path, error);
  serial_file_ = made.get();
  serial_ = std::move(made);
  return serial_ != nullptr;
}

void Machine::on_memory_map_changed() {
  linear_->flush();
  coherence_->on_a20_changed();
}

bool Machine::build_pci(std::string* error) {
  PciBoardConfig pci;
  if (has_firmware() &&
      (!read_bios(config_.firmware.bios_path, &pci.firmware, error) ||
       !read_video_bios(config_.firmware.video_bios_path, &pci.video_rom, error))) {
    return false;
  }
  pci.first_disk = config_.media.at(MediaSlot::FirstDisk);
  pci.second_disk = config_.media.at(MediaSlot::SecondDisk);
  pci.floppy = config_.media.at(MediaSlot::Floppy);
  pci.cdrom = config_.media.at(MediaSlot::Cdrom);
  if (!config_.firmware_log.empty()) {
    firmware_log_ = FileSerial::create(config_.firmware_log, error);
    if (firmware_log_ == nullptr) return false;
  }
  pci.firmware_log = firmware_log_.get();
  pci.on_memory_map_changed = [this] { on_memory_map_changed(); };
  pci.on_power_off = [this] { vcpu_->request_stop(StopReason::Halted); };
  pci.on_reset = [this] { vcpu_->request_stop(StopReason::Reset); };
  const BoardSurroundings on{*clock_, ports_, memory_bus_, *memory_, *physical_};
  pci_ = std::make_unique<PciBoard>(on, *board_, std::move(pci));
  return true;
}

// The port hands over twice what was written, plus one.
void Machine::end_by_debug_exit(uint8_t code) {
  debug_exit_value_ = code >> 1;
  vcpu_->request_stop(StopReason::DebugExit);
}

bool Machine::build_board(std::string* error) {
  clock_ = HostClock::create(error);
  if (clock_ == nullptr || !build_console(error)) return false;
  PcBoardConfig board;
  board.ram_bytes = config_.memory_bytes;
  board.epoch_seconds = std::time(nullptr);
  board.serial0 = serial_.get();
  board.debug_console = serial_.get();
  board.on_debug_exit = [this](uint8_t code) { end_by_debug_exit(code); };
  board.on_reset = [this] { vcpu_->request_stop(StopReason::Reset); };
  board.on_a20 = [this](bool enabled) {
    if (physical_->a20() == enabled) return;
    physical_->set_a20(enabled);
    on_memory_map_changed();
  };
  board_ = std::make_unique<PcBoard>(*clock_, ports_, memory_bus_, board);
  board_->interrupts().set_on_output([this] { attention_.raise(); });
  if (config_.apic) {
    apic_ = std::make_unique<ApicBoard>(*clock_, memory_bus_, board_->interrupts(), config_.hpet);
    apic_->local().set_on_output([this] { attention_.raise(); });
    apic_->local().set_on_refusal([this](const char* message) {
      refused_ =
          std::string("the guest sends its processor ") + message + ", which is not implemented";
      vcpu_->request_stop(StopReason::Unimplemented);
    });
    cpu_->apic = &apic_->local();
  }
  board_->serial(0).set_on_room([this] { attention_.raise(); });
  keys_ = std::make_unique<KeyboardScript>(
      *clock_, board_->keyboard_controller(), [this] { return board_->vga().dump_text(); },
      config_.keys);
  if (config_.text_display) build_text_display();
  fw_cfg_ = std::make_unique<FwCfg>(*clock_, *physical_);
  fw_cfg_->attach(ports_);
  describe_machine(config_.firmware, config_.memory_bytes, *fw_cfg_, board_->rtc());
  return (!has_pci() || build_pci(error)) && add_devices(error);
}

bool Machine::add_devices(std::string* error) {
  AddedDeviceSurroundings on{.ports = ports_,
                             .memory = memory_bus_,
                             .interrupts = board_->interrupts(),
                             .io_apic = apic_ ? &apic_->io() : nullptr,
                             .on_exit = [this](uint8_t code) { end_by_debug_exit(code); },
                             .on_flush = [this] { on_memory_map_changed(); }};
  added_devices_ = AddedDevices::create(config_.devices, std::move(on), error);
  return added_devices_ != nullptr;
}

void Machine::answer_requests() {
  if (HostSignals::take_report_request() && config_.on_report) config_.on_report(*this);
  if (config_.service_debugger) config_.service_debugger(*this);
}

void Machine::service_host() {
  answer_requests();
  if (console_ == nullptr) return;
  stand_still_while_unread();
  if (!console_->has_input()) return;
  console_->deliver_input(
      [this](std::span<const uint8_t> bytes) { return board_->serial(0).receive(bytes); });
}

// The guest waits for whoever reads its console, as with flow control; everybody else is answered.
void Machine::stand_still_while_unread() {
  const ExecutionControl* control = config_.control;
  bool stood_still = false;
  while ((control == nullptr || !control->is_paused()) && console_->is_full() &&
         !HostSignals::termination_requested()) {
    attention_.sleep_until(nullptr);
    attention_.take();
    attention_.drain_wakeups();
    answer_requests();
    stood_still = true;
  }
  // Among what was taken here may have been a timer's.
  if (stood_still) attention_.raise();
}

MachineOutcome Machine::run() {
  MachineOutcome outcome;
  g_running = this;
  set_check_hook(print_running_machine);
  outcome.reason = vcpu_->run();
  coherence_->end_all_direct();  // their processor time is ours from here on
  set_check_hook(nullptr);
  g_running = nullptr;
  outcome.debug_exit_value = debug_exit_value_;
  outcome.message = refused_.empty() ? vcpu_->message() : refused_;
  for (HostConsole* console : {console_, display_console_.get()}) {
    if (console == nullptr) continue;
    console->drain();
    outcome.lost_output |= console->lost_output();
  }
  for (FileSerial* file : {serial_file_, firmware_log_.get()}) {
    if (file != nullptr) outcome.lost_output |= !file->finish();
  }
  outcome.lost_output |= !translator_->finish_perf_map();
  return outcome;
}

ScreenImage Machine::screen() const {
  return draw_screen(board_->vga(), pci_ != nullptr ? &pci_->display() : nullptr);
}

void Machine::print_state() const {
  const GuestState& s = frame_->state;
  std::fprintf(stderr,
               "guest: eip=%08x eflags=%08x cpl=%u cr0=%08x cr2=%08x cr3=%08x cr4=%08x\n"
               "       eax=%08x ecx=%08x edx=%08x ebx=%08x esp=%08x ebp=%08x esi=%08x edi=%08x\n",
               s.eip, s.eflags, static_cast<unsigned>(s.cpl), s.cr0, s.cr2, s.cr3, s.cr4, s.gpr[0],
               s.gpr[1], s.gpr[2], s.gpr[3], s.gpr[4], s.gpr[5], s.gpr[6], s.gpr[7]);
}

Machine::~Machine() {
  // The console gives the terminal back while signals still find us; then nobody may.
  text_display_.reset();
  console_timer_.reset();
  display_console_.reset();
  keys_.reset();
  added_devices_.reset();
  pci_.reset();
  apic_.reset();
  board_.reset();
  serial_.reset();
  HostSignals::uninstall();
}

}  // namespace ringshift
