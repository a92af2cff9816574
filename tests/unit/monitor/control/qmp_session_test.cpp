// QmpSession: negotiation, requests and answers in QMP's form, events; the calls to the machine.
#include "monitor/control/qmp_session.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/support/control_fixture.h"

namespace ringshift::control {
namespace {

using debug::InputEvent;

class QmpSessionTest : public ::testing::Test {
 protected:
  // Everything that is said to these bytes; lines apart at a bar.
  std::string ask(std::string_view text) {
    said_.clear();
    std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    while (session_.take(&bytes, target_)) {
    }
    return said_;
  }
  std::string run(const std::string& name, const std::string& arguments = "") {
    return ask("{\"execute\": \"" + name + "\"" +
               (arguments.empty() ? "" : ", \"arguments\": " + arguments) + "}");
  }
  void negotiate() { EXPECT_EQ(run("qmp_capabilities"), "{\"return\":{}}|"); }

  std::string said_;
  debug::FakeControl target_;
  QmpSession session_{[this](std::string_view bytes) {
                        ASSERT_TRUE(bytes.ends_with("\r\n"));
                        said_ += std::string(bytes.substr(0, bytes.size() - 2)) + "|";
                      },
                      "1.2.3", false};
};

constexpr char kNothing[] = "{\"return\":{}}|";

std::string generic(const std::string& text) {
  return R"({"error":{"class":"GenericError","desc":")" + text + "\"}}|";
}

TEST_F(QmpSessionTest, GreetsWithItsVersion) {
  session_.begin();
  EXPECT_EQ(said_, R"({"QMP":{"version":{"qemu":{"micro":3,"minor":2,"major":1},)"
                   R"("package":"ringshift 1.2.3"},"capabilities":[]}}|)");
}

TEST_F(QmpSessionTest, NothingIsDoneBeforeTheNegotiation) {
  EXPECT_EQ(run("stop"), R"({"error":{"class":"CommandNotFound","desc":)"
                         R"("Expecting capabilities negotiation with 'qmp_capabilities'"}}|)");
  EXPECT_TRUE(target_.runs);
  EXPECT_EQ(run("qmp_capabilities", R"({"enable": ["oob"]})"),
            generic("this monitor has no capabilities to enable"));
  session_.tell({.name = "STOP", .data = {}});
  EXPECT_EQ(said_.find("STOP"), std::string::npos);
  negotiate();
  EXPECT_NE(run("qmp_capabilities").find("already complete"), std::string::npos);
}

TEST_F(QmpSessionTest, AnswersHaveTheRequestsId) {
  negotiate();
  EXPECT_EQ(ask(R"({"execute":"stop","id":{"a":[1,"x"]}})"),
            R"({"return":{},"id":{"a":[1,"x"]}}|)");
  EXPECT_FALSE(target_.runs);
  EXPECT_EQ(ask(R"({"execute":"none-such","id":7})"),
            R"({"error":{"class":"CommandNotFound",)"
            R"("desc":"The command none-such has not been found"},"id":7}|)");
}

TEST_F(QmpSessionTest, WrongRequestsAreNamed) {
  negotiate();
  EXPECT_EQ(ask("{}"), generic("QMP input lacks member 'execute'"));
  EXPECT_EQ(ask("[]"), generic("QMP input must be a JSON object"));
  EXPECT_EQ(ask(R"({"execute": 1})"), generic("QMP input member 'execute' must be a string"));
  EXPECT_EQ(ask(R"({"execute": "stop", "x": 1})"), generic("QMP input member 'x' is unexpected"));
  EXPECT_EQ(ask(R"({"execute": "stop", "arguments": 1})"),
            generic("QMP input member 'arguments' must be an object"));
  EXPECT_EQ(run("stop", R"({"now": true})"), generic("Parameter 'now' is unexpected"));
  EXPECT_EQ(run("screendump"), generic("Parameter 'filename' is missing"));
  EXPECT_EQ(run("screendump", R"({"filename": 1})"),
            generic("Invalid parameter type for 'filename', expected: string"));
  EXPECT_EQ(run("eject", R"({"device": "ide1-cd0", "force": 1})"),
            generic("Invalid parameter type for 'force', expected: boolean"));
  EXPECT_TRUE(target_.runs);
}

TEST_F(QmpSessionTest, BadJsonIsAnsweredAndTheNextLineIsHeard) {
  negotiate();
  EXPECT_EQ(
      ask("{\"execute\": stop}\n{\"execute\": \"query-kvm\"}"),
      generic("JSON parse error, at byte 13") + R"({"return":{"enabled":false,"present":false}}|)");
  EXPECT_EQ(ask("{\"a\": \"\xff\"}\n"), generic("JSON parse error, at byte 8"));
}

TEST_F(QmpSessionTest, StopsAndGoesOn) {
  negotiate();
  EXPECT_EQ(run("query-status"),
            R"({"return":{"status":"running","singlestep":false,"running":true}}|)");
  EXPECT_EQ(run("stop"), kNothing);
  EXPECT_EQ(run("query-status"),
            R"({"return":{"status":"paused","singlestep":false,"running":false}}|)");
  target_.is_debugged = true;
  EXPECT_EQ(run("cont"), generic("a debugger has the guest"));
  target_.is_debugged = false;
  EXPECT_EQ(run("cont"), kNothing);
  EXPECT_TRUE(target_.runs);
}

TEST_F(QmpSessionTest, AsksForResetPowerAndEnd) {
  negotiate();
  for (const char* command : {"system_reset", "system_powerdown", "quit"}) {
    EXPECT_EQ(run(command), kNothing);
  }
  EXPECT_EQ(target_.asked, (std::vector<std::string>{"reset", "power", "quit"}));
  EXPECT_EQ(run("system_wakeup"), generic("the guest is not asleep, and cannot be"));
}

TEST_F(QmpSessionTest, TellsOfNetworkAndMemory) {
  negotiate();
  EXPECT_EQ(run("x-ringshift-query-network"), R"({"return":[]}|)");
  EXPECT_EQ(run("x-ringshift-query-balloon"), kNothing);
  target_.figures = {{"free_mem", 1234}};
  EXPECT_EQ(run("x-ringshift-query-balloon"), R"({"return":{"free_mem":1234}}|)");
  target_.card = debug::NetworkInfo{};
  target_.card->model = "ne2k_pci";
  const std::string told = run("x-ringshift-query-network");
  EXPECT_NE(told.find(R"("model":"ne2k_pci")"), std::string::npos) << told;
}

TEST_F(QmpSessionTest, WritesPicturesAndMachines) {
  negotiate();
  EXPECT_EQ(run("screendump", R"({"filename": "a"})"), kNothing);
  EXPECT_EQ(run("screendump", R"({"filename": "b", "format": "png"})"), kNothing);
  EXPECT_EQ(run("screendump", R"({"filename": "full"})"), generic("no room"));
  EXPECT_EQ(run("screendump", R"({"filename": "c", "format": "bmp"})"),
            generic("Parameter 'format' does not accept value 'bmp'"));
  EXPECT_EQ(run("x-ringshift-save", R"({"filename": "s"})"), kNothing);
  EXPECT_EQ(target_.asked, (std::vector<std::string>{"screen a ppm", "screen b png",
                                                     "screen full ppm", "save s"}));
}

TEST_F(QmpSessionTest, ChangesTheDisc) {
  negotiate();
  EXPECT_EQ(run("blockdev-change-medium", R"({"device": "ide1-cd0", "filename": "second.iso"})"),
            kNothing);
  EXPECT_EQ(target_.drive.file, "second.iso");
  EXPECT_FALSE(target_.drive.is_open);
  EXPECT_NE(run("query-block").find(R"("file":"second.iso")"), std::string::npos);
  target_.drive.is_locked = true;
  EXPECT_EQ(run("eject", R"({"id": "ide1-cd0"})"), generic("it is locked"));
  EXPECT_TRUE(target_.drive.has_medium);
  EXPECT_EQ(run("eject", R"({"id": "ide1-cd0", "force": true})"), kNothing);
  EXPECT_FALSE(target_.drive.has_medium);
  EXPECT_TRUE(target_.drive.is_open);
  EXPECT_EQ(run("blockdev-close-tray", R"({"id": "ide1-cd0"})"), kNothing);
  EXPECT_FALSE(target_.drive.is_open);
  EXPECT_EQ(run("eject", R"({"device": "hda"})"), generic("Device 'hda' not found"));
}

TEST_F(QmpSessionTest, PressesKeys) {
  negotiate();
  EXPECT_EQ(run("send-key", R"({"keys": [{"type": "qcode", "data": "ctrl"},
                                         {"type": "number", "data": 30}], "hold-time": 5})"),
            kNothing);
  EXPECT_EQ(target_.asked, (std::vector<std::string>{"keys 20 28 for 5"}));
  EXPECT_EQ(run("send-key", R"({"keys": [{"type": "qcode", "data": "any"}]})"),
            generic("Invalid parameter 'any'"));
  EXPECT_EQ(run("send-key", R"({"keys": "a"})"),
            generic("Invalid parameter type for 'keys', expected: array"));
}

