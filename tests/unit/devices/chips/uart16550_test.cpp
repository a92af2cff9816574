#include "devices/chips/uart16550.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr unsigned kData = 0, kIer = 1, kIir = 2, kFcr = 2, kLcr = 3, kMcr = 4, kLsr = 5, kMsr = 6;
constexpr unsigned kOut2 = 0x08;

class Uart : public ::testing::Test {
 protected:
  Uart() { out8(uart_, kMcr, kOut2); }
  size_t receive(std::string_view text) {
    const std::vector<uint8_t> bytes(text.begin(), text.end());
    return uart_.receive(bytes);
  }
  ManualClock clock_;
  RecordingLine irq_;
  RecordingBackend backend_;
  Uart16550 uart_{clock_, irq_, &backend_};
};

TEST_F(Uart, BytesWrittenReachTheBackendInOrder) {
  for (const char c : std::string_view("hello")) out8(uart_, kData, static_cast<uint8_t>(c));
  EXPECT_EQ(backend_.text, "hello");
}

TEST_F(Uart, TransmitterIsAlwaysEmpty) {
  out8(uart_, kData, 'x');
  EXPECT_EQ(in8(uart_, kLsr), 0x60);
}

TEST_F(Uart, WithoutBackendBytesVanish) {
  Uart16550 lonely(clock_, irq_, nullptr);
  out8(lonely, kData, 'x');
  EXPECT_EQ(in8(lonely, kLsr), 0x60);
}

TEST_F(Uart, EnablingThreInterruptRaisesItAtOnce) {
  out8(uart_, kIer, 0x02);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0x02);
  EXPECT_FALSE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0x01);
}

TEST_F(Uart, DisablingAndEnablingThreInterruptRaisesItAgain) {
  out8(uart_, kIer, 0x02);
  static_cast<void>(in8(uart_, kIir));
  out8(uart_, kIer, 0x00);
  out8(uart_, kIer, 0x02);
  EXPECT_EQ(in8(uart_, kIir), 0x02);
}

TEST_F(Uart, EachTransmittedByteMakesANewThreEdge) {
  out8(uart_, kIer, 0x02);
  const int before = irq_.rising_edges;
  out8(uart_, kData, 'a');
  out8(uart_, kData, 'b');
  EXPECT_EQ(irq_.rising_edges, before + 2);
}

TEST_F(Uart, WithoutFifoOneByteIsAccepted) {
  EXPECT_EQ(receive("abc"), 1U);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x01);
  EXPECT_EQ(in8(uart_, kData), 'a');
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
}

TEST_F(Uart, FifoAcceptsSixteenBytesAndGivesThemInOrder) {
  out8(uart_, kFcr, 0x01);
  EXPECT_EQ(receive("0123456789abcdefXYZ"), 16U);
  EXPECT_EQ(receive("Z"), 0U);
  for (const char c : std::string_view("0123456789abcdef")) {
    EXPECT_EQ(in8(uart_, kData), static_cast<uint8_t>(c));
  }
}

TEST_F(Uart, RoomCallbackRunsWhenTheReceiverIsEmptied) {
  out8(uart_, kFcr, 0x01);
  int calls = 0;
  uart_.set_on_room([&calls] { ++calls; });
  ASSERT_EQ(receive("ab"), 2U);
  static_cast<void>(in8(uart_, kData));
  EXPECT_EQ(calls, 0);
  static_cast<void>(in8(uart_, kData));
  EXPECT_EQ(calls, 1);
}

TEST_F(Uart, RoomCallbackMayReceiveAtOnce) {
  uart_.set_on_room([this] { static_cast<void>(receive("b")); });
  ASSERT_EQ(receive("a"), 1U);
  EXPECT_EQ(in8(uart_, kData), 'a');
  EXPECT_EQ(in8(uart_, kData), 'b');
}

TEST_F(Uart, ReceivedDataInterruptLastsUntilRead) {
  out8(uart_, kIer, 0x01);
  ASSERT_EQ(receive("a"), 1U);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0x04);
  EXPECT_TRUE(irq_.level);
  static_cast<void>(in8(uart_, kData));
  EXPECT_FALSE(irq_.level);
}

TEST_F(Uart, FifoInterruptComesAtTheTriggerLevelAndGoesBelowIt) {
  out8(uart_, kFcr, 0x41);
  out8(uart_, kIer, 0x01);
  ASSERT_EQ(receive("abc"), 3U);
  EXPECT_FALSE(irq_.level);
  ASSERT_EQ(receive("d"), 1U);
  EXPECT_EQ(in8(uart_, kIir), 0xc4);
  static_cast<void>(in8(uart_, kData));
  EXPECT_FALSE(irq_.level);
}

