// DebugSocket: listens for one debugger at a time, TCP or UNIX. The home of sockets.
// Owns: the listening and the connected descriptor, the thread that waits on both, what has come
// and what is to go (both bounded). Called by: debugger, on the vCPU thread, which never waits
// here; `notify` runs on the waiting thread. See docs/debugging.md.
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
#include <thread>
#include <vector>

#include "monitor/debug/debug_address.h"

namespace ringshift::debug {

class DebugSocket {
 public:
  // Null with one line in *error.
  static std::unique_ptr<DebugSocket> create(const DebugAddress& address, std::string* error);
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
  // Once what has been sent is on its way, or nobody takes it.
  void close();

 private:
  explicit DebugSocket(const DebugAddress& address) : address_(address) {}
  [[nodiscard]] bool listen_tcp(std::string* error);
  [[nodiscard]] bool listen_unix(std::string* error);
  [[nodiscard]] bool is_deserted() const;
  void wait_and_read();
  [[nodiscard]] bool prepare_to_wait();
  void wake_up();
  void accept_one();
  void read_some();
  void write_some();
  void close_if_done();

  using Clock = std::chrono::steady_clock;
  static constexpr size_t kInboxLimit = 64 * 1024, kOutboxLimit = 256 * 1024;
  DebugAddress address_;
  std::string where_;
  bool made_path_ = false;
  int listening_ = -1;
  int wake_ = -1;  // eventfd: stop, or something below has changed
  std::function<void()> notify_;
  std::mutex mutex_;  // guards the eight below
  int connected_ = -1;
  std::vector<uint8_t> inbox_;
  std::string outbox_;
  bool ended_ = false;
  bool closing_ = false;
  bool stopping_ = false;
  Clock::time_point given_up_at_;  // closing or stopping: no longer than until then
  std::array<pollfd, 3> waiting_{};
  std::thread thread_;
};

}  // namespace ringshift::debug
