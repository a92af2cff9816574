// ReplicaMessages: the messages of a primary and its backup once they are a pair, as values and as
// bytes (monitor/migration/migration_messages.h). A message is never trusted. See
// docs/replication.md, "The stream".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "monitor/replay/tape_format.h"
#include "monitor/replication/held_output.h"
#include "monitor/replication/tie_breaker.h"

namespace ringshift {

// The primary's first message (MessageKind::Begin).
struct ReplicaBegin {
  uint32_t timeout = 0;  // milliseconds of silence after which the other side is taken for dead
  bool joins = false;    // the machine runs already, and is brought when the backup is ready
  TieBreaker::Pair pair{};
  std::vector<uint8_t> run;  // the run that both are, as its command describes it
};
inline constexpr uint32_t kReplicaFormat = 2;
inline constexpr uint32_t kLeastTimeout = 100, kMostTimeout = 60'000;
[[nodiscard]] std::vector<uint8_t> bytes_of(const ReplicaBegin& begin);
// False with one line in *problem.
[[nodiscard]] bool read_begin(std::span<const uint8_t> bytes, ReplicaBegin* begin,
                              std::string* problem);

// The message of a primary whose machine runs already, when its backup is ready
// (MessageKind::Join): the position where the log begins, and the amounts before it. The state
// follows by MessageKind::State, then RAM by MessageKind::Grain; grains that are not sent are
// zeros. MessageKind::End has a hash of the grains. The backup answers Ready.
struct ReplicaJoin {
  // Bytes that the guest has been given, by HostInput::source.
  static constexpr size_t kSources = 8;
  using Taken = std::array<uint64_t, kSources>;
  static constexpr uint32_t kMostLives = uint32_t{1} << 30;
  TapePosition at;            // of a life below kMostLives
  HeldOutput::Totals come{};  // sent by the guest
  Taken taken{};
  uint64_t ram_bytes = 0;
  uint32_t grain_bytes = 0;  // a power of two, 4 KiB to 1 MiB
};
[[nodiscard]] std::vector<uint8_t> bytes_of(const ReplicaJoin& join);
// False: it is none.
[[nodiscard]] bool read_join(std::span<const uint8_t> bytes, ReplicaJoin* join);

// The primary's message with all inputs that its guest was given up to a position
// (MessageKind::Log).
struct ReplicaLog {
  uint64_t number = 0;  // from 1 on
  TapePosition reached;
  HeldOutput::Totals left{};  // shown to the outside
  // The guest's output waits for the backup: a backup that has this log may take over.
  bool is_held = false;
  std::vector<TapeEntry> entries;  // none of them behind `reached`
};
// Makes a log of entries in pieces: `plain` is made by append_entry().
[[nodiscard]] std::vector<uint8_t> bytes_of_log(uint64_t number, const TapePosition& reached,
                                                const HeldOutput::Totals& left,
                                                std::span<const uint8_t> plain,
                                                bool is_held = true);
[[nodiscard]] bool read_log(std::span<const uint8_t> bytes, uint64_t number, ReplicaLog* log,
                            std::string* problem);

// The primary's regular message (MessageKind::Beat).
[[nodiscard]] std::vector<uint8_t> bytes_of_beat(const HeldOutput::Totals& left);
[[nodiscard]] bool read_beat(std::span<const uint8_t> bytes, HeldOutput::Totals* left);

// The backup's message after each log, and regularly (MessageKind::Heard): the last log that it
// has, and the last whose end its guest has reached.
struct ReplicaHeard {
  uint64_t heard = 0, played = 0;
};
[[nodiscard]] std::vector<uint8_t> bytes_of(const ReplicaHeard& heard);
// False: it is none, or says something that cannot follow `before`, if `sent` logs have been sent.
[[nodiscard]] bool read_heard(std::span<const uint8_t> bytes, const ReplicaHeard& before,
                              uint64_t sent, ReplicaHeard* heard);

// The first comes before the second: a guest halts, and goes on behind that.
[[nodiscard]] bool is_before(const TapePosition& one, const TapePosition& other);

}  // namespace ringshift
