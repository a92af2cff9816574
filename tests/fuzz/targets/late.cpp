// A source that says anything about memory that comes late. The target refuses it in one line, or
// RAM holds the bytes that were sent, where they were missing, and nothing else changes.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/base/hash.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/migration_fixture.h"

namespace ringshift::fuzz {
namespace {

constexpr uint32_t kGrain = 64 * 1024, kFirst = kNeverLate / kGrain, kLate = 4;
constexpr uint32_t kGrains = kFirst + kLate;
constexpr uint64_t kRam = uint64_t{kGrains} * kGrain - kPageSize;  // the last one is cut short
constexpr int kMostMessages = 40;
constexpr MigrationNonce kOwn{1, 2, 3}, kOther{4, 5, 6};

std::vector<uint8_t> grain_of(FuzzBytes& bytes, uint32_t number) {
  std::vector<uint8_t> message;
  put_u32(&message, number);
  put_u32(&message, 0);
  size_t length = number + 1 == kGrains ? kGrain - kPageSize : kGrain;
  const uint32_t how = bytes.below(8);
  if (how == 0) length = 0;
  if (how == 1) length = bytes.u16();
  message.resize(message.size() + length, bytes.u8());
  return message;
}

uint32_t number_of(FuzzBytes& bytes) {
  const uint32_t which = bytes.below(8);
  return which < 6 ? kFirst - 1 + which : bytes.u32();
}

// Up to the last word, with what belongs there or what the input says.
std::vector<uint8_t> conversation(FuzzBytes& bytes) {
  MessageBytes said;
  said.add(MessageKind::Hello, bytes_of_hello({.has_key = false, .nonce = kOther}));
  std::vector<uint8_t> begin;
  put_u64(&begin, kRam);
  put_u32(&begin, kGrain);
  put_u32(&begin, 0);
  said.add(MessageKind::Begin, begin).add(MessageKind::Rehearse);
  std::array<uint64_t, kGrains> hashes{};
  for (uint32_t left = bytes.below(4); left != 0; --left) {
    const uint32_t number = number_of(bytes);
    const std::vector<uint8_t> grain = grain_of(bytes, number);
    if (number < kGrains) {
      const auto content = std::span(grain).subspan(kGrainHeadBytes);
      hashes[number] = content.empty() ? 0 : hash_bytes(content, number);
    }
    said.add(MessageKind::Grain, grain);
  }
  std::vector<uint8_t> missing((kGrains + 7) / 8);
  const uint8_t bits = bytes.u8();
  missing[kFirst / 8] = bits & 15;
  const uint32_t how = bytes.below(8);
  if (how == 0) missing.resize(bytes.below(8));
  if (how == 1) missing[bytes.below(3)] |= bytes.u8();
  for (uint32_t i = 0; i < kLate; ++i) {
    if ((bits >> i & 1) != 0) hashes[kFirst + i] = 0;
  }
  said.add(MessageKind::Missing, missing);
  std::vector<uint8_t> end(8);
  put_u64(&end, hash_of_grains(hashes));
  said.add(MessageKind::End, end).add(MessageKind::Commit);
  return said.bytes();
}

void check_line(const std::string& problem) {
  CHECK(!problem.empty() && problem.size() < 400);
  CHECK(std::ranges::all_of(problem, [](char c) { return c >= ' ' && c <= '~'; }));
}

// Checks that a grain that has come is in RAM's descriptor, whole.
void check_content(FakeArrival& machine, const MigrationMessage& message) {
  const uint32_t number = get_u32(message.bytes, 0);
  const auto sent = std::span(message.bytes).subspan(kGrainHeadBytes);
  const uint64_t start = uint64_t{number} * kGrain;
  std::vector<uint8_t> there(std::min<uint64_t>(kGrain, kRam - start));
  CHECK(read_contents(machine.memory->descriptor(), start, there).ok());
  if (sent.empty()) {
    CHECK(std::ranges::all_of(there, [](uint8_t byte) { return byte == 0; }));
  } else {
    CHECK(std::ranges::equal(there, sent));
  }
  CHECK(machine.memory->is_absent(GuestPhysicalPage(start / kPageSize)));
}

}  // namespace

void fuzz_late(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  StreamOfBytes stream(conversation(bytes));
  FakeArrival machine(kRam);
  IncomingMigration incoming(stream, machine, "", kOwn);
  if (incoming.receive() != IncomingMigration::Outcome::Arrived)
    return check_line(incoming.problem());
  machine.memory->verify_invariants();
  if (!machine.late) return;
  for (int left = kMostMessages; left != 0 && !bytes.empty(); --left) {
    MigrationMessage message;
    const bool is_grain = bytes.below(16) != 0;
    if (is_grain) {
      message.bytes = grain_of(bytes, number_of(bytes));
      message.kind = MessageKind::Grain;
    } else {
      message.kind = static_cast<MessageKind>(1 + bytes.below(kLastMessageKind));
      const auto some = bytes.take(bytes.below(32));
      message.bytes.assign(some.begin(), some.end());
    }
    std::string problem;
    if (!machine.late->take(message, &problem)) return check_line(problem);
    check_content(machine, message);
  }
}

}  // namespace ringshift::fuzz
