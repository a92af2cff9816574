// GuestPorts: the host's ends of a machine's serial ports, debug console and virtio console, and
// the input from them. Owns: consoles and files; sockets outlive the machine. vCPU thread only. See
// docs/usage.md, "Ports".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "devices/bus/virtual_clock.h"
#include "devices/chips/serial_backend.h"
#include "devices/chips/uart16550.h"
#include "devices/host/console_inlet.h"
#include "devices/host/control_port.h"
#include "devices/host/host_console.h"
#include "devices/host/inbox.h"
#include "devices/virtio/virtio_console.h"
#include "monitor/host/sockets/port_socket.h"
#include "monitor/machine/ports/file_serial.h"
#include "monitor/machine/ports/serial_tee.h"
#include "monitor/machine/ports/serial_watch.h"
#include "monitor/replication/held_output.h"

namespace ringshift {

// The place that one of the ports leads to.
struct PortTarget {
  enum class Kind : uint8_t { None, Console, File, Socket };
  Kind kind = Kind::None;
  std::string path{};            // Kind::File
  PortSocketRequest request{};   // Kind::Socket
  PortSocket* socket = nullptr;  // the same, open; outlives the machine
};

struct PortsConfig {
  PortTarget serial{.kind = PortTarget::Kind::Console};
  PortTarget second_serial;
  PortTarget debug_console;              // port 0xe9
  bool debug_console_is_serials = true;  // it prints where the serial port does
  PortTarget virtio_console;
  bool has_virtio_console = false;
};

class GuestPorts {
 public:
  // The values of HostInput::source for a console's input.
  static constexpr uint8_t kSerialConsole = 0, kDisplayConsole = 1, kPageConsole = 2;
  static constexpr uint8_t kSerialSocket = 3, kSecondSocket = 4, kVirtioSocket = 5;

  struct Surroundings {
    VirtualClock& clock;
    Inbox& inbox;
    ControlPort* page = nullptr;  // shows the serial port, and types into it; null: there is none
    std::string watched_text;     // of the serial port: it asks for a saved machine; empty: not
    bool is_replay = false;       // the guest's input does not come from here (go_live())
    // Makes a console with our terminal, which only one of the ports can have.
    std::function<std::unique_ptr<HostConsole>(uint8_t source)> make_console;
  };
  // Null with one line in *error. Throws std::system_error when the host refuses a thread.
  static std::unique_ptr<GuestPorts> create(const PortsConfig& config, Surroundings around,
                                            std::string* error);
  ~GuestPorts();
  GuestPorts(const GuestPorts&) = delete;
  GuestPorts& operator=(const GuestPorts&) = delete;

  // The backends for the devices. Null: output is lost; for the virtio console: there is none.
  [[nodiscard]] SerialBackend* serial() { return serial_backend_; }
  [[nodiscard]] SerialBackend* second_serial() { return second_.backend(); }
  [[nodiscard]] SerialBackend* debug_console() { return debug_backend_; }
  [[nodiscard]] SerialBackend* virtio_console();

  // Null: none of the ports is on our terminal.
  [[nodiscard]] HostConsole* console() { return console_; }
  // The input from the terminal.
  [[nodiscard]] ConsoleInlet& console_inlet() { return console_inlet_; }
  // Pre: source is none of a display's.
  [[nodiscard]] ConsoleInlet& inlet_of(uint8_t source);
  // Gives waiting input to the ports that take it now.
  void deliver(Uart16550& first, Uart16550& second, VirtioConsole* virtio);

  // For a backup that has taken over: from here on input at the sockets is the guest's.
  void go_live();
  // True: the guest waits until somebody is there.
  [[nodiscard]] bool awaits_peer();
  // Bytes given to the port that nobody has been shown; a console's may be of all of them.
  [[nodiscard]] size_t unsent(HeldOutput::Port port);
  void flush();
  // Output waits that flush() would show: it is called soon.
  void flush_soon();
  // True: nobody reads the output, so the guest should stand still until it is woken.
  [[nodiscard]] bool is_unread();
  // All is where it goes. False: some of it never will be, which a line has said.
  [[nodiscard]] bool finish();

 private:
  struct End {
    std::unique_ptr<HostConsole> console;
    std::unique_ptr<FileSerial> file;
    PortSocket* socket = nullptr;
    [[nodiscard]] SerialBackend* backend() const;
  };
  struct NullSerial final : SerialBackend {
    void transmit(uint8_t) override {}
  };
  GuestPorts(const PortsConfig& config, Surroundings around)
      : config_(config), around_(std::move(around)) {}
  [[nodiscard]] bool open(std::string* error);
  [[nodiscard]] bool open_end(const PortTarget& target, uint8_t socket_source, End* end,
                              std::string* error);
  void attach(PortSocket* socket, uint8_t source);
  [[nodiscard]] SerialBackend* serial_end();
  [[nodiscard]] SerialBackend* watched_serial();
  void note_taken(PortSocket* socket, size_t count);
  [[nodiscard]] std::array<End*, 4> ends() { return {&serial_, &second_, &virtio_, &debug_}; }

  const PortsConfig& config_;
  Surroundings around_;
  NullSerial nowhere_;
  End serial_, second_, virtio_, debug_;
  HostConsole* console_ = nullptr;  // of one of them
  SerialBackend* serial_backend_ = nullptr;
  SerialBackend* debug_backend_ = nullptr;
  std::unique_ptr<SerialTee> tee_;      // before the serial port's end; null: no page shows it
  std::unique_ptr<SerialWatch> watch_;  // the same; null: nothing is waited for
  ConsoleInlet console_inlet_{[this](size_t count) {
    if (console_ != nullptr && !around_.is_replay) console_->input_taken(count);
  }};
  ConsoleInlet page_inlet_{[this](size_t count) {
    if (around_.page != nullptr) around_.page->note_input_taken(count);
  }};
  ConsoleInlet serial_inlet_{[this](size_t count) { note_taken(serial_.socket, count); }};
  ConsoleInlet second_inlet_{[this](size_t count) { note_taken(second_.socket, count); }};
  ConsoleInlet virtio_inlet_{[this](size_t count) { note_taken(virtio_.socket, count); }};
  ClockTimer flush_timer_{around_.clock, [this](Nanoseconds) { flush(); }};
};

}  // namespace ringshift
