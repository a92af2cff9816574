// ReplicaLink: one end of the stream between a primary and its backup: a thread that sends
// messages, hands on those that come, and reports that the other side has gone, or has been silent
// for too long. Owns: the thread, the stream, the messages that wait to be sent. See
// docs/replication.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "monitor/migration/migration_messages.h"
#include "monitor/migration/socket_stream.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {

// A stream whose two sides have greeted each other.
struct ReplicaConnection {
  std::unique_ptr<SocketStream> stream;
  std::unique_ptr<MigrationMessages> messages;  // over it
};

class ReplicaLink {
 public:
  struct Setup {
    uint32_t timeout = 0;  // milliseconds
    // All on the thread. False with one line in *problem: the message makes no sense.
    std::function<bool(const MigrationMessage& message, std::string* problem)> on_message;
    // Every few milliseconds: may send. False with one line in *problem: the other side is given
    // up.
    std::function<bool(std::string* problem)> on_tick;
    // Once; the thread ends behind it. Not if we ended it ourselves.
    std::function<void(const std::string& why)> on_end;
  };
  ReplicaLink(ReplicaConnection connection, Setup setup);
  // Messages that wait to be sent have a tenth of a second left.
  ~ReplicaLink();
  ReplicaLink(const ReplicaLink&) = delete;
  ReplicaLink& operator=(const ReplicaLink&) = delete;

  // Throws std::system_error when the host refuses the thread.
  void start();
  // Any thread. Never waits; the caller bounds its bytes.
  void send(MessageKind kind, std::vector<uint8_t> bytes);
  // No more words: the thread ends when all has been sent, or time is up.
  void finish();

 private:
  struct Waiting {
    MessageKind kind;
    std::vector<uint8_t> bytes;
  };
  void work();
  [[nodiscard]] bool send_all();
  [[nodiscard]] bool take_all(std::string* problem);
  [[nodiscard]] bool is_wanted() const;

  ReplicaConnection connection_;
  Setup setup_;
  int64_t heard_at_ = 0;  // of the host's clock
  std::atomic<int64_t> farewell_until_{0};
  std::mutex mutex_;  // guards waiting_
  std::vector<Waiting> waiting_;
  HostThread thread_;
};

}  // namespace ringshift
