// A primary that says anything: the backup ends with one line, or gives its guest what it was told,
// in its order, and no further than the primary is known to be.
#include <poll.h>

#include <algorithm>
#include <string>
#include <vector>

#include "monitor/replication/backup.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
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

std::vector<uint8_t> log_of(FuzzBytes& bytes, uint64_t number, TapePosition* reached) {
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
      bytes_of_log(is_other ? bytes.u8() : number, *reached, left, plain_of(entries));
  if (bytes.below(8) == 0) flip(bytes, &log);
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
void play(Backup& backup) {
  TapePosition at;
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

}  // namespace

void fuzz_replica(std::span<const uint8_t> input) {
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