TEST_F(Uart, BytesBelowTheTriggerLevelTimeOutAfterFourCharacterTimes) {
  out8(uart_, kFcr, 0xc1);
  out8(uart_, kIer, 0x01);
  out8(uart_, kLcr, 0x83);
  out8(uart_, kData, 1);
  out8(uart_, kIer, 0);
  out8(uart_, kLcr, 0x03);
  ASSERT_EQ(receive("a"), 1U);
  clock_.advance(340'000);  // ten bits at 115,200 baud are 86.8 us
  EXPECT_FALSE(irq_.level);
  clock_.advance(10'000);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0xcc);
  EXPECT_EQ(in8(uart_, kData), 'a');
  EXPECT_EQ(in8(uart_, kIir), 0xc1);
}

TEST_F(Uart, LineStatusOutranksDataOutranksThreOutranksModem) {
  out8(uart_, kMcr, 0x18);
  out8(uart_, kData, 'a');
  out8(uart_, kData, 'b');  // overruns the one-byte receiver
  out8(uart_, kIer, 0x0f);
  EXPECT_EQ(in8(uart_, kIir), 0x06);
  EXPECT_EQ(in8(uart_, kLsr) & 0x02, 0x02);
  EXPECT_EQ(in8(uart_, kIir), 0x04);
  EXPECT_EQ(in8(uart_, kData), 'b');
  EXPECT_EQ(in8(uart_, kIir), 0x02);
  EXPECT_EQ(in8(uart_, kIir), 0x00);
  static_cast<void>(in8(uart_, kMsr));
  EXPECT_EQ(in8(uart_, kIir), 0x01);
}

TEST_F(Uart, OverrunInFifoModeLosesTheNewByte) {
  out8(uart_, kFcr, 0x01);
  out8(uart_, kMcr, 0x10);
  for (unsigned i = 0; i < 17; ++i) out8(uart_, kData, i);
  EXPECT_EQ(in8(uart_, kLsr) & 0x03, 0x03);
  EXPECT_EQ(in8(uart_, kLsr) & 0x02, 0x00);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(in8(uart_, kData), i);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
}

TEST_F(Uart, InterruptsComeWhateverOut2IsLikeOnClones) {
  out8(uart_, kMcr, 0x00);
  out8(uart_, kIer, 0x01);
  ASSERT_EQ(receive("a"), 1U);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0x04);
  out8(uart_, kMcr, kOut2);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kData), 'a');
  EXPECT_FALSE(irq_.level);
}

TEST_F(Uart, ListensOnceItsInterruptIsEnabled) {
  EXPECT_FALSE(uart_.is_listening());
  unsigned calls = 0;
  uart_.set_on_room([&] { ++calls; });
  out8(uart_, kIer, 0x01);
  EXPECT_TRUE(uart_.is_listening());
  EXPECT_EQ(calls, 1U);
  out8(uart_, kIer, 0x00);
  EXPECT_FALSE(uart_.is_listening());
}

TEST_F(Uart, ListensWhenTheStatusIsLookedAtAgain) {
  unsigned calls = 0;
  uart_.set_on_room([&] { ++calls; });
  for (unsigned i = 0; i < 50; ++i) {  // this is printing
    (void)in8(uart_, kLsr);
    out8(uart_, kData, 'x');
  }
  EXPECT_FALSE(uart_.is_listening());
  for (unsigned i = 0; i < 7; ++i) {
    (void)in8(uart_, kLsr);
    EXPECT_FALSE(uart_.is_listening());
  }
  (void)in8(uart_, kLsr);
  EXPECT_TRUE(uart_.is_listening());
  EXPECT_EQ(calls, 1U);
  out8(uart_, kLcr, 0x03);  // another driver
  EXPECT_FALSE(uart_.is_listening());
}

TEST_F(Uart, ListensWhenTheReceiverIsReadBlindly) {
  (void)in8(uart_, kLsr);  // as a driver throws away what may be there
  (void)in8(uart_, kData);
  (void)in8(uart_, kIir);
  EXPECT_FALSE(uart_.is_listening());
  for (unsigned i = 0; i < 8; ++i) (void)in8(uart_, kData);
  EXPECT_TRUE(uart_.is_listening());
}

TEST_F(Uart, WhoPrintsBetweenLooksListensInTheEnd) {
  for (unsigned i = 0; i < 1000; ++i) {
    (void)in8(uart_, kLsr);
    out8(uart_, kData, '.');
  }
  EXPECT_TRUE(uart_.is_listening());
}

TEST_F(Uart, ClearingTheFifosLosesNothingThatCameIn) {
  out8(uart_, kFcr, 0x01);
  ASSERT_EQ(receive("abc"), 3U);
  out8(uart_, kFcr, 0x07);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
  EXPECT_EQ(in8(uart_, kIir), 0xc1);
  EXPECT_EQ(receive("d"), 0U);  // its turn comes
  out8(uart_, kFcr, 0x00);
  out8(uart_, kFcr, 0x07);
  out8(uart_, kIer, 0x01);
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(receive("d"), 1U);
  for (const char c : {'a', 'b', 'c', 'd'}) EXPECT_EQ(in8(uart_, kData), c);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
}

