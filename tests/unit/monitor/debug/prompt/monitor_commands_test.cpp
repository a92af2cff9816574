// MonitorCommands: QEMU's names, their effects, and the messages about mistakes.
#include "monitor/debug/prompt/monitor_commands.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/control_fixture.h"

namespace ringshift::debug {
namespace {

using Words = std::vector<std::string>;

class MonitorCommandsTest : public ::testing::Test {
 protected:
  std::string run(const std::string& line) { return run_monitor_line(target_, line); }
  FakeControl target_;
};

TEST_F(MonitorCommandsTest, RunsAndLooks) {
  EXPECT_EQ(run("stop"), "");
  EXPECT_EQ(run("info status"), "VM status: paused (paused)\n");
  EXPECT_EQ(run("c"), "");
  EXPECT_EQ(run("info status"), "VM status: running\n");
  EXPECT_EQ(run("info version"), "ringshift 1.2.3\n");
  EXPECT_EQ(run("info registers"), "inspected registers\n");
  EXPECT_EQ(run("info nothing"), "unknown command: 'info nothing'\n");
  EXPECT_EQ(run(""), "");
  EXPECT_EQ(run("walk c0000000"), "inspected walk c0000000\n");
  target_.is_debugged = true;
  EXPECT_EQ(run("cont"), "Error: a debugger has the guest\n");
}

TEST_F(MonitorCommandsTest, EveryTopicAnswers) {
  for (const char* topic : {"status", "version", "name", "uuid", "kvm", "cpus", "block",
                            "registers", "mtree", "mice", "network", "balloon", "usb"}) {
    EXPECT_EQ(run(std::string("info ") + topic).find("unknown"), std::string::npos) << topic;
    EXPECT_NE(run("info").find(topic), std::string::npos);
  }
}

TEST_F(MonitorCommandsTest, TellsOfTheNetwork) {
  EXPECT_EQ(run("info network"), "there is no network card\n");
  target_.card = NetworkInfo{.model = "e1000",
                             .address = "52:54:00:12:34:56",
                             .kind = "user",
                             .details = "net=10.0.2.0,restrict=off",
                             .is_up = true,
                             .sent_frames = 3,
                             .sent_bytes = 200,
                             .received_frames = 5,
                             .received_bytes = 7000};
  EXPECT_EQ(run("info network"),
            "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\n"
            " \\ net0: index=0,type=user,net=10.0.2.0,restrict=off\n"
            "    link up; 3 frames sent (200 bytes), 5 received (7000 bytes)\n");
}

TEST_F(MonitorCommandsTest, TellsWhatTheGuestTellsOfItsMemory) {
  target_.balloon_bytes = uint64_t{64} << 20;
  EXPECT_EQ(run("info balloon"), "balloon: actual=64\n");
  target_.figures = {{"free_mem", 1234}, {"minor_page_faults", 5}};
  EXPECT_EQ(run("info balloon"),
            "balloon: actual=64\n    free_mem: 1234\n    minor_page_faults: 5\n");
}

TEST_F(MonitorCommandsTest, PressesKeys) {
  EXPECT_EQ(run("sendkey ctrl-alt-delete"), "");
  EXPECT_EQ(run("sendkey 0x1e 7"), "");
  EXPECT_EQ(target_.asked, (Words{"keys 20 17 113 for 100", "keys 28 for 7"}));
  EXPECT_EQ(run("sendkey any"), "unknown key: 'any'\n");
  EXPECT_EQ(run("sendkey"), "sendkey: its arguments are not understood (help)\n");
  EXPECT_EQ(run("sendkey a -1"), "sendkey: its arguments are not understood (help)\n");
}

TEST_F(MonitorCommandsTest, MovesTheMouse) {
  EXPECT_EQ(run("mouse_move 5 -6 1"), "");
  EXPECT_EQ(run("mouse_button 4"), "");
  ASSERT_EQ(target_.input.size(), 4U);
  EXPECT_EQ(target_.input[0].right, 5);
  EXPECT_EQ(target_.input[0].up, 6);
  EXPECT_EQ(target_.input[3].button, 2);
  EXPECT_TRUE(target_.input[3].down);
}

TEST_F(MonitorCommandsTest, WritesFilesAndChangesDiscs) {
  EXPECT_EQ(run("screendump shot.ppm"), "");
  EXPECT_EQ(run("screendump -f png shot.png"), "");
  EXPECT_EQ(run("screendump full"), "Error: no room\n");
  EXPECT_EQ(run("savevm machine"), "");
  EXPECT_EQ(target_.asked, (Words{"screen shot.ppm ppm", "screen shot.png png", "screen full ppm",
                                  "save machine"}));
  EXPECT_EQ(run("change ide1-cd0 other.iso"), "");
  EXPECT_EQ(target_.drive.file, "other.iso");
  EXPECT_EQ(run("eject hda"), "Error: Device 'hda' not found\n");
  target_.drive.is_locked = true;
  EXPECT_EQ(run("eject ide1-cd0"), "Error: it is locked\n");
  EXPECT_EQ(run("eject -f ide1-cd0"), "");
  EXPECT_NE(run("info block").find("[not inserted]"), std::string::npos);
}

TEST_F(MonitorCommandsTest, DumpsMemory) {
  for (size_t i = 0; i < 32; ++i) target_.memory[i] = static_cast<uint8_t>(i);
  EXPECT_EQ(run("x/2xw 0x1000"), "00001000: 0x03020100 0x07060504\n");
  EXPECT_EQ(run("x $esp"), "00001004: 0x07060504\n");
  EXPECT_EQ(run("xp /3xb 1000"), "0000000000001000: 0x00 0x01 0x02\n");
  target_.memory[0] = 0xff;
  target_.memory[1] = 'A';
  EXPECT_EQ(run("x/1db 1000"), "00001000:          -1\n");
  EXPECT_EQ(run("x/2c 1000"), "00001000: '\\xff' 'A'\n");
  EXPECT_EQ(run("x/4 0"), "00000000:\nCannot access memory\n");
  EXPECT_EQ(run("x/9999xg 0"), "the format is /COUNT, one of x d u o c, and one of b h w g\n");
  EXPECT_EQ(run("x/2x 100000000"), "'100000000' is no address\n");
  EXPECT_EQ(run("x $none"), "'$none' is no address\n");
}

TEST_F(MonitorCommandsTest, CompletesWords) {
  EXPECT_EQ(completions(target_, "system_r"), Words{"system_reset"});
  EXPECT_EQ(completions(target_, "info st"), Words{"status"});
  EXPECT_EQ(completions(target_, "eject "), Words{"ide1-cd0"});
  EXPECT_TRUE(completions(target_, "sendkey a").empty());
}

}  // namespace
}  // namespace ringshift::debug
