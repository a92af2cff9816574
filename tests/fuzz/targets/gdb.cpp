// The bytes that a debugger may send: packets, and bytes that are none. Every request is answered
// or lets the guest go, replies and points stay bounded, and the session goes on until it is told
// to end.
#include <string>

#include "monitor/debug/prompt/prompt.h"
#include "monitor/host/sockets/socket_address.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/debug_fixture.h"

namespace ringshift::fuzz {
namespace {

using debug::SessionFixture;

void stop_again(SessionFixture& gdb) {
  if (!gdb.session.awaits_stop()) return;
  gdb.target.execution.pause(StopCause::Asked);
  gdb.session.report_stop();
}

bool is_answered(const SessionFixture& gdb) {
  return !gdb.replies.empty() || gdb.session.awaits_stop() || gdb.session.is_over();
}

void check_bounds(SessionFixture& gdb) {
  CHECK(gdb.target.execution.kept_out().size() <= 4096);
  CHECK(gdb.target.execution.watches().size() <= 64);
  for (const std::string& reply : gdb.replies) CHECK(reply.size() <= 4 * debug::kMostPayload);
}

void talk(FuzzBytes& bytes) {
  SessionFixture gdb;
  while (!bytes.empty() && !gdb.session.is_over()) {
    const uint8_t how = bytes.u8();
    if ((how & 3) == 0) {
      gdb.replies.clear();
      gdb.send_raw(bytes.text(how >> 2));
    } else {
      // A long request now and then: what repeats does not make the input large.
      std::string request = bytes.text(how >> 2);
      if ((how & 3) == 2 && !request.empty()) request.append(20000, request.back());
      (void)gdb.ask(request);
      // Bytes before it may have begun a packet that swallows its head; then the next is heard.
      if (!is_answered(gdb)) (void)gdb.ask(request);
      CHECK(is_answered(gdb));
    }
    stop_again(gdb);
    check_bounds(gdb);
    gdb.acknowledgements.clear();
  }
}

void type_at_prompt(FuzzBytes& bytes) {
  debug::FakeTarget target;
  size_t printed = 0;
  debug::Prompt prompt([&](const std::string& text) { printed += text.size(); });
  prompt.open(target);
  const std::span<const uint8_t> all = bytes.rest();
  std::span<const uint8_t> keys = all;
  while (!keys.empty()) {
    const size_t before = keys.size();
    (void)prompt.take(&keys, target, (before & 1) != 0);
    CHECK(keys.size() < before);
  }
  CHECK(printed <= 4096 * (all.size() + 1));
  CHECK(target.execution.kept_out().size() <= 4096);
}

}  // namespace

void fuzz_gdb(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  switch (bytes.u8() % 8) {
    case 0:
      return type_at_prompt(bytes);
    case 1: {
      SocketAddress address;
      (void)parse_socket_address(bytes.text(300), &address);
      return;
    }
    default:
      return talk(bytes);
  }
}

}  // namespace ringshift::fuzz