TEST_F(Uart, WithoutFifosWhatWasClearedComesOneByOne) {
  out8(uart_, kFcr, 0x01);
  ASSERT_EQ(receive("abc"), 3U);
  out8(uart_, kFcr, 0x00);
  out8(uart_, kIer, 0x01);
  for (const char c : {'a', 'b', 'c'}) {
    EXPECT_TRUE(irq_.level);
    EXPECT_EQ(in8(uart_, kData), c);
  }
  EXPECT_FALSE(irq_.level);
}

TEST_F(Uart, ClearingTheFifosLosesWhatThePortSentToItself) {
  out8(uart_, kIer, 0x01);
  out8(uart_, kFcr, 0x01);
  out8(uart_, kMcr, 0x10);
  out8(uart_, kData, 'x');
  out8(uart_, kFcr, 0x07);
  out8(uart_, kMcr, 0x00);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
}

TEST_F(Uart, InterruptsComeInLoopbackToo) {
  out8(uart_, kMcr, 0x10);
  out8(uart_, kIer, 0x09);
  out8(uart_, kData, 'x');
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kIir), 0x04);
  EXPECT_EQ(in8(uart_, kData), 'x');
  (void)in8(uart_, kMsr);
  EXPECT_FALSE(irq_.level);
  out8(uart_, kMcr, 0x12);  // RTS is CTS now, and that has changed
  EXPECT_TRUE(irq_.level);
  EXPECT_EQ(in8(uart_, kMsr), 0x11);
  EXPECT_FALSE(irq_.level);
}

TEST_F(Uart, FifoEnableShowsInIirAndClearsTheReceiver) {
  ASSERT_EQ(receive("a"), 1U);
  out8(uart_, kFcr, 0x01);
  EXPECT_EQ(in8(uart_, kIir), 0xc1);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
  out8(uart_, kFcr, 0x00);
  EXPECT_EQ(in8(uart_, kIir), 0x01);
}

TEST_F(Uart, ReceiverResetBitEmptiesTheFifo) {
  out8(uart_, kFcr, 0x01);
  ASSERT_EQ(receive("abc"), 3U);
  out8(uart_, kFcr, 0x03);
  EXPECT_EQ(in8(uart_, kLsr) & 0x01, 0x00);
}

TEST_F(Uart, DivisorLatchIsBehindDlabOnly) {
  out8(uart_, kLcr, 0x80);
  out8(uart_, kData, 0x34);
  out8(uart_, kIer, 0x12);
  EXPECT_EQ(in8(uart_, kData), 0x34);
  EXPECT_EQ(in8(uart_, kIer), 0x12);
  out8(uart_, kLcr, 0x03);
  EXPECT_EQ(in8(uart_, kIer), 0x00);
  EXPECT_EQ(backend_.text, "");
}

TEST_F(Uart, LoopbackReturnsDataAndSendsNothing) {
  out8(uart_, kMcr, 0x10);
  out8(uart_, kData, 0x5a);
  EXPECT_EQ(in8(uart_, kData), 0x5a);
  EXPECT_EQ(backend_.text, "");
  EXPECT_EQ(receive("a"), 0U);
}

TEST_F(Uart, LoopbackConnectsModemOutputsToInputs) {
  out8(uart_, kMcr, 0x1a);
  EXPECT_EQ(in8(uart_, kMsr) & 0xf0, 0x90);
  out8(uart_, kMcr, 0x15);
  EXPECT_EQ(in8(uart_, kMsr) & 0xf0, 0x60);
}

TEST_F(Uart, ModemDeltasAreClearedByReadingAndRingTellsItsEndOnly) {
  out8(uart_, kMcr, 0x10);
  static_cast<void>(in8(uart_, kMsr));
  out8(uart_, kMcr, 0x14);
  EXPECT_EQ(in8(uart_, kMsr) & 0x0f, 0x00);
  out8(uart_, kMcr, 0x10);
  EXPECT_EQ(in8(uart_, kMsr) & 0x0f, 0x04);
  EXPECT_EQ(in8(uart_, kMsr) & 0x0f, 0x00);
}

TEST_F(Uart, OtherEndShowsAsPresent) { EXPECT_EQ(in8(uart_, kMsr) & 0xf0, 0xb0); }

TEST_F(Uart, UpperInterruptEnableBitsReadZeroAndScratchKeepsItsByte) {
  out8(uart_, kIer, 0xf0);
  EXPECT_EQ(in8(uart_, kIer), 0x00);
  out8(uart_, 7, 0xa5);
  EXPECT_EQ(in8(uart_, 7), 0xa5);
}

}  // namespace
}  // namespace ringshift
