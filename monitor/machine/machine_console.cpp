// Machine, third part: its ports and its screen on the host, and the inputs from the host in its
// inbox.
#include "monitor/host/host_signals.h"
#include "monitor/machine/machine.h"

namespace ringshift {

std::unique_ptr<HostConsole> Machine::make_console(uint8_t source) {
  HostConsoleConfig console;
  console.input = config_.raw_console ? 0 : -1;
  const auto is_console = [](const PortTarget& port) {
    return port.kind == PortTarget::Kind::Console;
  };
  console.offers_prompt =
      config_.control != nullptr && config_.tape == nullptr &&
      (is_console(config_.ports.serial) || is_console(config_.ports.virtio_console));
  console.inbox = &inbox_;
  console.source = source;
  console.on_quit = HostSignals::request_termination;  // a wait for the host is interrupted
  console.is_ending = HostSignals::termination_requested;
  console.on_held = [this] {
    if (guest_ports_ != nullptr) guest_ports_->flush_soon();
  };
  return std::make_unique<HostConsole>(std::move(console));
}

std::string Machine::text_page() const {
  if (shows_text()) return board_->vga().dump_text();
  const ScreenImage image = screen();
  return "(graphics, " + std::to_string(image.width) + " x " + std::to_string(image.height) + ")\n";
}

bool Machine::shows_text() const {
  constexpr unsigned kMiscellaneous = 6, kGraphicsMode = 1;
  return (board_->vga().graphics(kMiscellaneous) & kGraphicsMode) == 0 &&
         (pci_ == nullptr || !pci_->display().enabled());
}

ScreenImage Machine::screen() const {
  return draw_screen(board_->vga(), pci_ != nullptr ? &pci_->display() : nullptr);
}

void Machine::build_text_display() {
  display_console_ = make_console(GuestPorts::kDisplayConsole);
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

bool Machine::build_ports(std::string* error) {
  guest_ports_ =
      GuestPorts::create(config_.ports,
                         {.clock = *clock_,
                          .inbox = inbox_,
                          .page = config_.control_page,
                          .watched_text = config_.save.at,
                          .is_replay = is_replay(),
                          .make_console = [this](uint8_t source) { return make_console(source); }},
                         error);
  return guest_ports_ != nullptr;
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

// Gives the input to the guest, or to the part of the machine that it is for.
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
      return;  // served below, with any news
    case HostInput::Kind::Migration:
      if (migration_ != nullptr) migration_->service();
      take_in_late();
      clone_->service();
      return share_pages();
    case HostInput::Kind::NetworkRoom:
    case HostInput::Kind::NetworkLink:
    case HostInput::Kind::NetworkFrames:
      return network_->take_in(input);
    case HostInput::Kind::ShareMessages:
    case HostInput::Kind::ShareRoom:
    case HostInput::Kind::ShareEnd:
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

void Machine::note_typed(size_t count) {
  if (display_console_ != nullptr && !is_replay()) display_console_->input_taken(count);
}

ConsoleInlet& Machine::inlet_of(uint8_t source) {
  return source == GuestPorts::kDisplayConsole ? display_inlet_ : guest_ports_->inlet_of(source);
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
  if (!is_leaving && !is_arriving() && !deferred_.empty()) take_in_deferred();
  if (config_.service_control) config_.service_control(*this);
}

// It has words to say of its own, too: a step may be done.
void Machine::service_debugger() {
  if (config_.service_debugger) config_.service_debugger(*this);
}

void Machine::service_host() {
  empty_inbox();
  config_.media.deliver();
  service_replica();
  tell_paravirt();
  stand_still_while_unread();
  if (event_clock_ == nullptr) deliver_input();
}

// Gives typed input to the ports that take it now.
void Machine::deliver_input() {
  guest_ports_->deliver(board_->serial(0), board_->serial(1),
                        pci_ != nullptr ? pci_->console() : nullptr);
}

// The guest waits for the reader of its console, as with flow control; everybody else is answered.
void Machine::stand_still_while_unread() {
  const ExecutionControl* control = config_.control;
  bool stood_still = false;
  while ((control == nullptr || !control->is_standing()) && must_stand_still() &&
         !processor_->loop().is_stopping()) {
    wait_for_news();
    stood_still = true;
  }
  // Among what was taken here may have been a timer's.
  if (stood_still) attention().raise();
}

}  // namespace ringshift
