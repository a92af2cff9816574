#include "devices/input/i8042.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

class Keyboard : public ::testing::Test {
 protected:
  void command(unsigned value) { out8(controller_.command_port(), 0, value); }
  void data(unsigned value) { out8(controller_.data_port(), 0, value); }
  uint8_t status() { return in8(controller_.command_port(), 0); }
  uint8_t read() { return in8(controller_.data_port(), 0); }
  std::vector<uint8_t> read_all() {
    std::vector<uint8_t> bytes;
    while ((status() & 0x01) != 0 && bytes.size() < 100) bytes.push_back(read());
    return bytes;
  }
  size_t press(std::vector<uint8_t> codes) { return controller_.inject_scancodes(codes); }

  using Bytes = std::vector<uint8_t>;
  RecordingLine irq1_;
  std::vector<bool> a20_changes_;
  int resets_ = 0;
  A20Gate a20_{[this](bool on) { a20_changes_.push_back(on); }};
  RecordingLine irq12_;
  I8042 controller_{irq1_, irq12_, a20_, [this] { ++resets_; }};
};

TEST_F(Keyboard, SelfTestAndInterfaceTestPass) {
  command(0xaa);
  EXPECT_EQ(read(), 0x55);
  command(0xab);
  EXPECT_EQ(read(), 0x00);
}

TEST_F(Keyboard, CommandByteReadsBack) {
  command(0x60);
  data(0x45);
  command(0x20);
  EXPECT_EQ(read(), 0x45);
}

TEST_F(Keyboard, StatusTellsCommandFromData) {
  command(0x60);
  EXPECT_EQ(status() & 0x08, 0x08);
  data(0x45);
  EXPECT_EQ(status() & 0x08, 0x00);
}

TEST_F(Keyboard, ResetAnswersAcknowledgeAndSelfTestPassed) {
  data(0xff);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xaa}));
}

TEST_F(Keyboard, IdentifyAnswersMf2) {
  command(0x60);
  data(0x05);  // translation off
  data(0xf2);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xab, 0x83}));
}

TEST_F(Keyboard, CommandsWithArgumentsAcknowledgeBoth) {
  data(0xed);
  data(0x07);
  data(0xf3);
  data(0x20);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xfa, 0xfa, 0xfa}));
}

TEST_F(Keyboard, EchoAndUnknownCommands) {
  data(0xee);
  data(0xe0);
  EXPECT_EQ(read_all(), (Bytes{0xee, 0xfe}));
}

TEST_F(Keyboard, ScanCodeSetIsReported) {
  data(0xf0);
  data(0x03);
  data(0xf0);
  data(0x00);
  command(0x60);
  data(0x05);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xfa, 0xfa, 0xfa, 0x03}));
}

// Translation off, then a scan code set; what the keyboard has answered is read.
class ScanCodeSet : public Keyboard {
 protected:
  void choose(unsigned set) {
    command(0x60);
    data(0x05);
    data(0xf0);
    data(set);
    EXPECT_EQ(read_all(), (Bytes{0xfa, 0xfa}));
  }
  Bytes pressed(Bytes codes) {
    EXPECT_EQ(press(codes), codes.size());
    return read_all();
  }
};

TEST_F(ScanCodeSet, OneHasPrefixesAndReleasesByTheTopBit) {
  choose(1);
  EXPECT_EQ(pressed({0x1c, 0xf0, 0x1c}), (Bytes{0x1e, 0x9e}));                          // a
  EXPECT_EQ(pressed({0xe0, 0x75, 0xe0, 0xf0, 0x75}), (Bytes{0xe0, 0x48, 0xe0, 0xc8}));  // up
  EXPECT_EQ(pressed({0x83, 0xf0, 0x83}), (Bytes{0x41, 0xc1}));                          // f7
  EXPECT_EQ(pressed({0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}),                  // pause
            (Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}));
}

TEST_F(ScanCodeSet, ThreeHasACodeForEachKeyAndThreeKindsOfKeys) {
  choose(3);
  EXPECT_EQ(pressed({0x1c, 0x1c, 0xf0, 0x1c}), (Bytes{0x1c, 0x1c}));        // a: repeats
  EXPECT_EQ(pressed({0x12, 0x12, 0xf0, 0x12}), (Bytes{0x12, 0xf0, 0x12}));  // shift: and breaks
  EXPECT_EQ(pressed({0x05, 0x05, 0xf0, 0x05}), (Bytes{0x07}));              // f1: makes only
  EXPECT_EQ(pressed({0xe0, 0x75, 0xe0, 0xf0, 0x75}), (Bytes{0x63}));        // up
  EXPECT_EQ(pressed({0xe0, 0x1f, 0x79, 0x7b}), (Bytes{0x8b, 0x7c, 0x84}));  // Windows, + and -
  EXPECT_EQ(pressed({0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}), (Bytes{0x62}));
}

TEST_F(ScanCodeSet, ThreeDoesWithKeysWhatItIsTold) {
  choose(3);
  const Bytes a = {0x1c, 0x1c, 0xf0, 0x1c};
  data(0xfa);  // all repeat and break, which is what Linux asks for
  EXPECT_EQ(read_all(), (Bytes{0xfa}));
  EXPECT_EQ(pressed(a), a);
  data(0xf9);  // all make only
  EXPECT_EQ(read_all(), (Bytes{0xfa}));
  EXPECT_EQ(pressed(a), (Bytes{0x1c}));
  data(0xfc);  // of these two: make and break
  data(0x1c);
  data(0x8b);
  data(0xf4);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xfa}));  // enabling forgets what the controller has not yet
  EXPECT_EQ(pressed(a), (Bytes{0x1c, 0xf0, 0x1c}));
  EXPECT_EQ(pressed({0x32, 0xf0, 0x32}), (Bytes{0x32}));
  data(0xf6);
  EXPECT_EQ(read_all(), (Bytes{0xfa}));
  EXPECT_EQ(pressed(a), a) << "set 2 again";
}

