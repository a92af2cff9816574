// A source that says anything: the target refuses it in one line, or has the machine it was sent.
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

constexpr uint64_t kRam = 32 * 1024;
constexpr uint32_t kGrain = 8 * 1024;
constexpr int kMostMessages = 100;
constexpr MigrationNonce kOwn{1, 2, 3}, kOther{4, 5, 6};
const std::string kKey = "a key that both have";

// Messages whose headers are right; their kinds and bytes are the input's, or what belongs there.
class Conversation {
 public:
  Conversation(FuzzBytes& bytes, bool has_key) : bytes_(bytes) {
    said_.add(MessageKind::Hello, bytes_of_hello({.has_key = has_key, .nonce = kOther}));
    if (has_key) said_.add(MessageKind::Proof, prove(kKey, MigrationSide::Source, kOther, kOwn));
    std::vector<uint8_t> begin;
    put_u64(&begin, kRam);
    put_u32(&begin, kGrain);
    put_u32(&begin, 0);
    said_.add(MessageKind::Begin, begin).add(MessageKind::Rehearse);
    for (int left = kMostMessages; left != 0 && !bytes_.empty(); --left) say_one();
  }
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return said_.bytes(); }

 private:
  void say_one() {
    switch (bytes_.below(6)) {
      case 0:
        return say_grain(bytes_.below(5), kGrain);
      case 1:
        return say_grain(bytes_.below(5), 0);
      case 2:
        return say_end();
      case 3:
        said_.add(MessageKind::Commit);
        return;
      case 4: {
        const uint32_t number = bytes_.u32();
        return say_grain(number, bytes_.u16() % (2 * kGrain));
      }
      default: {
        const auto kind = static_cast<MessageKind>(1 + bytes_.below(kLastMessageKind));
        std::vector<uint8_t> some(bytes_.below(64));
        for (uint8_t& byte : some) byte = bytes_.u8();
        said_.add(kind, some);
      }
    }
  }
  void say_grain(uint32_t number, size_t length) {
    std::vector<uint8_t> message;
    put_u32(&message, number);
    put_u32(&message, 0);
    message.resize(message.size() + length, bytes_.u8());
    if (number < hashes_.size()) {
      const auto bytes = std::span(message).subspan(8);
      hashes_[number] = bytes.empty() ? 0 : hash_bytes(bytes, number);
    }
    said_.add(MessageKind::Grain, message);
  }
  void say_end() {
    std::vector<uint8_t> message;
    put_u32(&message, bytes_.u8());
    put_u32(&message, 0);
    put_u64(&message, hash_of_grains(hashes_));
    said_.add(MessageKind::End, message);
  }

  FuzzBytes& bytes_;
  MessageBytes said_;
  std::array<uint64_t, kRam / kGrain> hashes_{};
};

std::vector<uint8_t> raw(FuzzBytes& bytes) {
  const auto rest = bytes.rest();
  return {rest.begin(), rest.end()};
}

}  // namespace

void fuzz_migration(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const uint8_t how = bytes.u8();
  const bool has_key = (how & 2) != 0;
  StreamOfBytes stream((how & 1) != 0 ? raw(bytes) : Conversation(bytes, has_key).bytes());
  FakeArrival machine(kRam);
  machine.media_are_taken = (how & 4) != 0;
  IncomingMigration incoming(stream, machine, has_key ? kKey : "", kOwn);
  const IncomingMigration::Outcome outcome = incoming.receive();
  const std::string& problem = incoming.problem();
  CHECK((outcome == IncomingMigration::Outcome::Arrived) == problem.empty());
  CHECK(problem.size() < 400);
  CHECK(std::ranges::all_of(problem, [](char c) { return c >= ' ' && c <= '~'; }));
  CHECK(outcome != IncomingMigration::Outcome::Arrived || machine.has_media);
}

}  // namespace ringshift::fuzz
