// A primary that says anything: the backup ends with one line, or gives its guest what it was told,
// in its order, and no further than the primary is known to be. An input that begins with J is of a
// primary whose machine runs already, and is brought: a refusal is one line, and nobody takes over
// from a primary that has not said that its output waits.
#include <poll.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "monitor/replication/backup.h"
#include "monitor/replication/incoming_join.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/joined_fixture.h"
#include "tests/support/replication_fixture.h"

namespace ringshift::fuzz {
namespace {

constexpr int kMostMessages = 16, kMostTurns = 200;

TapePosition position_of(FuzzBytes& bytes, const TapePosition& before) {
  TapePosition at = before;
  const uint32_t how = bytes.below(8);
  if (how == 0) return {bytes.below(3), bytes.u32(), bytes.u8(), bytes.below(2) != 0};
  at.events += bytes.below(50);
  if (how == 1) at.is_halted = !at.is_halted;
  if (how == 1 && at.is_halted) ++at.halts;
  return at;
}

void flip(FuzzBytes& bytes, std::vector<uint8_t>* log) {
  const size_t place = bytes.u16() % log->size();
  log->at(place) ^= static_cast<uint8_t>(1U << bytes.below(8));
}

std::vector<uint8_t> log_of(FuzzBytes& bytes, uint64_t number, TapePosition* reached,
                            bool is_held = true) {
  std::vector<TapeEntry> entries;
  TapePosition at = *reached;
  for (uint32_t left = bytes.below(4); left != 0; --left) {
    at = position_of(bytes, at);
    TapeEntry entry = typed_at(at, "typed");
    if (bytes.below(4) == 0) entry.kind = static_cast<TapeEntry::Kind>(bytes.below(4));
    entries.push_back(std::move(entry));
  }
  *reached = position_of(bytes, at);
  HeldOutput::Totals left{};
  left[bytes.below(HeldOutput::kPorts)] = bytes.u8();
  const bool is_other = bytes.below(16) == 0;
  std::vector<uint8_t> log =
      bytes_of_log(is_other ? bytes.u8() : number, *reached, left, plain_of(entries), is_held);
  // A flipped bit may be the one that says so.
  if (bytes.below(8) == 0 && is_held) flip(bytes, &log);
  if (bytes.below(16) == 0) log.resize(bytes.u16() % log.size());
  return log;
}

void say(FuzzBytes& bytes, MigrationMessages& to) {
  TapePosition reached;
  uint64_t number = 0;
  for (int left = kMostMessages; left != 0 && !bytes.empty(); --left) {
    const uint32_t how = bytes.below(8);
    bool is_sent = false;
    if (how < 5) {
      is_sent = to.send(MessageKind::Log, log_of(bytes, ++number, &reached));
    } else if (how == 5) {
      is_sent = to.send(MessageKind::Beat, bytes_of_beat({bytes.u8(), 0, bytes.u8(), 0, 0}));
    } else {
      const auto kind = static_cast<MessageKind>(1 + bytes.below(kLastMessageKind));
      is_sent = to.send(kind, bytes.take(bytes.below(64)));
    }
    if (!is_sent) return;
  }
}

// A machine that is brought, and some logs behind it. True: one of them says that output waits.
bool say_join(FuzzBytes& bytes, MigrationMessages& to) {
  ReplicaJoin join{.at = position(100 + bytes.u8()),
                   .ram_bytes = FewGrains::kRam,
                   .grain_bytes = FewGrains::kGrain};
  if (bytes.below(8) == 0) join.at = position_of(bytes, join.at);
  if (bytes.below(8) == 0) join.grain_bytes = bytes.u32();
  std::vector<uint8_t> head = bytes_of(join);
  if (bytes.below(8) == 0) flip(bytes, &head);
  if (!to.send(MessageKind::Join, head)) return false;
  std::vector<uint64_t> hashes(FewGrains::kGrains);
  for (uint32_t left = bytes.below(6); left != 0; --left) {
    std::vector<uint8_t> grain;
    const uint32_t how = bytes.below(8), number = bytes.below(FewGrains::kGrains + 1);
    if (how == 0) {
      const auto kind = static_cast<MessageKind>(1 + bytes.below(kLastMessageKind));
      if (!to.send(kind, bytes.take(bytes.below(64)))) return false;
      continue;
    }
    put_u32(&grain, number);
    put_u32(&grain, 0);
    const size_t length = how == 1 ? bytes.u16() : how == 2 ? 0 : FewGrains::kGrain;
    grain.resize(grain.size() + length, bytes.u8());
    const auto content = std::span(grain).subspan(kGrainHeadBytes);
    if (number < hashes.size()) hashes[number] = content.empty() ? 0 : hash_bytes(content, number);
    if (!to.send(MessageKind::Grain, grain)) return false;
  }
  if (!to.send(MessageKind::State, bytes.take(bytes.below(16)))) return false;
  std::vector<uint8_t> end;
  put_u64(&end, hash_of_grains(hashes) ^ (bytes.below(16) == 0 ? 1 : 0));
  MigrationMessage answer;
  if (!to.send(MessageKind::End, end) || !to.expect(MessageKind::Ready, &answer)) return false;
  TapePosition reached = join.at;
  bool is_held = false;
  uint64_t number = 0;
  for (uint32_t left = bytes.below(6); left != 0; --left) {
    is_held = is_held || bytes.below(4) == 0;
    if (!to.send(MessageKind::Log, log_of(bytes, ++number, &reached, is_held))) break;
  }
  return is_held;
}

void check_line(const std::string& line) {
  CHECK(!line.empty() && line.size() < 500);
  CHECK(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
}

void check_first_words(std::span<const uint8_t> words) {
  ReplicaBegin begin;
  std::string problem;
  if (!read_begin(words, &begin, &problem)) check_line(problem);
}

// A guest whose events come one by one, and which takes its inputs where they are.
void play(Backup& backup, TapePosition at = {}) {
  for (int i = 0; i < kMostTurns; ++i) {
    while (backup.next_at(at)) {
    }
    switch (backup.turn(at, i % 2 == 1)) {
      case Replica::Turn::GoOn:
        break;
      case Replica::Turn::GoLive:
        CHECK(!backup.is_replay());
        return;
      case Replica::Turn::End:
        CHECK(backup.was_ended() || !backup.problem().empty());
        if (!backup.problem().empty()) check_line(backup.problem());
        return;
      case Replica::Turn::Wait:
        (void)poll(nullptr, 0, 1);
        continue;
    }
    if (i % 2 == 0) continue;
    const auto next = backup.next_count();
    at.events = next && *next > at.events ? *next : at.events + 1;
  }
}

void play_joined(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const TieFile file;
  const auto primary = file.open(TieBreaker::Side::Primary);
  TwoEnds ends;
  FewGrains machine;
  std::optional<Backup> backup;
  backup.emplace(std::move(ends.theirs), file.open(TieBreaker::Side::Backup), kMostTimeout,
                 Backup::Plan{.joins = true, .next = {}});
  backup->begin_life();
  bool is_held = false;
  std::thread other([&] {
    is_held = say_join(bytes, *ends.ours.messages);
    ends.hang_up();
  });
  std::string error;
  const bool has_joined = backup->join(machine, &error);
  if (!has_joined) backup.reset();  // nobody reads any more
  other.join();
  if (!has_joined) return check_line(error);
  play(*backup, machine.at);
  CHECK(is_held || !backup->is_live());
  backup->service();
}

}  // namespace

void fuzz_replica(std::span<const uint8_t> input) {
  if (!input.empty() && input[0] == 'J') return play_joined(input.subspan(1));
  FuzzBytes bytes(input);
  check_first_words(input);
  const TieFile file;
  const auto primary = file.open(TieBreaker::Side::Primary);
  TwoEnds ends;
  Backup backup(std::move(ends.theirs), file.open(TieBreaker::Side::Backup), kMostTimeout);
  backup.begin_life();
  say(bytes, *ends.ours.messages);
  ends.hang_up();
  play(backup);
  backup.service();
}

}  // namespace ringshift::fuzz
