// PortSocket: a socket or a pseudo-terminal as the other end of a guest's serial port, debug
// console or virtio console. Outlives the machine, as its peer does: a guest that resets goes on
// with the same one. Output while nobody is connected is lost. Owns: the socket, output on its way,
// input read ahead (all bounded). See docs/usage.md, "Ports".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "devices/chips/serial_backend.h"
#include "devices/host/inbox.h"
#include "monitor/host/sockets/host_socket.h"
#include "monitor/host/sockets/socket_address.h"
#include "monitor/host/sockets/telnet_line.h"

namespace ringshift {

// As the command line says it.
struct PortSocketRequest {
  std::string option;  // that asked for it
  SocketAddress where;
  bool is_telnet = false;
  bool waits = false;  // the machine does not begin before somebody has come
};

class PortSocket final : public SerialBackend {
 public:
  // Null with one line in *error. Says on standard error where a peer finds it, if that was not
  // chosen by the user.
  static std::unique_ptr<PortSocket> create(const PortSocketRequest& request, std::string* error);
  ~PortSocket() override;

  // Returns when there is a peer, if it is to be waited for.
  void wait_for_peer();
  // There is none yet, and it is to be waited for.
  [[nodiscard]] bool awaits_peer();
  // The machine that the port serves, from attach to detach.
  struct Machine {
    Inbox* inbox = nullptr;
    uint8_t source = 0;             // the source that its input names
    bool takes_input = true;        // false: bytes from the peer are dropped
    std::function<void()> on_held;  // output begins to be buffered: flush() soon
  };
  void attach(Machine machine);
  void detach();

  // vCPU thread. Never waits. Buffered: a peer gets it at a newline, at 4 KiB, or by flush().
  void transmit(uint8_t byte) override;
  void flush();
  // The peer does not read its bytes: the guest should stand still until it is woken.
  [[nodiscard]] bool is_full();
  // Bytes that the peer, if somebody is there, has not been sent.
  [[nodiscard]] size_t unsent() { return buffer_.size() + socket_->waiting(); }
  // So many bytes that were put into the inbox have found their reader.
  void input_taken(size_t count);

 private:
  explicit PortSocket(PortSocketRequest request) : request_(std::move(request)) {}
  void on_news();
  void pull();
  void put_in(std::vector<uint8_t> bytes);
  void send(std::string_view bytes);

  const PortSocketRequest request_;
  std::string buffer_;  // vCPU thread
  std::mutex mutex_;    // guards the rest
  Machine machine_;
  size_t on_its_way_ = 0;  // bytes of input that have not found their reader
  std::unique_ptr<TelnetLine> telnet_;
  std::unique_ptr<HostSocket> socket_;  // last: its thread comes to the rest
};

}  // namespace ringshift
