// The watchdog by its registers: two stages, the numbers that open it, the locks.
#include "devices/pci/i6300esb.h"

#include <gtest/gtest.h>

#include "devices/pci/pci_panic.h"
#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr uint32_t kPage = 0xfe000000;
constexpr Nanoseconds kMillisecond = 1'000'000;

class I6300esbTest : public ::testing::Test {
 protected:
  void SetUp() override {
    device.write_config(0x10, AccessWidth::Dword, kPage);
    device.write_config(0x04, AccessWidth::Word, 2);
  }
  void store(unsigned at, AccessWidth width, uint32_t value) {
    page.write(GuestPhysical(kPage + at), width, value);
  }
  uint32_t load(unsigned at) { return page.read(GuestPhysical(kPage + at), AccessWidth::Word); }
  void open() {
    store(0x0c, AccessWidth::Word, 0x80);
    store(0x0c, AccessWidth::Word, 0x86);
  }
  void set_up(uint32_t ticks) {
    for (const unsigned at : {0x00U, 0x04U}) {
      open();
      store(at, AccessWidth::Dword, ticks);
    }
  }
  void feed() {
    open();
    store(0x0c, AccessWidth::Word, 0x100);
  }
  void enable(uint8_t value = 2) { device.write_config(0x68, AccessWidth::Byte, value); }

  ManualClock clock;
  PortBus ports;
  MemoryBus page;
  PciBuses buses{ports, page, {}};
  int fired = 0;
  I6300esb device{buses, clock, [this] { ++fired; }, false};
};

TEST_F(I6300esbTest, RunsOutAfterBothStages) {
  set_up(1000);
  enable();
  clock.advance(1900 * kMillisecond);
  EXPECT_EQ(fired, 0);
  clock.advance(200 * kMillisecond);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(load(0x0c), 0x200U);
  clock.advance(10'000 * kMillisecond);
  EXPECT_EQ(fired, 1);
}

TEST_F(I6300esbTest, IsFedByTheReloadRegister) {
  set_up(1000);
  enable();
  for (int i = 0; i < 10; ++i) {
    clock.advance(1500 * kMillisecond);
    feed();
  }
  EXPECT_EQ(fired, 0);
}

TEST_F(I6300esbTest, NothingIsWrittenWithoutTheNumbers) {
  set_up(1000);
  enable();
  store(0x00, AccessWidth::Dword, 0xfffff);
  store(0x0c, AccessWidth::Word, 0x100);
  store(0x0c, AccessWidth::Word, 0x86);
  store(0x0c, AccessWidth::Word, 0x100);
  open();
  store(0x08, AccessWidth::Word, 1);  // no register of these: it stays open
  clock.advance(2100 * kMillisecond);
  EXPECT_EQ(fired, 1);
}

TEST_F(I6300esbTest, IsSwitchedOffUnlessItIsLocked) {
  set_up(1000);
  enable();
  enable(0);
  clock.advance(5000 * kMillisecond);
  EXPECT_EQ(fired, 0);
  enable(3);
  enable(0);
  EXPECT_EQ(device.read_config(0x68, AccessWidth::Byte), 3U);
  clock.advance(2100 * kMillisecond);
  EXPECT_EQ(fired, 1);
}

TEST_F(I6300esbTest, CountsMegahertzAndMayDoNothing) {
  set_up(1000);
  device.write_config(0x60, AccessWidth::Word, 4 | 0x20);
  enable();
  clock.advance(10 * kMillisecond);
  EXPECT_EQ(fired, 0);  // the output is off
  enable(0);
  device.write_config(0x60, AccessWidth::Word, 4);
  enable();
  clock.advance(3 * kMillisecond);
  EXPECT_EQ(fired, 1);
}

TEST_F(I6300esbTest, RemembersThatItHasRunOut) {
  I6300esb again(
      buses, clock, [] {}, true);
  again.write_config(0x10, AccessWidth::Dword, kPage + 0x1000);
  again.write_config(0x04, AccessWidth::Word, 2);
  EXPECT_EQ(load(0x100c), 0x200U);
  store(0x100c, AccessWidth::Word, 0x80);
  store(0x100c, AccessWidth::Word, 0x86);
  store(0x100c, AccessWidth::Word, 0x200);
  EXPECT_EQ(load(0x100c), 0U);
}

TEST(PciPanic, TellsOfWhatIsWritten) {
  PortBus ports;
  MemoryBus page;
  PciBuses buses{ports, page, {}};
  std::vector<PanicEvent> events;
  PciPanic device(buses, [&](PanicEvent event) { events.push_back(event); });
  device.write_config(0x10, AccessWidth::Dword, kPage);
  device.write_config(0x04, AccessWidth::Word, 2);
  EXPECT_EQ(page.read(GuestPhysical(kPage), AccessWidth::Byte), 3U);
  for (const uint32_t value : {0U, 1U, 2U, 3U, 4U}) {
    page.write(GuestPhysical(kPage), AccessWidth::Byte, value);
  }
  page.write(GuestPhysical(kPage + 1), AccessWidth::Byte, 1);
  EXPECT_EQ(events,
            (std::vector{PanicEvent::Panicked, PanicEvent::CrashLoaded, PanicEvent::Panicked}));
}

}  // namespace
}  // namespace ringshift
