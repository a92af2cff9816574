// One port: output is printed in order and in turns, input waits for buffers.
#include "devices/virtio/virtio_console.h"

#include <string>

#include "tests/unit/devices/virtio/virtio_test_support.h"

namespace ringshift {
namespace {

class Printer final : public SerialBackend {
 public:
  void transmit(uint8_t byte) override { text.push_back(static_cast<char>(byte)); }
  std::string text;
};

class VirtioConsoleTest : public ::testing::Test {
 protected:
  VirtioConsoleTest() {
    device.set_on_room([this] { ++rooms; });
  }
  void SetUp() override { bench.start(Interface::Modern); }
  size_t type(const std::string& text) {
    return device.receive(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  }

  Printer printer;
  VirtioConsole device{printer};
  VirtioBench bench{device};
  int rooms = 0;
};

TEST_F(VirtioConsoleTest, PrintsPiecesInTheirOrder) {
  const std::string text = "hello, world";
  std::copy(text.begin(), text.end(), bench.memory.bytes.begin() + 0x80000);
  bench.add(1, 0, {{0x80000, 5, false}, {0x80005, 7, false}});
  bench.notify(1);
  EXPECT_EQ(printer.text, text);
  EXPECT_EQ(bench.next_used(1), (Used{0, 0}));
}

TEST_F(VirtioConsoleTest, ALongTextTakesTurns) {
  bench.add(1, 0, {{0, 0x100000, false}});
  bench.notify(1);
  EXPECT_EQ(printer.text.size(), VirtioConsole::kMostAtOnce);
  EXPECT_FALSE(bench.next_used(1));
  for (int i = 0; i < 0x100000 / 4096; ++i) bench.clock.advance(1);
  EXPECT_EQ(printer.text.size(), 0x100000U);
  EXPECT_EQ(bench.next_used(1), (Used{0, 0}));
}

TEST_F(VirtioConsoleTest, WhatIsTypedWaitsForABuffer) {
  EXPECT_EQ(type("abc"), 0U);
  const int before = rooms;
  bench.add(0, 0, {{0x80000, 2, true}});
  bench.notify(0);
  EXPECT_GT(rooms, before);
  EXPECT_EQ(type("abc"), 2U);
  bench.clock.run_due();
  EXPECT_EQ(bench.next_used(0), (Used{0, 2}));
  EXPECT_EQ(bench.memory.bytes[0x80001], 'b');
  EXPECT_EQ(bench.interrupt_status(Interface::Modern) & 1, 1);
}

TEST_F(VirtioConsoleTest, NothingIsTypedBeforeThereIsADriver) {
  bench.set_status(Interface::Modern, 0);
  EXPECT_EQ(type("abc"), 0U);
}

TEST_F(VirtioConsoleTest, BuffersOfTheWrongKindBreakIt) {
  bench.add(1, 0, {{0x80000, 5, true}});
  bench.notify(1);
  EXPECT_TRUE(bench.needs_reset());
  bench.start(Interface::Modern);
  bench.add(0, 0, {{0x80000, 5, false}});
  EXPECT_EQ(type("abc"), 0U);
  bench.clock.run_due();
  EXPECT_TRUE(bench.needs_reset());
}

TEST_F(VirtioConsoleTest, ABytePrintedByTheConfiguration) {
  bench.store(0x108, AccessWidth::Dword, 'x');
  EXPECT_EQ(printer.text, "x");
  EXPECT_EQ(bench.config(Interface::Modern, 4, 4), 1U);
}

}  // namespace
}  // namespace ringshift
