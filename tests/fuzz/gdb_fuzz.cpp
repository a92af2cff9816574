// Random bytes and random requests to the debugger's protocol: every request is answered, nonsense
// changes nothing, memory stays bounded. Seeds are constants, so that a failure repeats;
// RINGSHIFT_FUZZ_SEED tries another.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "tests/support/debug_fixture.h"

namespace ringshift::debug {
namespace {

constexpr int kRounds = 200000;

class GdbFuzz : public ::testing::Test, protected SessionFixture {
 protected:
  GdbFuzz() : random_(seed()) {}
  [[nodiscard]] static uint64_t seed() {
    const char* given = std::getenv("RINGSHIFT_FUZZ_SEED");
    return given == nullptr ? 20261121 : std::strtoull(given, nullptr, 0);
  }
  [[nodiscard]] uint32_t number(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  std::string random_text(uint32_t most) {
    static constexpr char kLikely[] = "0123456789abcdef,:;=$#}*+-";
    std::string text;
    for (uint32_t left = number(most + 1); left != 0; --left) {
      text.push_back(number(4) == 0 ? static_cast<char>(random_())
                                    : kLikely[number(sizeof(kLikely) - 1)]);
    }
    return text;
  }
  // The beginning of a request, and what may follow it.
  std::string random_request() {
    static constexpr const char* kBeginnings[] = {"?",
                                                  "g",
                                                  "G",
                                                  "p",
                                                  "P",
                                                  "m",
                                                  "m1000,",
                                                  "M1000,2:",
                                                  "X1000,",
                                                  "Z0,",
                                                  "Z2,1000,",
                                                  "z1,",
                                                  "H",
                                                  "T1",
                                                  "c",
                                                  "s",
                                                  "C05",
                                                  "S05;",
                                                  "vCont?",
                                                  "vCont;c",
                                                  "vCont;s:1",
                                                  "vCont;",
                                                  "vMustReply",
                                                  "qSupported:",
                                                  "qXfer:features:read:target.xml:",
                                                  "qRcmd,",
                                                  "qC",
                                                  "qfThreadInfo",
                                                  "qThreadExtraInfo,",
                                                  "QStart",
                                                  ""};
    std::string request = kBeginnings[number(std::size(kBeginnings))];
    request += random_text(number(64) == 0 ? 20000 : 24);
    // Those two end the session.
    return request.starts_with("D") || request.starts_with("k") ? "?" : request;
  }
  void stop_again() {
    target.execution.pause(StopCause::Asked);
    session.report_stop();
  }

  std::mt19937_64 random_;
};

TEST_F(GdbFuzz, EveryRequestIsAnsweredOrLetsTheGuestGo) {
  for (int i = 0; i < kRounds; ++i) {
    const std::string request = random_request();
    const std::string reply = ask(request);
    if (session.awaits_stop()) {
      EXPECT_EQ(reply, "(none)") << request;
      stop_again();
    }
    EXPECT_FALSE(replies.empty()) << request;
    EXPECT_LE(reply.size(), 4 * kMostPayload) << request;
    ASSERT_FALSE(session.is_over()) << request;
    ASSERT_LE(target.execution.kept_out().size(), 4096U);
    ASSERT_LE(target.execution.watches().size(), 64U);
    acknowledgements.clear();
  }
}

TEST_F(GdbFuzz, BytesThatAreNoPacketsDoNothing) {
  for (int i = 0; i < kRounds; ++i) {
    send_raw(random_text(100));
    if (session.awaits_stop()) stop_again();
    replies.clear();
    acknowledgements.clear();
  }
  // A new packet is heard, whatever was begun before it.
  EXPECT_EQ(ask("qAttached"), "1");
  EXPECT_FALSE(target.has_quit);
}

}  // namespace
}  // namespace ringshift::debug