TEST_F(QmpSessionTest, MovesTheMouse) {
  negotiate();
  EXPECT_EQ(run("input-send-event", R"({"events": [
      {"type": "rel", "data": {"axis": "y", "value": 3}},
      {"type": "btn", "data": {"button": "right", "down": true}},
      {"type": "key", "data": {"down": false, "key": {"type": "qcode", "data": "up"}}}]})"),
            kNothing);
  ASSERT_EQ(target_.input.size(), 3U);
  EXPECT_EQ(target_.input[0].up, -3);
  EXPECT_EQ(target_.input[1].button, 2);
  EXPECT_TRUE(target_.input[1].down);
  EXPECT_EQ(target_.input[2].key, (KeyCode{0x75, true}));
  EXPECT_NE(run("input-send-event", R"({"events": [{"type": "abs", "data": {}}]})").find("PS/2"),
            std::string::npos);
  EXPECT_EQ(target_.input.size(), 3U);
}

TEST_F(QmpSessionTest, RunsAMonitorsLine) {
  negotiate();
  EXPECT_EQ(run("human-monitor-command", R"({"command-line": "info status"})"),
            R"({"return":"VM status: running\r\n"}|)");
  EXPECT_EQ(run("human-monitor-command", R"({"command-line": "registers"})"),
            R"({"return":"inspected registers\r\n"}|)");
}

TEST_F(QmpSessionTest, ListsItsCommandsAndEachIsKnown) {
  negotiate();
  std::string listed = run("query-commands");
  size_t count = 0;
  for (size_t at = 0; (at = listed.find("{\"name\":\"", at)) != std::string::npos; ++count) {
    at += 9;
    const std::string name = listed.substr(at, listed.find('"', at) - at);
    EXPECT_EQ(run(name).find("has not been found"), std::string::npos) << name;
  }
  EXPECT_GE(count, 20U);
}

TEST_F(QmpSessionTest, TellsOfEvents) {
  negotiate();
  said_.clear();
  session_.tell({"RESET", {{"guest", true}}, 12, 34});
  EXPECT_EQ(said_, R"({"timestamp":{"seconds":12,"microseconds":34},"event":"RESET",)"
                   R"("data":{"guest":true}}|)");
}

}  // namespace
}  // namespace ringshift::control