// The controller translates whatever comes, as if it were set 2.
TEST_F(ScanCodeSet, TranslationGarblesOneAndMostOfThree) {
  choose(3);
  command(0x60);
  data(0x45);
  EXPECT_EQ(pressed({0x12, 0xf0, 0x12}), (Bytes{0x2a, 0xaa}));
  EXPECT_EQ(pressed({0x05}), (Bytes{0x58}));
  data(0xf0);
  data(0x01);
  (void)read_all();
  EXPECT_EQ(pressed({0x1c, 0xf0, 0x1c}), (Bytes{0x03, 0x9e}));
}

TEST_F(ScanCodeSet, AKeyForWhichThereIsNoRoomIsLostWhole) {
  choose(3);
  EXPECT_EQ(press(Bytes(100, 0x1c)), 0U);
  EXPECT_TRUE(read_all().empty());
}

TEST_F(ScanCodeSet, ResendRepeatsTheLastByte) {
  choose(2);
  EXPECT_EQ(pressed({0x1c}), (Bytes{0x1c}));
  data(0xfe);
  EXPECT_EQ(read_all(), (Bytes{0x1c}));
}

TEST_F(Keyboard, KeyIsTranslatedToSetOneWithOneInterruptForEachByte) {
  EXPECT_EQ(press({0x1c, 0xf0, 0x1c}), 3U);
  EXPECT_TRUE(irq1_.level);
  EXPECT_EQ(read_all(), (Bytes{0x1e, 0x9e}));
  EXPECT_EQ(irq1_.rising_edges, 2);
  EXPECT_FALSE(irq1_.level);
}

TEST_F(Keyboard, WithoutTranslationCodesPassUnchanged) {
  command(0x60);
  data(0x05);
  press({0xe0, 0xf0, 0x75});
  EXPECT_EQ(read_all(), (Bytes{0xe0, 0xf0, 0x75}));
}

TEST_F(Keyboard, DisabledKeyboardHoldsItsBytes) {
  command(0xad);
  press({0x1c});
  EXPECT_EQ(status() & 0x01, 0x00);
  command(0xae);
  EXPECT_EQ(read_all(), (Bytes{0x1e}));
}

TEST_F(Keyboard, InterruptEnableBitGatesIrq1) {
  command(0x60);
  data(0x44);
  press({0x1c});
  EXPECT_FALSE(irq1_.level);
  EXPECT_EQ(status() & 0x01, 0x01);
}

TEST_F(Keyboard, BufferIsBounded) {
  const size_t accepted = press(Bytes(1000, 0x1c));
  EXPECT_LT(accepted, 100U);
  EXPECT_EQ(read_all().size(), accepted);
}

TEST_F(Keyboard, OutputPortSwitchesA20) {
  command(0xd1);
  data(0xdd);
  command(0xd0);
  EXPECT_EQ(read() & 0x02, 0x00);
  command(0xd1);
  data(0xdf);
  EXPECT_EQ(a20_changes_, (std::vector<bool>{false, true}));
  EXPECT_EQ(resets_, 0);
}

TEST_F(Keyboard, ResetByPulseAndByOutputPort) {
  command(0xfe);
  EXPECT_EQ(resets_, 1);
  command(0xff);
  EXPECT_EQ(resets_, 1);
  command(0xd1);
  data(0x02);
  EXPECT_EQ(resets_, 2);
}

TEST_F(Keyboard, MousePortAnswersBesideTheKeyboard) {
  command(0xa9);
  EXPECT_EQ(read(), 0x00);
  command(0x60);
  data(0x47);  // both interrupts, mouse on
  command(0xd3);
  data(0x5a);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_EQ(irq12_.rising_edges, 1);
  EXPECT_EQ(irq1_.rising_edges, 0);
  EXPECT_EQ(read(), 0x5a);
  command(0xd4);
  data(0xff);
  EXPECT_EQ(read_all(), (Bytes{0xfa, 0xaa, 0x00}));
  EXPECT_EQ(irq12_.rising_edges, 4);
  press({0x1c});
  EXPECT_EQ(status() & 0x21, 0x01);
  EXPECT_EQ(irq1_.rising_edges, 1);
}

TEST_F(Keyboard, MouseIsHeardOnlyWhileItsPortIsOn) {
  command(0xd4);
  data(0xf4);
  EXPECT_EQ(read(), 0xfa);
  command(0xa7);
  controller_.move_mouse({.right = 3, .up = -2, .buttons = 1});
  EXPECT_EQ(status() & 0x01, 0x00);
  command(0xa8);
  EXPECT_EQ(read_all(), (Bytes{0x29, 0x03, 0xfe}));
}

TEST_F(Keyboard, DisabledScanningDropsKeysAndEnablingBringsThemBack) {
  data(0xf5);
  EXPECT_EQ(read_all(), (Bytes{0xfa}));
  press({0x1c});
  EXPECT_EQ(status() & 0x01, 0x00);
  data(0xf4);
  EXPECT_EQ(read_all(), (Bytes{0xfa}));
  press({0x1c});
  EXPECT_EQ(read_all(), (Bytes{0x1e}));
}

}  // namespace
}  // namespace ringshift
