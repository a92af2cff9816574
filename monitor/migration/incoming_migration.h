// IncomingMigration: the side of a migration that gets the machine: one conversation with a peer
// that has connected, from its first word to the one that makes the machine ours. The peer's
// messages are hostile input: sizes are bounded, RAM is written only where a message whose hash is
// right says, and the machine runs only after all of it has been compared. Does not own: the
// machine, the stream. See docs/migration.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "monitor/migration/arriving_grains.h"
#include "monitor/migration/greeting/migration_key.h"
#include "monitor/migration/migration_messages.h"
#include "shadowmmu/guest_memory.h"

namespace ringshift {

// The facts that a machine needs about grains that are not there yet.
struct LateGrainsSetup {
  std::vector<bool> missing;    // by grain
  std::vector<bool> had_bytes;  // by grain: something that is out of date is in its place
  uint32_t grain_bytes = 0;
  MigrationMessages* messages = nullptr;  // the conversation that they come in
};

// The machine that waits for its state. Implemented by Machine, and by a fake in tests.
class ArrivingMachine {
 public:
  virtual ~ArrivingMachine() = default;
  // All zeros, and nobody else looks at it yet.
  [[nodiscard]] virtual GuestMemory& arriving_memory() = 0;
  // False with one line in *error: it is made otherwise. The state may come again. with_media: the
  // last one, which has the state of the disks.
  [[nodiscard]] virtual bool load_state(std::span<const uint8_t> state, bool with_media,
                                        std::string* error) = 0;
  // These grains of RAM come after the machine runs, in messages that begin with the next one.
  // False with one line in *error. Before the last load_state(), and not more than once.
  [[nodiscard]] virtual bool expect_late(const LateGrainsSetup& setup, std::string* error) = 0;
  // The images that it writes to are its own from now on. False with one line in *error.
  [[nodiscard]] virtual bool retake_media(std::string* error) = 0;
};

class IncomingMigration {
 public:
  enum class Outcome : uint8_t {
    TurnedAway,  // a stranger: nothing has been touched, and another one may come
    Failed,      // the machine is half there, and of no use
    Arrived,     // it is ours
  };
  // key: empty: none. nonce: fresh random bytes.
  IncomingMigration(MigrationStream& stream, ArrivingMachine& machine, std::string key,
                    const MigrationNonce& nonce);

  [[nodiscard]] Outcome receive();
  // One line; of Arrived, empty.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  // True: somebody has stopped the guest, and it is not to run before somebody lets it go.
  [[nodiscard]] bool stands() const { return stands_; }
  // Pre: receive() was Arrived. True: some of its RAM is still to come.
  [[nodiscard]] bool is_late() const { return !missing_.empty(); }
  // The conversation goes on without us. Once, and nothing else is called after it.
  [[nodiscard]] MigrationMessages take_messages() { return std::move(messages_); }

 private:
  [[nodiscard]] bool greet();
  [[nodiscard]] bool take_description();
  [[nodiscard]] bool take_all();
  [[nodiscard]] bool take_state(const MigrationMessage& message);
  [[nodiscard]] bool take_grain(const MigrationMessage& message);
  [[nodiscard]] bool take_missing(const MigrationMessage& message);
  [[nodiscard]] bool expect_missing();
  [[nodiscard]] bool take_end(const MigrationMessage& message);
  [[nodiscard]] bool take_over();
  // Notes the problem, and tells it to the other side.
  bool refuse(std::string problem);
  bool fail_by_messages();

  MigrationMessages messages_;
  ArrivingMachine& machine_;
  std::string key_;
  MigrationNonce nonce_;
  std::string problem_;
  ArrivingGrains grains_;
  std::vector<bool> missing_;   // by grain; empty: all comes before the end
  std::vector<uint8_t> state_;  // as much of it as has come
  bool stands_ = false;
};

}  // namespace ringshift
