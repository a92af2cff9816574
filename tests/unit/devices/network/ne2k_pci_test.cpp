// An RTL8029AS by its registers: identity, PROM, memory by the data port, the ring, interrupts.
#include "devices/network/ne2k_pci.h"

#include <zlib.h>

#include <cstring>

#include "shadowmmu/base/state_archive.h"
#include "tests/unit/devices/network/e1000_test_support.h"

namespace ringshift {
namespace {

constexpr uint16_t kBase = 0xc000;
constexpr uint8_t kFirst = 0x46, kLast = 0x80;  // the ring, in pages; what is sent lies below it
constexpr MacAddress kGroup{0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};

class Ne2kTest : public ::testing::Test {
 protected:
  Ne2kTest() {
    card.write_config(0x10, AccessWidth::Dword, kBase);
    card.write_config(0x04, AccessWidth::Word, 1);
  }
  uint8_t get(unsigned at) {
    return static_cast<uint8_t>(ports.read(static_cast<uint16_t>(kBase + at), AccessWidth::Byte));
  }
  void set(unsigned at, uint8_t value) {
    ports.write(static_cast<uint16_t>(kBase + at), AccessWidth::Byte, value);
  }
  uint32_t data(AccessWidth width) { return ports.read(kBase + 0x10, width); }
  void begin_data(uint16_t address, uint16_t count, uint8_t command) {
    set(0, 0x22);
    set(0x07, 0x40);
    set(0x08, static_cast<uint8_t>(address));
    set(0x09, static_cast<uint8_t>(address >> 8));
    set(0x0a, static_cast<uint8_t>(count));
    set(0x0b, static_cast<uint8_t>(count >> 8));
    set(0, command);
  }
  Frame read_memory(uint16_t address, uint16_t count) {
    begin_data(address, count, 0x0a);
    Frame bytes;
    for (unsigned i = 0; i < count; i += 2) {
      const uint32_t word = data(AccessWidth::Word);
      bytes.push_back(static_cast<uint8_t>(word));
      bytes.push_back(static_cast<uint8_t>(word >> 8));
    }
    bytes.resize(count);
    return bytes;
  }
  void write_memory(uint16_t address, const Frame& bytes) {
    begin_data(address, static_cast<uint16_t>(bytes.size()), 0x12);
    for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
      ports.write(kBase + 0x10, AccessWidth::Word, bytes[i] | uint32_t{bytes[i + 1]} << 8);
    }
  }
  // As a driver does (DP8390D, 9.0).
  void start(uint8_t receive_control = 0x04, uint8_t mask = 0x7f) {
    set(0, 0x21);
    set(0x0e, 0x49);
    set(0x0d, 0x02);
    set(0x04, 0x40);
    set(0x01, kFirst);
    set(0x02, kLast);
    set(0x03, kFirst);
    set(0x07, 0xff);
    set(0x0f, mask);
    set(0, 0x61);
    for (unsigned i = 0; i < 6; ++i) set(1 + i, kCardAddress[i]);
    set(0x07, kFirst + 1);
    set(0, 0x22);
    set(0x0c, receive_control);
    set(0x0d, 0);
    clock.run_due();
  }
  void come(Frame frame) {
    port.waiting.push_back(std::move(frame));
    port.change();
    clock.run_due();
  }
  // Reads the next frame out of the ring, and gives its pages back; the page before the first one
  // is the last, or what the driver calls it.
  Frame take(uint8_t* next, uint8_t before_first = kLast - 1) {
    const auto at = static_cast<uint16_t>(*next * 256);
    const Frame header = read_memory(at, 4);
    const auto count = static_cast<uint16_t>(header[2] | header[3] << 8);
    Frame frame = read_memory(static_cast<uint16_t>(at + 4), count);
    *next = header[1];
    set(0x07, 0x01);
    set(0x03, *next == kFirst ? before_first : static_cast<uint8_t>(*next - 1));
    clock.run_due();
    return frame;
  }

