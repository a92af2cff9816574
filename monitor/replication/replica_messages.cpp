#include "monitor/replication/replica_messages.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "monitor/migration/migration_messages.h"

namespace ringshift {
namespace {

constexpr size_t kNumber = sizeof(uint64_t);
constexpr size_t kTotalsBytes = HeldOutput::kPorts * kNumber;
constexpr size_t kBeginHead = 3 * sizeof(uint32_t);
constexpr size_t kBeginBytes = kBeginHead + TieBreaker::kPairBytes;
// Number, events, HLT instructions, totals; life, flags.
constexpr size_t kLogBytes = 3 * kNumber + kTotalsBytes + 2 * sizeof(uint32_t);
constexpr uint32_t kHalted = 1, kHeld = 2;
// Events, HLT instructions, totals, bytes taken, RAM; life, flags, a grain.
constexpr size_t kJoinBytes =
    (3 + ReplicaJoin::kSources) * kNumber + kTotalsBytes + 3 * sizeof(uint32_t);
constexpr uint32_t kLeastGrain = 4096, kMostGrain = uint32_t{1} << 20;

void put_totals(std::vector<uint8_t>* bytes, const HeldOutput::Totals& totals) {
  for (const uint64_t total : totals) put_u64(bytes, total);
}

HeldOutput::Totals get_totals(std::span<const uint8_t> bytes, size_t at) {
  HeldOutput::Totals totals{};
  for (uint64_t& total : totals) {
    total = get_u64(bytes, at);
    at += kNumber;
  }
  return totals;
}

}  // namespace

std::vector<uint8_t> bytes_of(const ReplicaBegin& begin) {
  std::vector<uint8_t> bytes;
  put_u32(&bytes, kReplicaFormat);
  put_u32(&bytes, begin.timeout);
  put_u32(&bytes, begin.joins ? 1 : 0);
  bytes.insert(bytes.end(), begin.pair.begin(), begin.pair.end());
  bytes.insert(bytes.end(), begin.run.begin(), begin.run.end());
  return bytes;
}

bool read_begin(std::span<const uint8_t> bytes, ReplicaBegin* begin, std::string* problem) {
  *problem = "the other side is no primary";
  if (bytes.size() < kBeginBytes) return false;
  if (const uint32_t format = get_u32(bytes, 0); format != kReplicaFormat) {
    *problem = "the primary speaks format " + std::to_string(format) +
               ", which this program does not know";
    return false;
  }
  begin->timeout = get_u32(bytes, sizeof(uint32_t));
  if (begin->timeout < kLeastTimeout || begin->timeout > kMostTimeout) return false;
  const uint32_t joins = get_u32(bytes, 2 * sizeof(uint32_t));
  if (joins > 1) return false;
  begin->joins = joins != 0;
  const auto pair = bytes.subspan(kBeginHead, TieBreaker::kPairBytes);
  std::ranges::copy(pair, begin->pair.begin());
  const auto run = bytes.subspan(kBeginBytes);
  begin->run.assign(run.begin(), run.end());
  problem->clear();
  return true;
}

std::vector<uint8_t> bytes_of(const ReplicaJoin& join) {
  std::vector<uint8_t> bytes;
  put_u64(&bytes, join.at.events);
  put_u64(&bytes, join.at.halts);
  put_totals(&bytes, join.come);
  for (const uint64_t taken : join.taken) put_u64(&bytes, taken);
  put_u64(&bytes, join.ram_bytes);
  put_u32(&bytes, join.at.life);
  put_u32(&bytes, join.at.is_halted ? kHalted : 0);
  put_u32(&bytes, join.grain_bytes);
  return bytes;
}

bool read_join(std::span<const uint8_t> bytes, ReplicaJoin* join) {
  if (bytes.size() != kJoinBytes) return false;
  size_t at = 2 * kNumber + kTotalsBytes;
  join->at.events = get_u64(bytes, 0);
  join->at.halts = get_u64(bytes, kNumber);
  join->come = get_totals(bytes, 2 * kNumber);
  for (uint64_t& taken : join->taken) {
    taken = get_u64(bytes, at);
    at += kNumber;
  }
  join->ram_bytes = get_u64(bytes, at);
  at += kNumber;
  join->at.life = get_u32(bytes, at);
  const uint32_t flags = get_u32(bytes, at + sizeof(uint32_t));
  join->at.is_halted = flags == kHalted;
  join->grain_bytes = get_u32(bytes, at + 2 * sizeof(uint32_t));
  const bool is_power =
      join->grain_bytes != 0 && (join->grain_bytes & (join->grain_bytes - 1)) == 0;
  return flags <= kHalted && join->at.life < ReplicaJoin::kMostLives && is_power &&
         join->grain_bytes >= kLeastGrain && join->grain_bytes <= kMostGrain;
}

std::vector<uint8_t> bytes_of_log(uint64_t number, const TapePosition& reached,
                                  const HeldOutput::Totals& left, std::span<const uint8_t> plain,
                                  bool is_held) {
  std::vector<uint8_t> bytes;
  put_u64(&bytes, number);
  put_u64(&bytes, reached.events);
  put_u64(&bytes, reached.halts);
  put_totals(&bytes, left);
  put_u32(&bytes, reached.life);
  put_u32(&bytes, (reached.is_halted ? kHalted : 0) | (is_held ? kHeld : 0));
  if (plain.empty()) return bytes;
  const std::vector<uint8_t> chunk = pack_chunk(plain, number);
  bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  return bytes;
}

bool read_log(std::span<const uint8_t> bytes, uint64_t number, ReplicaLog* log,
              std::string* problem) {
  *problem = "the log is damaged";
  if (bytes.size() < kLogBytes || get_u64(bytes, 0) != number) return false;
  log->number = number;
  log->reached.events = get_u64(bytes, kNumber);
  log->reached.halts = get_u64(bytes, 2 * kNumber);
  log->left = get_totals(bytes, 3 * kNumber);
  log->reached.life = get_u32(bytes, kLogBytes - 2 * sizeof(uint32_t));
  const uint32_t flags = get_u32(bytes, kLogBytes - sizeof(uint32_t));
  if (flags > (kHalted | kHeld)) return false;
  log->reached.is_halted = (flags & kHalted) != 0;
  log->is_held = (flags & kHeld) != 0;
  log->entries.clear();
  const auto chunk = bytes.subspan(kLogBytes);
  if (chunk.empty()) {
    problem->clear();
    return true;
  }
  size_t taken = 0;
  const ChunkResult result = unpack_chunk(chunk, number, &log->entries, &taken, problem);
  if (result != ChunkResult::Whole || taken != chunk.size()) {
    if (problem->empty()) *problem = "the log is damaged";
    return false;
  }
  problem->clear();
  return true;
}

std::vector<uint8_t> bytes_of_beat(const HeldOutput::Totals& left) {
  std::vector<uint8_t> bytes;
  put_totals(&bytes, left);
  return bytes;
}

bool read_beat(std::span<const uint8_t> bytes, HeldOutput::Totals* left) {
  if (bytes.size() != kTotalsBytes) return false;
  *left = get_totals(bytes, 0);
  return true;
}

std::vector<uint8_t> bytes_of(const ReplicaHeard& heard) {
  std::vector<uint8_t> bytes;
  put_u64(&bytes, heard.heard);
  put_u64(&bytes, heard.played);
  return bytes;
}

bool read_heard(std::span<const uint8_t> bytes, const ReplicaHeard& before, uint64_t sent,
                ReplicaHeard* heard) {
  if (bytes.size() != 2 * kNumber) return false;
  const ReplicaHeard now{.heard = get_u64(bytes, 0), .played = get_u64(bytes, kNumber)};
  if (now.heard < before.heard || now.played < before.played || now.heard > sent ||
      now.played > now.heard) {
    return false;
  }
  *heard = now;
  return true;
}

bool is_before(const TapePosition& one, const TapePosition& other) {
  const auto order = [](const TapePosition& at) {
    return std::tuple(at.life, at.events, at.halts, !at.is_halted);
  };
  return order(one) < order(other);
}

}  // namespace ringshift
