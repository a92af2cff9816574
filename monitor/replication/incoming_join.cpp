#include "monitor/replication/incoming_join.h"

#include <utility>

namespace ringshift {

bool IncomingJoin::refuse(std::string problem) {
  problem_ = std::move(problem);
  const auto* text = reinterpret_cast<const uint8_t*>(problem_.data());
  (void)messages_.send(MessageKind::Refuse, {text, problem_.size()});
  return false;
}

bool IncomingJoin::receive() {
  MigrationMessage message;
  if (!messages_.expect(MessageKind::Join, &message)) {
    problem_ = messages_.problem();
    return false;
  }
  if (!read_join(message.bytes, &join_)) return refuse("the machine's description is none");
  GuestMemory& memory = machine_.physical_memory().ram();
  if (join_.ram_bytes != memory.size() || !grains_.begin(memory, join_.grain_bytes)) {
    return refuse("the machine's memory has another size");
  }
  while (true) {
    if (!messages_.receive(&message)) {
      problem_ = messages_.problem();
      return false;
    }
    if (message.kind == MessageKind::End) return take_end(message);
    if (!take(message)) return false;
  }
}

bool IncomingJoin::take(const MigrationMessage& message) {
  if (message.kind == MessageKind::State) {
    if (state_.size() + message.bytes.size() > kMostMigratedState) {
      return refuse("the machine's state is too large");
    }
    state_.insert(state_.end(), message.bytes.begin(), message.bytes.end());
    return true;
  }
  if (message.kind != MessageKind::Grain) return refuse("something is said out of turn");
  std::string problem;
  return grains_.take(message.bytes, &problem) || refuse(problem);
}

bool IncomingJoin::take_end(const MigrationMessage& message) {
  if (message.bytes.size() != sizeof(uint64_t) || get_u64(message.bytes, 0) != grains_.hash()) {
    return refuse("memory has come otherwise than it was sent");
  }
  std::string error;
  if (!machine_.load_moment(state_, join_.at, &error)) {
    return refuse("the machine is made otherwise: " + error);
  }
  state_ = {};
  if (messages_.send(MessageKind::Ready)) return true;
  problem_ = messages_.problem();
  return false;
}

}  // namespace ringshift
