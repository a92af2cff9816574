#include "monitor/host/sockets/port_socket.h"

#include <fmt/format.h>
#include <poll.h>

#include <cstdio>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace ringshift {
namespace {

constexpr size_t kMostBuffered = 4096;
// Input that has not found its reader. Beyond the first bound no more is read from a peer; input of
// a peer that has gone, all of which is here, is lost beyond the second.
constexpr size_t kReadAhead = 64 * 1024, kMostInput = 4 * kReadAhead;
constexpr int kLookMilliseconds = 10;

// As QEMU calls the port where it says the same, in words that scripts look for.
std::string label_of(const std::string& option) {
  if (option == "--serial") return "serial0";
  return option == "--serial2" ? "serial1" : option.substr(2);
}

void tell(const PortSocketRequest& request, const std::string& where) {
  const SocketAddress& address = request.where;
  std::string text;
  if (address.kind == SocketAddress::Kind::Pty) {
    text = "char device redirected to " + where + " (label " + label_of(request.option) + ")";
  } else if (request.waits) {
    text = "the machine waits for a peer at " + where;
  } else if (address.kind == SocketAddress::Kind::Tcp && address.port == 0) {
    text = "listens at " + where;
  }
  if (text.empty()) return;
  std::fprintf(stderr, "ringshift: %s: %s\n", request.option.c_str(), text.c_str());
}

}  // namespace

std::unique_ptr<PortSocket> PortSocket::create(const PortSocketRequest& request,
                                               std::string* error) {
  auto port = std::unique_ptr<PortSocket>(new PortSocket(request));
  port->socket_ = HostSocket::create(request.where, request.option, error);
  if (port->socket_ == nullptr) return nullptr;
  tell(request, port->socket_->where());
  try {
    port->socket_->start([raw = port.get()] { raw->on_news(); });
  } catch (const std::system_error& refused) {
    *error = request.option + ": the host refuses a thread: " + refused.what();
    return nullptr;
  }
  return port;
}

PortSocket::~PortSocket() = default;

void PortSocket::wait_for_peer() {
  while (awaits_peer()) (void)poll(nullptr, 0, kLookMilliseconds);
}

bool PortSocket::awaits_peer() { return request_.waits && !socket_->is_connected(); }

void PortSocket::attach(Machine machine) {
  {
    const std::lock_guard lock(mutex_);
    machine_ = std::move(machine);
    on_its_way_ = 0;
  }
  pull();
}

void PortSocket::detach() {
  flush();
  const std::lock_guard lock(mutex_);
  machine_ = {};
}

void PortSocket::transmit(uint8_t byte) {
  if (buffer_.empty() && machine_.on_held) machine_.on_held();
  buffer_.push_back(static_cast<char>(byte));
  if (byte == '\n' || buffer_.size() >= kMostBuffered) flush();
}

void PortSocket::flush() {
  if (buffer_.empty()) return;
  send(std::exchange(buffer_, {}));
  // The machine looks, and stands still.
  if (machine_.inbox != nullptr && !socket_->has_room()) machine_.inbox->wake();
}

void PortSocket::send(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (telnet_ != nullptr) return telnet_->put(bytes);
  socket_->send(bytes);
}

bool PortSocket::is_full() { return !socket_->has_room() && socket_->is_connected(); }

void PortSocket::input_taken(size_t count) {
  {
    const std::lock_guard lock(mutex_);
    on_its_way_ -= count < on_its_way_ ? count : on_its_way_;
  }
  pull();
}

// The socket's thread: somebody has come, has said something, has gone, or reads again.
void PortSocket::on_news() {
  pull();
  const std::lock_guard lock(mutex_);
  if (machine_.inbox != nullptr) machine_.inbox->wake();
}

// Gives the peer's bytes to the machine, as long as it takes them.
void PortSocket::pull() {
  const std::lock_guard lock(mutex_);
  if (machine_.inbox == nullptr || !socket_->is_connected()) return;
  const bool has_ended = socket_->has_ended();
  if (on_its_way_ >= kReadAhead && !has_ended) return;
  if (request_.is_telnet && telnet_ == nullptr) {
    telnet_ =
        std::make_unique<TelnetLine>([this](std::string_view bytes) { socket_->send(bytes); });
  }
  put_in(socket_->receive().bytes);
  if (!has_ended) return;
  telnet_.reset();
  socket_->close();
}

// Pre: the mutex is held.
void PortSocket::put_in(std::vector<uint8_t> bytes) {
  if (telnet_ != nullptr) bytes = telnet_->take(bytes);
  if (bytes.empty() || !machine_.takes_input || on_its_way_ >= kMostInput) return;
  on_its_way_ += bytes.size();
  machine_.inbox->put({HostInput::Kind::ConsoleBytes, machine_.source, std::move(bytes)});
}

}  // namespace ringshift
