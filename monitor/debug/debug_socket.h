// DebugSocket: listens for one peer at a time (a debugger, a control program), TCP or UNIX, or
// connects to it once at the start. The home of sockets. Owns: the listening and the connected
// descriptor, the thread that waits on both, what has come and what is to go (both bounded). See
// docs/debugging.md, docs/control.md.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "monitor/debug/debug_address.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift::debug {

class DebugSocket {
 public:
  // Null with one line in *error, which begins with the name of the option that asked for it.
  static std::unique_ptr<DebugSocket> create(const DebugAddress& address, std::string option,
                                             std::string* error);
  ~DebugSocket();
  DebugSocket(const DebugSocket&) = delete;
  DebugSocket& operator=(const DebugSocket&) = delete;

  // Throws std::system_error when the host refuses the thread. Once; notify must only take note.
  void start(std::function<void()> notify);
  // As a person would give it to gdb.
  [[nodiscard]] const std::string& where() const { return where_; }

  [[nodiscard]] bool is_connected();
  struct Received {
    std::vector<uint8_t> bytes;
    bool ended = false;  // there will be no more: close() makes room for the next one
  };
  [[nodiscard]] Received receive();
  // A peer that lets more than 256 KiB wait does not read: it is given up.
  void send(std::string_view bytes);
  // The peer takes what it is sent: less than 64 KiB waits. notify() tells of a change to that.
  [[nodiscard]] bool has_room();
  // Nobody will read what is sent any more.
  [[nodiscard]] bool is_broken();
  // Once what has been sent is on its way, or nobody takes it.
  void close();

 private:
  DebugSocket(const DebugAddress& address, std::string option)
      : address_(address), option_(std::move(option)) {}
  [[nodiscard]] bool open(std::string* error);
  [[nodiscard]] bool listen_tcp(std::string* error);
  [[nodiscard]] bool listen_unix(std::string* error);
  [[nodiscard]] bool connect_once(std::string* error);
  [[nodiscard]] bool fail(const char* what, std::string* error) const;
  void wait_and_read();
  [[nodiscard]] bool prepare_to_wait();
  void accept_one();
  void read_some();
  void write_some();
  void close_if_done();
  void give_up();

  using Clock = std::chrono::steady_clock;
  static constexpr size_t kInboxLimit = 64 * 1024, kOutboxLimit = 256 * 1024;
  static constexpr size_t kEnoughWaits = 64 * 1024;
  DebugAddress address_;
  std::string option_;
  std::string where_;
  bool made_path_ = false;
  int listening_ = -1;
  std::function<void()> notify_;
  std::mutex mutex_;  // guards the eight below
  int connected_ = -1;
  std::vector<uint8_t> inbox_;
  std::string outbox_;
  bool ended_ = false;   // nothing more comes: the peer may still read
  bool broken_ = false;  // nothing more goes
  bool closing_ = false;
  Clock::time_point given_up_at_;  // closing, or the thread is to end: no longer than until then
  std::array<pollfd, 3> waiting_{};
  HostThread thread_;
};

}  // namespace ringshift::debug