  PortBus ports;
  MemoryBus memory;
  PciBuses buses{ports, memory, {}};
  ManualClock clock;
  RecordingLine line;
  CardPort port;
  Ne2kPci card{{buses, clock, line}, port, kCardAddress};
};

TEST_F(Ne2kTest, IdentityIsAnRtl8029) {
  EXPECT_EQ(card.read_config(0, AccessWidth::Dword), 0x802910ecU);
  EXPECT_EQ(card.read_config(8, AccessWidth::Dword) >> 8, 0x020000U);
  set(0, 0x21);
  EXPECT_EQ(get(0x0a), 0x50);
  EXPECT_EQ(get(0x0b), 0x43);
}

TEST_F(Ne2kTest, ResetIsTold) {
  start();
  EXPECT_EQ(get(0x07) & 0x80, 0);
  set(0x1f, get(0x1f));
  EXPECT_NE(get(0x07) & 0x80, 0);
  EXPECT_EQ(get(0), 0x01);
}

TEST_F(Ne2kTest, PromHasTheAddressInEachWord) {
  set(0, 0x21);
  set(0x0e, 0x49);
  begin_data(0, 32, 0x0a);
  for (unsigned i = 0; i < 16; ++i) {
    const uint32_t expected = i < 6 ? kCardAddress[i] : i >= 14 ? 0x57 : 0;
    EXPECT_EQ(data(AccessWidth::Byte), expected) << i;  // in words a byte is one
  }
  EXPECT_NE(get(0x07) & 0x40, 0);
}

TEST_F(Ne2kTest, MemoryIsReachedByBytesWordsAndDwords) {
  start();
  const Frame bytes = E1000Bench::frame_of(64);
  write_memory(0x4000, bytes);
  EXPECT_NE(get(0x07) & 0x40, 0);
  EXPECT_EQ(read_memory(0x4000, 64), bytes);
  begin_data(0x4000, 8, 0x0a);
  for (unsigned i = 0; i < 2; ++i) {
    uint32_t expected = 0;
    std::memcpy(&expected, bytes.data() + 4 * i, 4);
    EXPECT_EQ(data(AccessWidth::Dword), expected);
  }
  EXPECT_NE(get(0x07) & 0x40, 0);
  set(0x0e, 0x48);  // bytes
  begin_data(0x4001, 2, 0x0a);
  EXPECT_EQ(data(AccessWidth::Byte), bytes[1]);
  EXPECT_EQ(get(0x07) & 0x40, 0);
  EXPECT_EQ(data(AccessWidth::Byte), bytes[2]);
  EXPECT_NE(get(0x07) & 0x40, 0);
}

TEST_F(Ne2kTest, WhereNoMemoryIsNothingIsKept) {
  start();
  write_memory(0xfffe, Frame(8, 0x11));
  write_memory(0x3ffe, Frame(2, 0x22));
  EXPECT_EQ(read_memory(0x3ffe, 2), Frame(2, 0xff));
  EXPECT_EQ(read_memory(0xfffe, 2), Frame(2, 0xff));
  EXPECT_EQ(ports.read(kBase + 0x0e, AccessWidth::Dword) >> 16, 0U);  // beyond the registers
}

TEST_F(Ne2kTest, SendsWhatLiesInItsMemory) {
  start();
  const Frame frame = E1000Bench::frame_of(60);
  write_memory(0x4000, frame);
  set(0x05, 60);
  set(0x06, 0);
  set(0x07, 0xff);
  set(0, 0x26);
  ASSERT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(port.sent.front(), frame);
  EXPECT_EQ(get(0x07), 0x02);
  EXPECT_EQ(get(0x04), 0x01);
  EXPECT_EQ(get(0), 0x22);
  EXPECT_TRUE(line.level);
  set(0x07, 0x02);
  EXPECT_FALSE(line.level);
}

TEST_F(Ne2kTest, WaitsUntilThereIsRoomToSend) {
  start();
  port.room = 0;
  write_memory(0x4000, E1000Bench::frame_of(60));
  set(0x05, 60);
  set(0x06, 0);
  set(0, 0x26);
  EXPECT_TRUE(port.sent.empty());
  EXPECT_EQ(get(0), 0x26);
  set(0, 0x20);  // a driver that only turns to another page takes nothing back
  EXPECT_EQ(get(0), 0x26);
  port.room = 1;
  port.change();
  clock.run_due();
  EXPECT_EQ(port.sent.size(), 1U);
  EXPECT_EQ(get(0) & 0x04, 0);
}

TEST_F(Ne2kTest, FramesOfNoLengthGoNowhereAndAreTold) {
  start();
  for (const unsigned bytes : {0U, 13U, 1519U, 0xffffU}) {
    set(0x05, static_cast<uint8_t>(bytes));
    set(0x06, static_cast<uint8_t>(bytes >> 8));
    set(0x07, 0xff);
    set(0, 0x26);
    EXPECT_EQ(get(0x07) & 0x02, 0x02) << bytes;
  }
  EXPECT_TRUE(port.sent.empty());
}

TEST_F(Ne2kTest, PutsWhatComesIntoItsRing) {
  start();
  const Frame frame = E1000Bench::frame_of(300);
  come(frame);
  EXPECT_EQ(get(0x07), 0x01);
  const Frame header = read_memory((kFirst + 1) * 256, 4);
  EXPECT_EQ(header, (Frame{0x01, kFirst + 3, 304 & 0xff, 304 >> 8}));
  uint8_t next = kFirst + 1;
  Frame found = take(&next);
  const auto sum = static_cast<uint32_t>(crc32(0, frame.data(), 300));
  uint32_t stored = 0;
  std::memcpy(&stored, found.data() + 300, 4);
  EXPECT_EQ(stored, sum);
  found.resize(300);
  EXPECT_EQ(found, frame);
}

TEST_F(Ne2kTest, EachFrameIsToldByItself) {
  start();
  for (int i = 0; i < 3; ++i) come(E1000Bench::frame_of(60));
  EXPECT_EQ(port.waiting.size(), 2U);
  for (int left = 2; left > 0; --left) {
    set(0x07, 0x01);
    EXPECT_FALSE(line.level);
    clock.run_due();
    EXPECT_TRUE(line.level);
    EXPECT_EQ(port.waiting.size(), static_cast<size_t>(left - 1));
  }
  // A driver masks them all while it sends.
  set(0x0f, 0);
  come(E1000Bench::frame_of(60));
  EXPECT_EQ(port.waiting.size(), 1U);
  port.waiting.clear();
  // A driver that looks by itself, from the reset on, gets the frames that are there.
  (void)get(0x1f);
  start(0x04, 0);
  for (int i = 0; i < 3; ++i) come(E1000Bench::frame_of(60));
  EXPECT_TRUE(port.waiting.empty());
}

TEST_F(Ne2kTest, ShortFramesAreAsLongAsOnAWire) {
  start();
  come(E1000Bench::frame_of(20));
  uint8_t next = kFirst + 1;
  EXPECT_EQ(take(&next).size(), 64U);
}

TEST_F(Ne2kTest, TheRingGoesRoundAndLosesNothing) {
  start();
  uint8_t next = kFirst + 1;
  for (unsigned i = 0; i < 200; ++i) {
    Frame frame = E1000Bench::frame_of(60 + i * 7, static_cast<uint8_t>(i));
    come(frame);
    Frame found = take(&next);
    found.resize(frame.size());
    ASSERT_EQ(found, frame) << i;
  }
}

// As Linux's 8390 driver has it, which writes the page before the next frame also where that frame
// is at the ring's first page.
TEST_F(Ne2kTest, ABoundaryBeforeTheFirstPageIsTheLastPage) {
  start(0x04, 0);
  set(0, 0x62);
  set(0x07, kFirst);
  set(0, 0x22);
  set(0x03, kFirst - 1);
  EXPECT_EQ(get(0x03), kFirst - 1);  // from which the driver goes on
  std::deque<Frame> all;
  for (unsigned i = 0; i < 40; ++i) {
    all.push_back(E1000Bench::frame_of(1000, static_cast<uint8_t>(i)));
    come(all.back());
  }
  EXPECT_EQ(get(0x07), 0x01);  // none is lost, none written over
  EXPECT_EQ(get(0x0f), 0);
  EXPECT_EQ(port.waiting.size(), 40U - (kLast - kFirst - 1) / 4);  // each has four pages
  uint8_t next = kFirst;
  for (const Frame& frame : all) {
    Frame found = take(&next, kFirst - 1);
    found.resize(frame.size());
    ASSERT_EQ(found, frame);
  }
  EXPECT_TRUE(port.waiting.empty());
}

TEST_F(Ne2kTest, WithoutRoomFramesStayWhereTheyAre) {
  start(0x04, 0);
  std::deque<Frame> all;
  for (unsigned i = 0; i < 40; ++i) {
    all.push_back(E1000Bench::frame_of(1000, static_cast<uint8_t>(i)));
    come(all.back());
  }
  EXPECT_GT(port.waiting.size(), 10U);
  EXPECT_LT(port.waiting.size(), 35U);
  EXPECT_EQ(get(0x07) & 0x10, 0);
  uint8_t next = kFirst + 1;
  for (const Frame& frame : all) {
    Frame found = take(&next);
    found.resize(frame.size());
    ASSERT_EQ(found, frame);
  }
  EXPECT_TRUE(port.waiting.empty());
}

TEST_F(Ne2kTest, TakesOnlyWhatItIsAskedToTake) {
  start();
  Frame other = E1000Bench::frame_of(60), group = other, everybody = other;
  other[5] ^= 1;
  std::copy(kGroup.begin(), kGroup.end(), group.begin());
  std::fill_n(everybody.begin(), 6, uint8_t{0xff});
  uint8_t next = kFirst + 1;
  come(other);
  come(group);
  EXPECT_EQ(get(0x07) & 1, 0);
  come(everybody);
  EXPECT_EQ(get(0x07) & 1, 1);
  EXPECT_EQ(read_memory(static_cast<uint16_t>(next * 256), 1)[0], 0x21);
  (void)take(&next);
  set(0x0c, 0x08);
  // 01:00:5e:00:00:01 has the hash 31 (as Linux's ether_crc has it).
  set(0, 0x62);
  set(0x08 + 3, 0x80);
  set(0, 0x22);
  set(0x07, 0xff);
  come(group);
  EXPECT_EQ(get(0x07) & 1, 1);
  (void)take(&next);
  set(0, 0x62);
  set(0x08 + 3, 0x7f);
  set(0, 0x22);
  set(0x07, 0xff);
  come(group);
  EXPECT_EQ(get(0x07) & 1, 0);
  set(0x0c, 0x10);
  come(other);
  EXPECT_EQ(get(0x07) & 1, 1);
}

TEST_F(Ne2kTest, MonitoringCountsWhatItDoesNotKeep) {
  start(0x24);
  come(E1000Bench::frame_of(60));
  EXPECT_EQ(get(0x0f), 1);
  EXPECT_EQ(get(0x0f), 0);
  EXPECT_EQ(get(0x07) & 1, 0);
}

TEST_F(Ne2kTest, ARingThatIsNoneKeepsNobodyWaiting) {
  start();
  for (const auto& [first, last, boundary] : std::vector<std::array<uint8_t, 3>>{
           {0x80, 0x46, 0x46}, {0x46, 0x48, 0x46}, {0, 0xff, 0xff}}) {
    set(0x01, first);
    set(0x02, last);
    set(0x03, boundary);
    for (int i = 0; i < 300; ++i) port.waiting.push_back(E1000Bench::frame_of(1500));
    port.change();
    for (int i = 0; i < 4; ++i) clock.run_due();
    EXPECT_TRUE(port.waiting.empty());
  }
}

TEST_F(Ne2kTest, SavedInTheMiddleItGoesOn) {
  start();
  port.room = 0;
  write_memory(0x4000, E1000Bench::frame_of(60));
  set(0x05, 60);
  set(0x06, 0);
  set(0, 0x26);
  come(E1000Bench::frame_of(100));
  std::vector<uint8_t> saved;
  std::string error;
  ASSERT_TRUE(StateArchive::save([&](StateArchive& a) { a.part("card", card); }, &saved, &error));
  PortBus other_ports;
  MemoryBus other_memory;
  PciBuses other_buses{other_ports, other_memory, {}};
  RecordingLine other_line;
  CardPort other_port;
  Ne2kPci other{{other_buses, clock, other_line}, other_port, kCardAddress};
  ASSERT_TRUE(StateArchive::load(
      saved, [&](StateArchive& a) { a.part("card", other); }, &error))
      << error;
  EXPECT_TRUE(other_line.level);
  other_port.change();
  clock.run_due();
  ASSERT_EQ(other_port.sent.size(), 1U);
  EXPECT_EQ(other_port.sent.front(), E1000Bench::frame_of(60));
}

}  // namespace
}  // namespace ringshift
