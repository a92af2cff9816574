// Machine, third part: its serial port and its text screen on the host, and what comes from the
// host by its inbox.
#include "monitor/host/host_signals.h"
#include "monitor/machine/file_serial.h"
#include "monitor/machine/machine.h"

namespace ringshift {
namespace {

class NullSerial final : public SerialBackend {
 public:
  void transmit(uint8_t) override {}
};

}  // namespace

std::unique_ptr<HostConsole> Machine::make_console(uint8_t source) {
  HostConsoleConfig console;
  console.input = config_.raw_console ? 0 : -1;
  console.offers_prompt = config_.control != nullptr && config_.tape == nullptr &&
                          (config_.serial == SerialTarget::Console ||
                           config_.virtio_console == VirtioConsoleTarget::Console);
  console.inbox = &inbox_;
  console.source = source;
  console.on_quit = HostSignals::request_termination;  // whoever waits for the host is interrupted
  console.is_ending = HostSignals::termination_requested;
  constexpr Nanoseconds kUntilShown = 20'000'000;
  console.on_held = [this] {
    if (console_timer_ != nullptr) console_timer_->arm(clock_->now() + kUntilShown);
  };
  return std::make_unique<HostConsole>(std::move(console));
}

std::string Machine::text_page() const {
  if (shows_text()) return board_->vga().dump_text();
  const ScreenImage image = screen();
  return "(graphics, " + std::to_string(image.width) + " x " + std::to_string(image.height) + ")\n";
}

void Machine::build_text_display() {
  display_console_ = make_console(kDisplayConsole);
  TextDisplayConfig display;
  display.page = [this] { return text_page(); };
  display.print = [this](const std::string& text) {
    if (display_console_->has_backlog()) return false;
    for (const char c : text) display_console_->transmit(static_cast<uint8_t>(c));
    display_console_->flush();
    return true;
  };
  display.poll_keys = [this] {
    display_inlet_.deliver(
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
      auto made = make_console(kSerialConsole);
      use_console(made.get());
      serial_ = std::move(made);
      break;
    }
  }
  return true;
}

void Machine::use_console(HostConsole* console) {
  console_ = console;
  console_timer_ =
      std::make_unique<ClockTimer>(*clock_, [this](Nanoseconds) { console_->flush(); });
}

bool Machine::make_serial_file(std::string* error) {
  auto made = FileSerial::create(config_.serial_path, error);
  serial_file_ = made.get();
  serial_ = std::move(made);
  return serial_ != nullptr;
}

// What the serial port is connected to: the console or the file, and whoever waits for a text.
SerialBackend* Machine::serial_port() {
  SerialBackend* port = serial_.get();
  if (config_.control_page != nullptr) {
    serial_tee_ = std::make_unique<SerialTee>(*port, *config_.control_page);
    port = serial_tee_.get();
  }
  if (config_.save.at.empty()) return port;
  serial_watch_ = std::make_unique<SerialWatch>(*port, config_.save.at, [this] {
    inbox_.put({HostInput::Kind::Save, 0, {}});
  });
  return serial_watch_.get();
}

// Signals are put in where they are noticed: nothing that changes the guest has another way in.
void Machine::put_in_signals() {
  const auto put = [this](HostInput::Kind kind) { inbox_.put({kind, 0, {}}); };
  if (HostSignals::take_report_request()) put(HostInput::Kind::Report);
  if (HostSignals::take_save_request()) put(HostInput::Kind::Save);
  if (HostSignals::termination_requested()) put(HostInput::Kind::Quit);
}

void Machine::take_in(const HostInput& input) {
  if (!defer(input) && !keep_for_event(input)) give_to_guest(input);
}

// The guest's, or whoever's it is.
void Machine::give_to_guest(const HostInput& input) {
  switch (input.kind) {
    case HostInput::Kind::Quit:
      return processor_->loop().request_stop(StopReason::Quit);
    case HostInput::Kind::Report:
      if (config_.on_report) config_.on_report(*this);
      return;
    case HostInput::Kind::Save:
      return save_as_asked();
    case HostInput::Kind::RamFile:
      refused_ = base_guard_->problem();
      return processor_->loop().request_stop(StopReason::HostFailure);
    case HostInput::Kind::Debugger:
      return service_debugger();
    case HostInput::Kind::Control:
      return;  // served below, whoever has come
    case HostInput::Kind::Migration:
      if (migration_ != nullptr) migration_->service();
      return clone_->service();
    case HostInput::Kind::NetworkRoom:
    case HostInput::Kind::NetworkLink:
    case HostInput::Kind::NetworkFrames:
      return network_->take_in(input);
    case HostInput::Kind::ShareChange:
    case HostInput::Kind::ShareMessages:
      return share_->take_in(input);
    case HostInput::Kind::PromptKey:
      service_debugger();  // the prompt has what was typed before the key that ends it
      break;
    case HostInput::Kind::Reset:
      return processor_->loop().request_stop(StopReason::Reset);
    case HostInput::Kind::PowerButton:
      if (pci_ != nullptr) pci_->press_power_button();
      return;
    case HostInput::Kind::Figures:
      return config_.control_page->give_figures([this] { return config_.figures(*this); });
    case HostInput::Kind::Screen:
      return show_to_remote_screens();
    case HostInput::Kind::Keys:
      return remote_input_->put_keys(input.source, input.bytes);
    case HostInput::Kind::Motion:
      return remote_input_->put_motion(input.source, motion_of_bytes(input.bytes));
    case HostInput::Kind::ConsoleBytes:
    case HostInput::Kind::ConsoleEnd:
      break;
  }
  inlet_of(input.source).put(input);
  if (input.kind == HostInput::Kind::PromptKey) service_debugger();
}

void Machine::note_taken(HostConsole* console, size_t count) {
  if (console != nullptr && !is_replay()) console->input_taken(count);
}

void Machine::note_taken(ControlPort* page, size_t count) {
  if (page != nullptr) page->note_input_taken(count);
}

ConsoleInlet& Machine::inlet_of(uint8_t source) {
  if (source == kPageConsole) return page_inlet_;
  return source == kDisplayConsole ? display_inlet_ : console_inlet_;
}

void Machine::show_to_remote_screens() {
  const BochsDisplay* display = pci_ != nullptr ? &pci_->display() : nullptr;
  for (ScreenPort* port : config_.screens) {
    port->give([&](ScreenContent* content) { capture_screen(board_->vga(), display, content); });
  }
}

void Machine::empty_inbox() {
  put_in_signals();
  for (const HostInput& input : inbox_.take()) take_in(input);
  const bool is_leaving = migration_ != nullptr && migration_->is_handing_over();
  if (is_leaving) migration_->service();  // the guest may just have come to stand
  if (!is_leaving) service_debugger();
  if (!is_leaving && !deferred_.empty()) take_in_deferred();
  if (config_.service_control) config_.service_control(*this);
}

// It has words to say of its own, too: a step may be done.
void Machine::service_debugger() {
  if (config_.service_debugger) config_.service_debugger(*this);
}

void Machine::service_host() {
  empty_inbox();
  tell_paravirt();
  if (console_ != nullptr) stand_still_while_unread();
  if (event_clock_ == nullptr) deliver_input();
}

// What has been typed, to the ports that take it now.
void Machine::deliver_input() {
  Uart16550& port = board_->serial(0);
  const auto receive = [&port](std::span<const uint8_t> bytes) { return port.receive(bytes); };
  if (virtio_terminal_ != nullptr) {
    console_inlet_.deliver(
        [this](std::span<const uint8_t> bytes) { return pci_->console()->receive(bytes); });
  } else if (console_ != nullptr && port.is_listening()) {
    console_inlet_.deliver(receive);
  }
  if (page_inlet_.has_input() && port.is_listening()) page_inlet_.deliver(receive);
}

// The guest waits for whoever reads its console, as with flow control; everybody else is answered.
void Machine::stand_still_while_unread() {
  const ExecutionControl* control = config_.control;
  bool stood_still = false;
  while ((control == nullptr || !control->is_standing()) && console_->is_full() &&
         !processor_->loop().is_stopping()) {
    attention().sleep_until(nullptr);
    attention().take();
    attention().drain_wakeups();
    empty_inbox();
    stood_still = true;
  }
  // Among what was taken here may have been a timer's.
  if (stood_still) attention().raise();
}

}  // namespace ringshift
