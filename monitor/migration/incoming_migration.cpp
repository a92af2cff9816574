#include "monitor/migration/incoming_migration.h"

#include <algorithm>
#include <utility>

#include "monitor/migration/greeting/greeting.h"

namespace ringshift {
namespace {

constexpr size_t kBeginBytes = 16, kEndBytes = 16;

}  // namespace

IncomingMigration::IncomingMigration(MigrationStream& stream, ArrivingMachine& machine,
                                     std::string key, const MigrationNonce& nonce)
    : messages_(stream), machine_(machine), key_(std::move(key)), nonce_(nonce) {}

bool IncomingMigration::refuse(std::string problem) {
  problem_ = std::move(problem);
  const auto* text = reinterpret_cast<const uint8_t*>(problem_.data());
  (void)messages_.send(MessageKind::Refuse, {text, problem_.size()});
  return false;
}

bool IncomingMigration::fail_by_messages() {
  problem_ = messages_.problem();
  return false;
}

IncomingMigration::Outcome IncomingMigration::receive() {
  if (!greet()) return Outcome::TurnedAway;
  return take_description() && take_all() && take_over() ? Outcome::Arrived : Outcome::Failed;
}

bool IncomingMigration::greet() { return answer_greeting(messages_, key_, nonce_, &problem_); }

bool IncomingMigration::take_description() {
  MigrationMessage message;
  if (!messages_.expect(MessageKind::Begin, &message)) return fail_by_messages();
  if (message.bytes.size() != kBeginBytes) return refuse("the machine's description is none");
  const uint64_t ram_bytes = get_u64(message.bytes, 0);
  const uint32_t grain_bytes = get_u32(message.bytes, sizeof(uint64_t));
  const uint64_t own = machine_.arriving_memory().size();
  if (ram_bytes != own) {
    return refuse("the machine has " + std::to_string(ram_bytes >> 20) +
                  " MiB of memory, and here " + std::to_string(own >> 20) + " (--memory)");
  }
  if (!grains_.begin(machine_.arriving_memory(), grain_bytes)) {
    return refuse("the machine's memory comes in impossible pieces");
  }
  while (true) {
    if (!messages_.receive(&message)) return fail_by_messages();
    if (message.kind == MessageKind::Rehearse) break;
    if (message.kind != MessageKind::State) return refuse("something is said out of turn");
    if (!take_state(message)) return false;
  }
  std::string error;
  const std::vector<uint8_t> state = std::exchange(state_, {});
  if (!machine_.load_state(state, false, &error)) {
    return refuse("the machine is made otherwise: " + error);
  }
  return messages_.send(MessageKind::Accept) || fail_by_messages();
}

bool IncomingMigration::take_all() {
  MigrationMessage message;
  while (true) {
    if (!messages_.receive(&message)) return fail_by_messages();
    switch (message.kind) {
      case MessageKind::Grain:
        if (!take_grain(message)) return false;
        break;
      case MessageKind::State:
        if (!take_state(message)) return false;
        break;
      case MessageKind::Missing:
        if (!take_missing(message)) return false;
        break;
      case MessageKind::End:
        return take_end(message);
      default:
        return refuse("something is said out of turn");
    }
  }
}

bool IncomingMigration::take_state(const MigrationMessage& message) {
  if (state_.size() + message.bytes.size() > kMostMigratedState) {
    return refuse("the machine's state is too large");
  }
  state_.insert(state_.end(), message.bytes.begin(), message.bytes.end());
  return true;
}

bool IncomingMigration::take_grain(const MigrationMessage& message) {
  if (!missing_.empty()) return refuse("something is said out of turn");
  std::string problem;
  return grains_.take(message.bytes, &problem) || refuse(problem);
}

// One bit a grain, the lowest of a byte first.
bool IncomingMigration::take_missing(const MigrationMessage& message) {
  const size_t grains = grains_.count();
  if (!missing_.empty()) return refuse("something is said out of turn");
  if (grains > kMostLateGrains) return refuse("memory comes in too many pieces to come later");
  if (message.bytes.size() != (grains + 7) / 8) {
    return refuse("the list of what comes later is none");
  }
  missing_.resize(grains);
  for (size_t i = 0; i < message.bytes.size() * 8; ++i) {
    if ((message.bytes[i / 8] >> (i % 8) & 1) == 0) continue;
    if (i >= grains || i * grains_.grain_bytes() < kNeverLate) {
      return refuse("memory comes later that cannot");
    }
    missing_[i] = true;
  }
  return true;
}

bool IncomingMigration::expect_missing() {
  LateGrainsSetup setup{.missing = missing_,
                        .had_bytes = std::vector<bool>(grains_.count()),
                        .grain_bytes = grains_.grain_bytes(),
                        .messages = &messages_};
  for (size_t i = 0; i < grains_.count(); ++i) {
    setup.had_bytes[i] = grains_.has_bytes(i);
    if (missing_[i]) grains_.forget(i);
  }
  std::string error;
  return machine_.expect_late(setup, &error) || refuse(error);
}

bool IncomingMigration::take_end(const MigrationMessage& message) {
  if (message.bytes.size() != kEndBytes) return refuse("the end of the stream is none");
  stands_ = (get_u32(message.bytes, 0) & kMigratedStands) != 0;
  if (!missing_.empty() && !expect_missing()) return false;
  const uint64_t hash = grains_.hash();
  if (get_u64(message.bytes, sizeof(uint64_t)) != hash) {
    return refuse("memory has come otherwise than it was sent");
  }
  std::string error;
  if (!machine_.load_state(state_, true, &error)) return refuse(error);
  state_ = {};
  std::vector<uint8_t> answer;
  put_u64(&answer, hash);
  return messages_.send(MessageKind::Ready, answer) || fail_by_messages();
}

// With the word Commit the machine is ours, and once our answer is on its way it may run. If the
// answer cannot be sent, the source has gone: it has said already that it does not run the machine.
bool IncomingMigration::take_over() {
  MigrationMessage message;
  if (!messages_.receive(&message)) return fail_by_messages();
  if (message.kind != MessageKind::Commit) return refuse("something is said out of turn");
  std::string error;
  if (!machine_.retake_media(&error)) return refuse(error);
  (void)messages_.send(MessageKind::Running);
  return true;
}

}  // namespace ringshift
