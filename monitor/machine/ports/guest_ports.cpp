#include "monitor/machine/ports/guest_ports.h"

#include <algorithm>

namespace ringshift {
namespace {

using Kind = PortTarget::Kind;

constexpr Nanoseconds kUntilShown = 20'000'000;
constexpr uint8_t kNoInput = 0xff;  // of the debug console's socket

void deliver_to(Uart16550& port, ConsoleInlet& inlet) {
  if (!port.is_listening()) return;
  inlet.deliver([&port](std::span<const uint8_t> bytes) { return port.receive(bytes); });
}

}  // namespace

SerialBackend* GuestPorts::End::backend() const {
  if (console != nullptr) return console.get();
  if (file != nullptr) return file.get();
  return socket;
}

std::unique_ptr<GuestPorts> GuestPorts::create(const PortsConfig& config, Surroundings around,
                                               std::string* error) {
  auto ports = std::unique_ptr<GuestPorts>(new GuestPorts(config, std::move(around)));
  return ports->open(error) ? std::move(ports) : nullptr;
}

GuestPorts::~GuestPorts() {
  for (End* end : ends()) {
    if (end->socket != nullptr) end->socket->detach();
  }
}

bool GuestPorts::open(std::string* error) {
  if (!open_end(config_.serial, kSerialSocket, &serial_, error) ||
      !open_end(config_.second_serial, kSecondSocket, &second_, error) ||
      !open_end(config_.virtio_console, kVirtioSocket, &virtio_, error)) {
    return false;
  }
  const PortTarget& debug = config_.debug_console;
  const bool is_shared = debug.kind == Kind::Console && console_ != nullptr;
  if (!is_shared && !open_end(debug, kNoInput, &debug_, error)) return false;
  serial_backend_ = watched_serial();
  debug_backend_ = is_shared ? console_ : debug_.backend();
  if (config_.debug_console_is_serials) debug_backend_ = serial_end();
  return true;
}

bool GuestPorts::open_end(const PortTarget& target, uint8_t socket_source, End* end,
                          std::string* error) {
  switch (target.kind) {
    case Kind::None:
      return true;
    case Kind::File:
      end->file = FileSerial::create(target.path, error);
      return end->file != nullptr;
    case Kind::Console:
      end->console = around_.make_console(kSerialConsole);
      console_ = end->console.get();
      return true;
    case Kind::Socket:
      if (target.socket == nullptr) return true;
      end->socket = target.socket;
      if (!around_.is_replay) attach(target.socket, socket_source);
      return true;
  }
  return true;
}

void GuestPorts::attach(PortSocket* socket, uint8_t source) {
  if (socket == nullptr) return;
  socket->attach({.inbox = &around_.inbox,
                  .source = source,
                  .takes_input = source != kNoInput,
                  .on_held = [this] { flush_soon(); }});
}

void GuestPorts::go_live() {
  around_.is_replay = false;
  attach(serial_.socket, kSerialSocket);
  attach(second_.socket, kSecondSocket);
  attach(virtio_.socket, kVirtioSocket);
  attach(debug_.socket, kNoInput);
}

// The serial port's end of the line, with the page and the watch that also get its output.
SerialBackend* GuestPorts::watched_serial() {
  SerialBackend* port = serial_end();
  if (around_.page != nullptr) {
    tee_ = std::make_unique<SerialTee>(*port, *around_.page);
    port = tee_.get();
  }
  if (around_.watched_text.empty()) return port;
  watch_ = std::make_unique<SerialWatch>(*port, around_.watched_text, [this] {
    around_.inbox.put({HostInput::Kind::Save, 0, {}});
  });
  return watch_.get();
}

SerialBackend* GuestPorts::serial_end() {
  SerialBackend* end = serial_.backend();
  return end != nullptr ? end : &nowhere_;
}

SerialBackend* GuestPorts::virtio_console() {
  if (!config_.has_virtio_console) return nullptr;
  SerialBackend* end = virtio_.backend();
  return end != nullptr ? end : &nowhere_;
}

ConsoleInlet& GuestPorts::inlet_of(uint8_t source) {
  switch (source) {
    case kPageConsole:
      return page_inlet_;
    case kSerialSocket:
      return serial_inlet_;
    case kSecondSocket:
      return second_inlet_;
    case kVirtioSocket:
      return virtio_inlet_;
    default:
      return console_inlet_;
  }
}

void GuestPorts::note_taken(PortSocket* socket, size_t count) {
  if (socket != nullptr) socket->input_taken(count);
}

void GuestPorts::deliver(Uart16550& first, Uart16550& second, VirtioConsole* virtio) {
  const bool is_virtios = virtio_.console != nullptr;
  if (virtio != nullptr) {
    const auto receive = [&](std::span<const uint8_t> bytes) { return virtio->receive(bytes); };
    if (is_virtios) console_inlet_.deliver(receive);
    virtio_inlet_.deliver(receive);
  }
  if (!is_virtios && console_ != nullptr) deliver_to(first, console_inlet_);
  deliver_to(first, page_inlet_);
  deliver_to(first, serial_inlet_);
  deliver_to(second, second_inlet_);
}

bool GuestPorts::awaits_peer() {
  const auto awaits = [](End* end) { return end->socket != nullptr && end->socket->awaits_peer(); };
  return std::ranges::any_of(ends(), awaits);
}

size_t GuestPorts::unsent(HeldOutput::Port port) {
  const auto of = [](const End& end) {
    if (end.socket != nullptr) return end.socket->unsent();
    return end.console != nullptr ? end.console->unsent() : 0;
  };
  switch (port) {
    case HeldOutput::SecondSerial:
      return of(second_);
    case HeldOutput::VirtioConsole:
      return of(virtio_);
    case HeldOutput::DebugConsole:
      if (debug_backend_ != nullptr && debug_backend_ == console_) return console_->unsent();
      return config_.debug_console_is_serials ? of(serial_) : of(debug_);
    default:
      return of(serial_);
  }
}

void GuestPorts::flush() {
  if (console_ != nullptr) console_->flush();
  for (End* end : ends()) {
    if (end->socket != nullptr) end->socket->flush();
  }
}

void GuestPorts::flush_soon() {
  if (!flush_timer_.armed()) flush_timer_.arm(around_.clock.now() + kUntilShown);
}

bool GuestPorts::is_unread() {
  if (console_ != nullptr && console_->is_full()) return true;
  for (End* end : ends()) {
    if (end->socket != nullptr && end->socket->is_full()) return true;
  }
  return false;
}

bool GuestPorts::finish() {
  bool is_whole = true;
  for (End* end : ends()) {
    if (end->file != nullptr && !end->file->finish()) is_whole = false;
    if (end->socket != nullptr) end->socket->flush();
  }
  if (console_ == nullptr) return is_whole;
  console_->drain();
  return is_whole && !console_->lost_output();
}

}  // namespace ringshift
