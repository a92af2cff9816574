#include "monitor/command/options/port_options.h"

#include <algorithm>
#include <chrono>

#include "monitor/command/options/option_items.h"
#include "monitor/command/options/socket_words.h"
#include "shadowmmu/base/number_text.h"

namespace ringshift {
namespace {

using Kind = PortTarget::Kind;

constexpr const char* kPlaces =
    "none, file=PATH, pty, pipe:PATH, unix:PATH, tcp:[HOST]:PORT, telnet:[HOST]:PORT, "
    "udp:[HOST]:PORT[@[HOST]:PORT]";

// The terminal is the first serial port's.
enum class Terminal : uint8_t { Possible, Taken };

// How long after a peer that has gone, or is not there yet, it is looked for again: a day at most.
bool take_pause(const KeyValue& item, std::chrono::milliseconds* pause) {
  constexpr uint32_t kMostSeconds = 24 * 60 * 60, kMilliseconds = 1000;
  const bool is_seconds = item.key == "reconnect";
  uint32_t count = 0;
  if (!parse_number(item.value, &count)) return false;
  if (count > (is_seconds ? kMostSeconds : kMostSeconds * kMilliseconds)) return false;
  *pause = std::chrono::milliseconds(is_seconds ? count * kMilliseconds : count);
  return true;
}

bool parse_socket(const std::string& text, PortSocketRequest* request) {
  constexpr const char* kTelnet = "telnet:";
  std::string spelled = text;
  request->is_telnet = text.starts_with(kTelnet);
  if (request->is_telnet) spelled.replace(0, std::string(kTelnet).size(), "tcp:");
  std::chrono::milliseconds again_after{0};
  const auto take = [&](const KeyValue& item) {
    if (item.key == "reconnect" || item.key == "reconnect-ms") {
      return take_pause(item, &again_after);
    }
    if (item.key != "telnet") return false;
    request->is_telnet = true;
    return item.value.empty() || parse_on_off(item.value, &request->is_telnet);
  };
  SocketWords words;
  if (!parse_socket_words(spelled, take, &words)) return false;
  if (words.where.connects && words.waits) return false;
  if (!words.where.connects && again_after.count() != 0) return false;
  request->where = words.where;
  request->where.again_after = again_after;
  request->waits = words.waits;
  return true;
}

bool parse_target(const std::string& option, const std::string& text, Terminal terminal,
                  PortTarget* target, std::string* problem) {
  const bool may_be_console = terminal == Terminal::Possible;
  target->request.option = option;
  if (may_be_console && (text == "console" || text == "stdio" || text == "mon:stdio")) {
    target->kind = Kind::Console;
  } else if (text == "none" || text == "null") {
    target->kind = Kind::None;
  } else if ((text.starts_with("file=") || text.starts_with("file:")) && text.size() > 5) {
    target->kind = Kind::File;
    target->path = text.substr(5);
  } else if (text == "pty") {
    target->kind = Kind::Socket;
    target->request.where.kind = SocketAddress::Kind::Pty;
  } else if ((text.starts_with("pipe:") || text.starts_with("pipe=")) && text.size() > 5) {
    target->kind = Kind::Socket;
    target->request.where.kind = SocketAddress::Kind::Fifos;
    target->request.where.path = text.substr(5);
  } else if (parse_datagram_address(text, &target->request.where) ||
             parse_socket(text, &target->request)) {
    target->kind = Kind::Socket;
  } else {
    *problem =
        option + ": '" + text + "' is none of " + (may_be_console ? "console, " : "") + kPlaces;
    return false;
  }
  return true;
}

}  // namespace

bool apply_ports(RunOptions* options, std::string* problem) {
  PortsConfig& ports = options->machine.ports;
  const std::string serial = options->serial.empty() ? "console" : options->serial;
  if (!parse_target("--serial", serial, Terminal::Possible, &ports.serial, problem) ||
      !parse_target("--serial2", options->second_serial, Terminal::Taken, &ports.second_serial,
                    problem)) {
    return false;
  }
  ports.debug_console_is_serials = options->debugcon.empty();
  if (!ports.debug_console_is_serials &&
      !parse_target("--debugcon", options->debugcon, Terminal::Possible, &ports.debug_console,
                    problem)) {
    return false;
  }
  const std::string& virtio = options->virtio_console;
  ports.has_virtio_console = virtio != "none";
  if (!parse_target("--virtio-console", virtio, Terminal::Possible, &ports.virtio_console,
                    problem)) {
    return false;
  }
  const bool takes_terminal = ports.virtio_console.kind == Kind::Console;
  if (takes_terminal && options->serial.empty()) ports.serial.kind = Kind::None;
  return true;
}

bool has_one_terminal(const RunOptions& options, std::string* problem) {
  const PortsConfig& ports = options.machine.ports;
  const auto& displays = options.displays;
  const bool is_text = std::find(displays.begin(), displays.end(), "text") != displays.end();
  const bool is_twice = ports.virtio_console.kind == Kind::Console &&
                        (ports.serial.kind == Kind::Console || options.daemonize || is_text);
  if (is_twice)
    *problem = "--virtio-console console: the terminal is somebody else's, or not there";
  return !is_twice;
}

bool RunPorts::open(PortsConfig* ports, bool waits, std::string* error) {
  for (PortTarget* target : all_ports(*ports)) {
    if (target->kind != Kind::Socket) continue;
    std::unique_ptr<PortSocket> socket = PortSocket::create(target->request, error);
    if (socket == nullptr) return false;
    if (waits) socket->wait_for_peer();
    target->socket = socket.get();
    sockets_.push_back(std::move(socket));
  }
  return true;
}

}  // namespace ringshift
