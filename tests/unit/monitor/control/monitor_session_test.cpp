// MonitorSession: lines and their answers, whatever comes between.
#include "monitor/control/monitor_session.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/support/control_fixture.h"

namespace ringshift::control {
namespace {

class MonitorSessionTest : public ::testing::Test {
 protected:
  std::string ask(std::string_view text) {
    said_.clear();
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    while (session_.take(&bytes, target_)) {
    }
    return said_;
  }
  std::string said_;
  debug::FakeControl target_;
  MonitorSession session_{[this](std::string_view bytes) { said_ += bytes; }, "1.2.3"};
};

TEST_F(MonitorSessionTest, GreetsAndAnswers) {
  session_.begin();
  EXPECT_EQ(said_, "ringshift 1.2.3 monitor - type 'help' for more information\r\n(ringshift) ");
  EXPECT_EQ(ask("info name\r\n"), "box\r\n(ringshift) ");
  EXPECT_EQ(ask("sto"), "");
  EXPECT_EQ(ask("p\n"), "(ringshift) ");
  EXPECT_FALSE(target_.runs);
}

TEST_F(MonitorSessionTest, ALineThatIsTooLongIsNotHeld) {
  EXPECT_EQ(ask(std::string(1 << 20, 'x') + "\nstop\n"),
            "the line is too long\r\n(ringshift) (ringshift) ");
  EXPECT_FALSE(target_.runs);
}

}  // namespace
}  // namespace ringshift::control
