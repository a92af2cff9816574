#include "monitor/migration/greeting/greeting.h"

#include <algorithm>

#include "devices/host/host_random.h"

namespace ringshift {

bool greet(MigrationMessages& messages, const std::string& key, std::string* problem) {
  MigrationNonce own{}, other{};
  HostRandom().fill(own);
  MigrationHello hello{.has_key = !key.empty(), .nonce = own};
  MigrationMessage message;
  if (!messages.send(MessageKind::Hello, bytes_of_hello(hello)) ||
      !messages.expect(MessageKind::Hello, &message) ||
      !read_hello(message.bytes, !key.empty(), &hello, problem)) {
    return false;
  }
  if (key.empty()) return true;
  std::ranges::copy(hello.nonce, other.begin());
  if (!messages.send(MessageKind::Proof, prove(key, MigrationSide::Source, own, other)) ||
      !messages.expect(MessageKind::Proof, &message)) {
    return false;
  }
  if (is_same_proof(message.bytes, prove(key, MigrationSide::Target, own, other))) return true;
  *problem = "the other side has another key";
  return false;
}

bool answer_greeting(MigrationMessages& messages, const std::string& key,
                     const MigrationNonce& nonce, std::string* problem) {
  MigrationMessage message;
  MigrationHello hello;
  const auto fail = [&] {
    *problem = messages.problem();
    return false;
  };
  if (!messages.expect(MessageKind::Hello, &message)) return fail();
  const bool is_one_of_us = read_hello(message.bytes, !key.empty(), &hello, problem);
  MigrationNonce other{};
  if (is_one_of_us) std::ranges::copy(hello.nonce, other.begin());
  // A stranger that is one of us understands the reason from our own words.
  const bool is_said =
      messages.send(MessageKind::Hello, bytes_of_hello({.has_key = !key.empty(), .nonce = nonce}));
  if (!is_one_of_us) return false;
  if (!is_said) return fail();
  if (key.empty()) return true;
  if (!messages.expect(MessageKind::Proof, &message)) return fail();
  if (!is_same_proof(message.bytes, prove(key, MigrationSide::Source, other, nonce))) {
    *problem = "the other side has another key";
    const auto* text = reinterpret_cast<const uint8_t*>(problem->data());
    (void)messages.send(MessageKind::Refuse, {text, problem->size()});
    return false;
  }
  return messages.send(MessageKind::Proof, prove(key, MigrationSide::Target, other, nonce)) ||
         fail();
}

}  // namespace ringshift
