// HostSocket: one peer at a time (a debugger, a control program, the other end of a serial port)
// over TCP or UNIX: listens for it, or connects to it, once at the start or again and again. It can
// also be a pseudo-terminal, a pair of FIFOs, or datagrams to and from one other. Owns: the
// listening and the connected descriptor, the thread that waits on both, the bytes received and
// those to be sent (both bounded). See docs/debugging.md, docs/control.md.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "monitor/host/sockets/socket_address.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

class HostSocket {
 public:
  // Null with one line in *error, which begins with the name of the option that asked for it.
  static std::unique_ptr<HostSocket> create(const SocketAddress& address, std::string option,
                                            std::string* error);
  ~HostSocket();
  HostSocket(const HostSocket&) = delete;
  HostSocket& operator=(const HostSocket&) = delete;

  // Throws std::system_error when the host refuses the thread. Once; notify must only take note.
  void start(std::function<void()> notify);
  // As a person would give it to gdb; of a pseudo-terminal the path of its device.
  [[nodiscard]] const std::string& where() const { return where_; }

  [[nodiscard]] bool is_connected();
  struct Received {
    std::vector<uint8_t> bytes;
    bool ended = false;  // there will be no more: close() makes room for the next one
  };
  [[nodiscard]] Received receive();
  // Nothing comes any more but the bytes that receive() has at once.
  [[nodiscard]] bool has_ended();
  // A peer that lets more than 256 KiB wait does not read: it is given up. Nobody is there: lost.
  void send(std::string_view bytes);
  // The peer takes its bytes: less than 64 KiB waits. notify() tells of a change to that.
  [[nodiscard]] bool has_room();
  // Bytes that wait for the peer to take them.
  [[nodiscard]] size_t waiting();
  // True: nobody will read sent bytes any more.
  [[nodiscard]] bool is_broken();
  // Closes once all sent bytes are on their way, or nobody takes them. A pseudo-terminal stays.
  void close();

 private:
  HostSocket(const SocketAddress& address, std::string option)
      : address_(address), option_(std::move(option)) {}
  [[nodiscard]] bool open(std::string* error);
  [[nodiscard]] bool listen(std::string* error);
  [[nodiscard]] bool connect_once(std::string* error);
  [[nodiscard]] bool make_terminal(std::string* error);
  [[nodiscard]] bool open_fifos(std::string* error);
  [[nodiscard]] bool open_datagram_socket(std::string* error);
  [[nodiscard]] bool is_terminal() const { return address_.kind == SocketAddress::Kind::Pty; }
  // True for a kind whose peer can leave.
  [[nodiscard]] bool can_end() const {
    return address_.kind == SocketAddress::Kind::Tcp || address_.kind == SocketAddress::Kind::Unix;
  }
  [[nodiscard]] long read_bytes(std::span<uint8_t> bytes) const;
  [[nodiscard]] long write_bytes(std::string_view bytes) const;
  void look_at_terminal();
  [[nodiscard]] int until_next_try();
  void try_to_connect();
  void end_connecting();
  void take_peer(int descriptor);
  [[nodiscard]] bool fail(const char* what, std::string* error) const;
  void wait_and_read();
  [[nodiscard]] bool prepare_to_wait();
  void accept_one();
  void read_some();
  void write_some();
  void tell_if_given_up();
  void close_if_done();
  void give_up();

  using Clock = std::chrono::steady_clock;
  static constexpr size_t kInboxLimit = 64 * 1024, kOutboxLimit = 256 * 1024;
  static constexpr size_t kEnoughWaits = 64 * 1024;
  SocketAddress address_;
  std::string option_;
  std::string where_;
  bool made_path_ = false;
  int listening_ = -1;
  std::function<void()> notify_;
  std::mutex mutex_;  // guards the eleven below
  int connected_ = -1;
  int written_to_ = -1;   // the second one of a pair of FIFOs
  bool hung_up_ = false;  // nobody has opened the pseudo-terminal
  std::vector<uint8_t> inbox_;
  std::string outbox_;
  bool ended_ = false;   // nothing more comes: the peer may still read
  bool broken_ = false;  // nothing more goes
  bool closing_ = false;
  bool gave_up_ = false;           // the waiting reader is to hear of it
  Clock::time_point given_up_at_;  // closing, or the thread is to end: no longer than until then
  // The thread's:
  int connecting_ = -1;
  Clock::time_point next_try_{};  // if it connects again and again
  std::array<pollfd, 4> waiting_{};
  HostThread thread_;
};

}  // namespace ringshift
