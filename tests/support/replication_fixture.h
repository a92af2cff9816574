// Shared by tests of pairs: a tie-breaker's file in memory, and the two ends of a stream whose
// sides have greeted each other.
#pragma once

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "monitor/migration/socket_stream.h"
#include "monitor/replication/replica_link.h"
#include "monitor/replication/replica_messages.h"
#include "monitor/replication/tie_breaker.h"
#include "shadowmmu/base/check.h"

namespace ringshift {

class TieFile {
 public:
  TieFile() : descriptor_(memfd_create("tie", MFD_CLOEXEC)) {}
  ~TieFile() { close(descriptor_); }
  TieFile(const TieFile&) = delete;
  TieFile& operator=(const TieFile&) = delete;
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] std::unique_ptr<TieBreaker> open(TieBreaker::Side side,
                                                 const TieBreaker::Pair& pair = {1, 2, 3}) const {
    std::string error;
    auto breaker = TieBreaker::open(path(), side, pair, &error);
    CHECK(breaker != nullptr);
    return breaker;
  }

 private:
  int descriptor_;
};

inline ReplicaConnection connection_over(int socket) {
  ReplicaConnection connection;
  connection.stream = std::make_unique<SocketStream>(socket, [] { return true; });
  connection.messages = std::make_unique<MigrationMessages>(*connection.stream);
  return connection;
}

// Ours, with which a test plays the other side, and theirs.
struct TwoEnds {
  TwoEnds() {
    std::array<int, 2> ends{};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
    ours = connection_over(ends[0]);
    theirs = connection_over(ends[1]);
    ours.stream->set_patience(10'000);
  }
  void hang_up() {
    ours.messages.reset();
    ours.stream.reset();
  }
  ReplicaConnection ours, theirs;
};

inline TapePosition position(uint64_t events, uint64_t halts = 0, bool is_halted = false) {
  return {.life = 0, .events = events, .halts = halts, .is_halted = is_halted};
}

inline TapeEntry typed_at(const TapePosition& at, const std::string& text) {
  return {.kind = TapeEntry::Kind::Input,
          .at = at,
          .input = {HostInput::Kind::ConsoleBytes, 3, {text.begin(), text.end()}},
          .mark = {}};
}

inline std::vector<uint8_t> plain_of(const std::vector<TapeEntry>& entries) {
  std::vector<uint8_t> plain;
  for (const TapeEntry& entry : entries) append_entry(entry, &plain);
  return plain;
}

}  // namespace ringshift
