// SocketStream: a migration's or a replica's stream over a socket that does not block. A caller
// waits, but never longer than it says, nor after the conversation has been given up. Owns: the
// socket. See docs/migration.md.
#pragma once

#include <functional>
#include <utility>

#include "monitor/migration/migration_messages.h"

namespace ringshift {

class SocketStream final : public MigrationStream {
 public:
  // is_wanted: asked every few milliseconds while it waits, and after each interruption.
  SocketStream(int socket, std::function<bool()> is_wanted);
  ~SocketStream() override;
  SocketStream(const SocketStream&) = delete;
  SocketStream& operator=(const SocketStream&) = delete;

  // Replaces is_wanted. Nobody uses the stream meanwhile.
  void set_wanted(std::function<bool()> is_wanted) { is_wanted_ = std::move(is_wanted); }
  // For how long the other side may be silent; 30 seconds, unless said otherwise.
  void set_patience(int milliseconds) { patience_ = milliseconds; }
  // Waits for a connection that was begun. False: *problem says why.
  [[nodiscard]] bool wait_until_connected(std::string* problem);
  // True: bytes have come, or the connection has ended. Does not wait.
  [[nodiscard]] bool has_news() const;
  // Waits so long, or until something has come or `wake` is readable. False: not wanted any more.
  [[nodiscard]] bool wait(int wake, int milliseconds);

  [[nodiscard]] bool read(std::span<uint8_t> bytes) override;
  [[nodiscard]] bool write(std::span<const uint8_t> bytes) override;
  [[nodiscard]] End end() const override { return end_; }

 private:
  [[nodiscard]] bool wait_for(short events);
  bool note(long count);

  int socket_;
  std::function<bool()> is_wanted_;
  int patience_ = 30'000;
  bool is_local_ = false;  // UNIX or loopback: an end by reset is the other process's
  End end_ = End::None;
};

}  // namespace ringshift
