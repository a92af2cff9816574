#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "devices/bus/bus.h"
#include "devices/storage/ide_controller.h"
#include "devices/storage/paced_medium.h"
#include "tests/support/slow_disk.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr uint16_t kFirst = 0x1f0, kSecond = 0x170, kBusMaster = 0xc000;
constexpr uint8_t kReady = 0x50, kDataRequest = 0x08, kError = 0x01;

// Every sector says in its first bytes which one it is.
class MemoryDisk final : public DiskBackend {
 public:
  explicit MemoryDisk(size_t sectors, size_t sector_bytes = 512) : content(sectors * sector_bytes) {
    for (size_t i = 0; i < sectors; ++i) content[i * sector_bytes] = static_cast<uint8_t>(i + 1);
  }
  [[nodiscard]] uint64_t bytes() const override { return content.size(); }
  [[nodiscard]] bool read_only() const override { return locked; }
  [[nodiscard]] bool read(uint64_t offset, std::span<uint8_t> to) override {
    EXPECT_LE(offset + to.size(), content.size());
    std::memcpy(to.data(), content.data() + offset, to.size());
    return !broken;
  }
  [[nodiscard]] bool write(uint64_t offset, std::span<const uint8_t> from) override {
    EXPECT_LE(offset + from.size(), content.size());
    EXPECT_FALSE(locked);
    if (!broken) std::memcpy(content.data() + offset, from.data(), from.size());
    return !broken;
  }
  [[nodiscard]] bool flush() override {
    ++flushes;
    return !broken;
  }
  std::vector<uint8_t> content;
  bool locked = false, broken = false;
  int flushes = 0;
};

class Ide : public ::testing::Test {
 protected:
  enum class Pace : uint8_t { Quick, Slow };
  Ide() : Ide(Pace::Quick) {}
  explicit Ide(Pace pace) {
    const bool is_slow = pace == Pace::Slow;
    ide_.add_disk(0, is_slow ? static_cast<DiskBackend&>(slow_disk_) : disk_);
    ide_.add_cdrom(2, is_slow ? static_cast<DiskBackend*>(&slow_cd_) : &cd_);
    for (unsigned i = 0; i < 2; ++i) {
      const uint16_t base = i == 0 ? kFirst : kSecond;
      EXPECT_TRUE(ports_.claim(base, 8, ide_.channel(i).command_ports(), "ide"));
      EXPECT_TRUE(ports_.claim(base + 0x206, 1, ide_.channel(i).control_port(), "ide control"));
    }
    ide_.write_config(0x20, AccessWidth::Dword, kBusMaster);
    ide_.write_config(0x04, AccessWidth::Word, 0x5);
  }
  uint8_t in(uint16_t port) { return static_cast<uint8_t>(ports_.read(port, AccessWidth::Byte)); }
  void out(uint16_t port, unsigned value) { ports_.write(port, AccessWidth::Byte, value & 0xff); }
  uint16_t in16(uint16_t port) {
    return static_cast<uint16_t>(ports_.read(port, AccessWidth::Word));
  }
  void out16(uint16_t port, unsigned value) { ports_.write(port, AccessWidth::Word, value); }
  // LBA, to drive 0 of the first cable.
  void command(unsigned code, uint32_t sector, unsigned count) {
    out(kFirst + 6, 0xe0 | (sector >> 24 & 0xf));
    out(kFirst + 2, count);
    out(kFirst + 3, sector);
    out(kFirst + 4, sector >> 8);
    out(kFirst + 5, sector >> 16);
    out(kFirst + 7, code);
  }
  std::vector<uint8_t> read_block(uint16_t base, size_t bytes) {
    std::vector<uint8_t> data(bytes);
    for (size_t i = 0; i < bytes; i += 2) {
      const uint16_t word = in16(base);
      data[i] = static_cast<uint8_t>(word);
      data[i + 1] = static_cast<uint8_t>(word >> 8);
    }
    return data;
  }
  void packet(std::initializer_list<unsigned> bytes, unsigned limit = 0xfffe,
              unsigned features = 0) {
    out(kSecond + 6, 0xa0);
    out(kSecond + 1, features);
    out(kSecond + 4, limit);
    out(kSecond + 5, limit >> 8);
    out(kSecond + 7, 0xa0);
    EXPECT_EQ(in(kSecond + 2), 1);  // command, to the drive
    std::vector<unsigned> all(bytes);
    all.resize(12);
    for (size_t i = 0; i < 12; i += 2) out16(kSecond, all[i] | all[i + 1] << 8);
  }
  void descriptor(size_t at, uint32_t address, uint32_t count, bool last) {
    const uint32_t words[] = {address, count | (last ? 0x80000000U : 0)};
    std::memcpy(memory_.bytes.data() + at, words, sizeof words);
  }
  void start_bus_master(unsigned channel, uint32_t table, unsigned direction) {
    const auto base = static_cast<uint16_t>(kBusMaster + 8 * channel);
    ports_.write(static_cast<uint16_t>(base + 4), AccessWidth::Dword, table);
    out(base, direction);
    out(base, direction | 1);
  }

  PortBus ports_;
  MemoryBus bus_;
  PciBuses buses_{ports_, bus_, {}};
  VectorMemory memory_{0x40000};
  RecordingLine line14_, line15_;
  MemoryDisk disk_{300};
  MemoryDisk cd_{40, 2048};
  SlowDisk slow_disk_{disk_}, slow_cd_{cd_};
  ManualClock clock_;
  IdeController ide_{buses_, clock_, memory_, line14_, line15_};
};

TEST_F(Ide, IdentifyGivesGeometryAndName) {
  command(0xec, 0, 0);
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(in(kFirst + 7), kReady | kDataRequest);
  EXPECT_FALSE(line14_.level);
  const std::vector<uint8_t> data = read_block(kFirst, 512);
  EXPECT_EQ(data[120] | data[121] << 8, 300);
  EXPECT_EQ(data[200] | data[201] << 8, 300);
  EXPECT_EQ(data[54], 'I');
  EXPECT_EQ(data[55], 'R');
  EXPECT_EQ(in(kFirst + 7), kReady);
}

TEST_F(Ide, DriveZeroAnswersForTheOneThatIsNotThere) {
  out(kFirst + 6, 0xf0);
  EXPECT_EQ(in(kFirst + 7), 0);
  EXPECT_EQ(in(kFirst + 0x206), 0);
  for (unsigned i = 2; i <= 5; ++i) out(static_cast<uint16_t>(kFirst + i), 0x50 + i);
  for (unsigned i = 2; i <= 5; ++i) EXPECT_EQ(in(static_cast<uint16_t>(kFirst + i)), 0x50 + i);
  EXPECT_EQ(in(kFirst + 6), 0xf0);
  out(kFirst + 7, 0xec);
  EXPECT_FALSE(line14_.level);
  EXPECT_EQ(in16(kFirst), 0);
  EXPECT_EQ(in(kFirst + 7), 0);
}

TEST_F(Ide, NobodyAnswersForADriveZeroThatIsNotThere) {
  RecordingLine line;
  IdeController alone(buses_, clock_, memory_, line, line);
  alone.add_disk(1, disk_);
  IdeChannel& channel = alone.channel(0);
  out8(channel.command_ports(), 6, 0xa0);
  out8(channel.command_ports(), 2, 0x55);
  for (unsigned i = 1; i <= 7; ++i) EXPECT_EQ(in8(channel.command_ports(), i), 0);
  EXPECT_EQ(in8(channel.control_port(), 0), 0);
  out8(channel.command_ports(), 7, 0xec);
  EXPECT_FALSE(line.level);
  out8(channel.command_ports(), 6, 0xb0);
  EXPECT_EQ(in8(channel.command_ports(), 7), kReady);
  out8(channel.command_ports(), 7, 0xec);
  EXPECT_TRUE(line.level);
}

TEST_F(Ide, ADiskOfOneSectorHasOneCylinder) {
  for (const size_t sectors : {size_t{1}, size_t{62}, size_t{1007}, size_t{1008}, size_t{2016}}) {
    MemoryDisk small(sectors);
    RecordingLine line;
    IdeController ide(buses_, clock_, memory_, line, line);
    ide.add_disk(0, small);
    PortDevice& ports = ide.channel(0).command_ports();
    out8(ports, 7, 0xec);
    std::vector<uint32_t> words;
    for (unsigned i = 0; i < 256; ++i) words.push_back(ports.read(0, AccessWidth::Word));
    const uint32_t cylinders = std::max<uint32_t>(1, static_cast<uint32_t>(sectors / 1008));
    EXPECT_EQ(words[1], cylinders) << sectors;
    EXPECT_EQ(words[54], cylinders);
    EXPECT_EQ(words[57] | words[58] << 16, cylinders * 1008);
    EXPECT_EQ(words[60], sectors);
  }
}

TEST_F(Ide, PacketDeviceSaysWhyItRefusesAndWhichWayItsDataGo) {
  out(kSecond + 6, 0xa0);
  for (const unsigned code : {0xecU, 0x20U}) {
    for (unsigned i = 2; i <= 5; ++i) out(static_cast<uint16_t>(kSecond + i), 0x77);
    out(kSecond + 7, code);
    EXPECT_EQ(in(kSecond + 7) & kError, kError);
    EXPECT_EQ(in(kSecond + 1), 0x04);
    EXPECT_EQ(in(kSecond + 2), 1);
    EXPECT_EQ(in(kSecond + 3), 1);
    EXPECT_EQ(in(kSecond + 4), 0x14);
    EXPECT_EQ(in(kSecond + 5), 0xeb);
  }
  out(kSecond + 7, 0xa1);
  EXPECT_EQ(in(kSecond + 2), 2);  // data, to the host
  (void)read_block(kSecond, 512);
  EXPECT_EQ(in(kSecond + 2), 3);  // done
}

TEST_F(Ide, ReadSectorsInterruptsForEachAndNotAtTheEnd) {
  command(0x20, 5, 2);
  EXPECT_EQ(line14_.rising_edges, 1);
  (void)in(kFirst + 7);
  EXPECT_EQ(read_block(kFirst, 512)[0], 6);
  EXPECT_EQ(line14_.rising_edges, 2);
  (void)in(kFirst + 7);
  EXPECT_EQ(read_block(kFirst, 512)[0], 7);
  EXPECT_EQ(line14_.rising_edges, 2);
  EXPECT_EQ(in(kFirst + 7), kReady);
}

TEST_F(Ide, DwordAccessesMoveTheSameBytes) {
  disk_.content[512 + 3] = 0x77;
  command(0x20, 1, 1);
  EXPECT_EQ(ports_.read(kFirst, AccessWidth::Dword), 0x77000002U);
}

TEST_F(Ide, ReadMultipleNeedsItsModeAndMovesWholeBlocks) {
  command(0xc4, 0, 4);
  EXPECT_EQ(in(kFirst + 7) & kError, kError);
  command(0xc6, 0, 4);
  command(0xc4, 0, 6);
  (void)in(kFirst + 7);
  const int edges = line14_.rising_edges;
  const std::vector<uint8_t> data = read_block(kFirst, 4 * 512);
  EXPECT_EQ(data[3 * 512], 4);
  EXPECT_EQ(line14_.rising_edges, edges + 1);
  EXPECT_EQ(read_block(kFirst, 2 * 512)[512], 6);
  EXPECT_EQ(in(kFirst + 7), kReady);
}

TEST_F(Ide, WriteSectorsReachesTheMediumAndInterruptsAfterEach) {
  command(0x30, 299, 1);
  EXPECT_FALSE(line14_.level);
  EXPECT_EQ(in(kFirst + 7), kReady | kDataRequest);
  for (int i = 0; i < 256; ++i) out16(kFirst, 0x1234);
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(disk_.content[299 * 512 + 510], 0x34);
  EXPECT_EQ(in(kFirst + 7), kReady);
}

TEST_F(Ide, BeyondTheEndIsNotFound) {
  command(0x20, 299, 2);
  EXPECT_EQ(in(kFirst + 7) & (kError | kDataRequest), kError);
  EXPECT_EQ(in(kFirst + 1), 0x10);
}

TEST_F(Ide, CylinderHeadSectorAndFortyEightBitAddresses) {
  out(kFirst + 6, 0xa1);  // head 1
  out(kFirst + 2, 1);
  out(kFirst + 3, 2);
  out(kFirst + 4, 0);
  out(kFirst + 5, 0);
  out(kFirst + 7, 0x20);
  EXPECT_EQ(read_block(kFirst, 512)[0], 63 + 1 + 1);
  for (const unsigned byte : {0U, 7U}) out(kFirst + 3, byte);
  for (const unsigned byte : {0U, 0U}) out(kFirst + 4, byte);
  for (const unsigned byte : {0U, 0U}) out(kFirst + 5, byte);
  for (const unsigned byte : {0U, 1U}) out(kFirst + 2, byte);
  out(kFirst + 6, 0xe0);
  out(kFirst + 7, 0x24);
  EXPECT_EQ(read_block(kFirst, 512)[0], 8);
}

TEST_F(Ide, HostFailuresAreErrorsOfTheDrive) {
  disk_.broken = true;
  command(0x20, 1, 1);
  EXPECT_EQ(in(kFirst + 7) & kError, kError);
  EXPECT_EQ(in(kFirst + 1), 0x40);
  command(0x30, 1, 1);
  for (int i = 0; i < 256; ++i) out16(kFirst, 0);
  EXPECT_EQ(in(kFirst + 7) & (kError | 0x20), kError | 0x20);
  command(0xe7, 0, 0);
  EXPECT_EQ(in(kFirst + 7) & (kError | 0x20), kError | 0x20);
}

TEST_F(Ide, FlushReachesTheMediumAndAWriteWithoutCacheImpliesIt) {
  command(0xe7, 0, 0);
  EXPECT_EQ(disk_.flushes, 1);
  out(kFirst + 1, 0x82);
  command(0xef, 0, 0);
  EXPECT_EQ(disk_.flushes, 2);
  command(0x30, 0, 1);
  for (int i = 0; i < 256; ++i) out16(kFirst, 0);
  EXPECT_EQ(disk_.flushes, 3);
}

TEST_F(Ide, ReadOnlyMediumRefusesToBeWritten) {
  disk_.locked = true;
  command(0x30, 0, 1);
  EXPECT_EQ(in(kFirst + 7) & (kError | kDataRequest), kError);
}

TEST_F(Ide, BusMasterScattersWhatIsRead) {
  descriptor(0x100, 0x1000, 512, false);
  descriptor(0x108, 0x3000, 1024, true);
  command(0xc8, 10, 3);
  EXPECT_FALSE(line14_.level);
  start_bus_master(0, 0x100, 0x08);
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(in(kBusMaster + 2) & 0x07, 0x04);
  EXPECT_EQ(memory_.bytes[0x1000], 11);
  EXPECT_EQ(memory_.bytes[0x3000], 12);
  EXPECT_EQ(memory_.bytes[0x3200], 13);
  EXPECT_EQ(in(kFirst + 7), kReady);
  out(kBusMaster + 2, 0x04);
  EXPECT_EQ(in(kBusMaster + 2) & 0x04, 0);
}

TEST_F(Ide, BusMasterStartedFirstWaitsForTheCommand) {
  descriptor(0x100, 0x1000, 512, true);
  memory_.bytes[0x1000] = 0x5a;
  start_bus_master(0, 0x100, 0x00);
  EXPECT_EQ(in(kBusMaster + 2) & 0x07, 0x01);
  command(0xca, 20, 1);
  EXPECT_EQ(disk_.content[20 * 512], 0x5a);
  EXPECT_EQ(in(kBusMaster + 2) & 0x07, 0x04);
}

// One descriptor of 64 KiB, 130 times: the whole is 8.3 MB, all into the same place.
TEST_F(Ide, ALongTransferLetsTheProcessorGoOnInBetween) {
  MemoryDisk large(5000, 2048);
  RecordingLine line;
  IdeController ide(buses_, clock_, memory_, line, line);
  ide.add_cdrom(0, &large);
  ide.write_config(0x20, AccessWidth::Dword, 0xd000);
  ide.write_config(0x04, AccessWidth::Word, 0x5);
  for (size_t i = 0; i < 130; ++i) descriptor(0x100 + 8 * i, 0x20000, 0, i == 129);
  PortDevice& ports = ide.channel(0).command_ports();
  out8(ports, 1, 1);
  out8(ports, 7, 0xa0);
  const uint8_t packet[12] = {0xa8, 0, 0, 0, 0, 0, 0, 0, 4096 >> 8, 0};
  for (unsigned i = 0; i < 12; i += 2) {
    ports.write(0, AccessWidth::Word, uint32_t{packet[i]} | uint32_t{packet[i + 1]} << 8);
  }
  ports_.write(0xd004, AccessWidth::Dword, 0x100);
  out(0xd000, 0x09);
  EXPECT_EQ(in(0xd002) & 0x05, 0x01);  // active, no interrupt yet
  EXPECT_EQ(clock_.armed_timers(), 1U);
  int steps = 0;
  for (; clock_.armed_timers() != 0 && steps < 100; ++steps) clock_.run_due();
  EXPECT_EQ(steps, 7);
  EXPECT_EQ(in(0xd002) & 0x04, 0x04);
  EXPECT_TRUE(line.level);
  // Stopped halfway, nothing of it is left.
  out8(ports, 7, 0xa0);
  for (unsigned i = 0; i < 12; i += 2) {
    ports.write(0, AccessWidth::Word, uint32_t{packet[i]} | uint32_t{packet[i + 1]} << 8);
  }
  out(0xd000, 0x08);
  out(0xd000, 0x09);
  EXPECT_EQ(clock_.armed_timers(), 1U);
  out(0xd000, 0x08);
  EXPECT_EQ(clock_.armed_timers(), 0U);
  EXPECT_EQ(in(0xd002) & 0x01, 0);
}

// At 100,000 bytes a second, of which a tenth is there at once: the first block of 64 KiB moves,
// and the other one when the first has been made up for.
TEST_F(Ide, ARateHoldsATransferBackAndNotTheProcessor) {
  Nanoseconds host_time = 0;
  const auto rate = std::make_shared<DiskRate>(100'000, [&] { return host_time; });
  LimitedDisk limited(std::make_shared<MemoryDisk>(300), rate);
  RecordingLine line;
  IdeController ide(buses_, clock_, memory_, line, line);
  ide.add_disk(0, limited);
  ide.write_config(0x20, AccessWidth::Dword, 0xd000);
  ide.write_config(0x04, AccessWidth::Word, 0x5);
  descriptor(0x100, 0x20000, 0, false);
  descriptor(0x108, 0x20000, 0, true);
  PortDevice& ports = ide.channel(0).command_ports();
  out8(ports, 6, 0xe0);
  out8(ports, 2, 0);  // 256 sectors
  out8(ports, 7, 0xc8);
  ports_.write(0xd004, AccessWidth::Dword, 0x100);
  out(0xd000, 0x09);
  EXPECT_EQ(in(0xd002) & 0x05, 0x01);  // active, no interrupt yet
  ASSERT_EQ(clock_.armed_timers(), 1U);
  clock_.run_due();
  EXPECT_EQ(clock_.armed_timers(), 1U);  // not due
  for (int i = 0; i < 3 && clock_.armed_timers() != 0; ++i) {
    host_time += 1'000'000'000;
    clock_.advance(1'000'000'000);
  }
  EXPECT_EQ(clock_.armed_timers(), 0U);
  EXPECT_EQ(in(0xd002) & 0x04, 0x04);
  EXPECT_TRUE(line.level);
}

TEST_F(Ide, TableShorterThanTheTransferLeavesTheDriveWaiting) {
  descriptor(0x100, 0x1000, 512, true);
  command(0xc8, 0, 2);
  start_bus_master(0, 0x100, 0x08);
  EXPECT_FALSE(line14_.level);
  EXPECT_EQ(in(kBusMaster + 2) & 0x05, 0x00);
  EXPECT_EQ(in(kFirst + 7) & kDataRequest, kDataRequest);
}

TEST_F(Ide, TableLongerThanTheTransferLeavesTheMasterActive) {
  std::fill(memory_.bytes.begin(), memory_.bytes.end(), uint8_t{0});  // 64 KiB to 0, for ever
  packet({0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 40}, 0, 1);
  start_bus_master(1, 0x20000, 0x08);
  EXPECT_EQ(in(kBusMaster + 8 + 2) & 0x07, 0x05);
  EXPECT_EQ(memory_.bytes[0], 33);  // the second 64 KiB begin with sector 32
}

TEST_F(Ide, SoftResetLeavesTheSignature) {
  out(kSecond + 0x206, 0x04);
  out(kSecond + 0x206, 0x00);
  EXPECT_EQ(in(kSecond + 4), 0x14);
  EXPECT_EQ(in(kSecond + 5), 0xeb);
  command(0x20, 0, 1);
  out(kFirst + 0x206, 0x04);
  EXPECT_EQ(in(kFirst + 7), kReady);
  EXPECT_EQ(in(kFirst + 4), 0);
  EXPECT_FALSE(line14_.level);
}

TEST_F(Ide, NoInterruptsWhenTheyAreTurnedOff) {
  out(kFirst + 0x206, 0x02);
  command(0xe7, 0, 0);
  EXPECT_FALSE(line14_.level);
  out(kFirst + 0x206, 0x00);
  EXPECT_TRUE(line14_.level);
}

TEST_F(Ide, CdromReadsInChunksOfTheGuestsLimit) {
  packet({0x28, 0, 0, 0, 0, 3, 0, 0, 1}, 1024);
  EXPECT_EQ(in(kSecond + 2), 2);
  EXPECT_EQ(in(kSecond + 4) | in(kSecond + 5) << 8, 1024);
  EXPECT_EQ(read_block(kSecond, 1024)[0], 4);
  EXPECT_EQ(in(kSecond + 2), 2);
  (void)read_block(kSecond, 1024);
  EXPECT_EQ(in(kSecond + 2), 3);
  EXPECT_TRUE(line15_.level);
  EXPECT_EQ(in(kSecond + 7), 0x40);
}

TEST_F(Ide, CdromReadsByDma) {
  descriptor(0x100, 0x2000, 4096, true);
  packet({0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 2}, 0, 1);
  start_bus_master(1, 0x100, 0x08);
  EXPECT_EQ(memory_.bytes[0x2000], 2);
  EXPECT_EQ(memory_.bytes[0x2800], 3);
  EXPECT_EQ(in(kBusMaster + 8 + 2) & 0x07, 0x04);
}

TEST_F(Ide, CdromRefusesWhatIsNotThereAndSaysWhy) {
  packet({0x28, 0, 0, 0, 0, 40, 0, 0, 1});
  EXPECT_EQ(in(kSecond + 7) & kError, kError);
  packet({0x03, 0, 0, 0, 18});
  const std::vector<uint8_t> sense = read_block(kSecond, 18);
  EXPECT_EQ(sense[2], 5);
  EXPECT_EQ(sense[12], 0x21);
  packet({0xff});
  EXPECT_EQ(in(kSecond + 1) >> 4, 5);
}

TEST_F(Ide, EmptyDriveSaysThatThereIsNoMedium) {
  packet({0x1b, 0, 0, 0, 2});  // eject
  packet({0x00});
  EXPECT_EQ(in(kSecond + 1) >> 4, 2);
  packet({0x1b, 0, 0, 0, 3});  // and back in
  packet({0x25});
  EXPECT_EQ(in(kSecond + 1) >> 4, 6) << "once: it may be another medium";
  packet({0x25});
  const std::vector<uint8_t> capacity = read_block(kSecond, 8);
  EXPECT_EQ(capacity[3], 39);
  EXPECT_EQ(capacity[6], 8);
}

TEST_F(Ide, ALockedTrayOpensForTheGuestOrByForceOnly) {
  AtapiCdrom& drive = *ide_.cdrom(2);
  std::vector<bool> moves;
  drive.set_on_tray([&](bool is_open) { moves.push_back(is_open); });
  packet({0x1e, 0, 0, 0, 1});  // PREVENT
  EXPECT_TRUE(drive.is_locked());
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(in(kSecond + 7) & kError, kError);
  EXPECT_FALSE(drive.is_open());
  drive.press_eject_button();
  packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  std::vector<uint8_t> event = read_block(kSecond, 8);
  EXPECT_EQ(event[4], 1);  // somebody wants the medium
  EXPECT_EQ(event[5], 2);  // it is there
  packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  EXPECT_EQ(read_block(kSecond, 8)[4], 0);  // told once
  packet({0x1e, 0, 0, 0, 0});
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_TRUE(drive.is_open());
  drive.close_tray();
  drive.open_tray();
  EXPECT_EQ(moves, (std::vector<bool>{true, false, true}));
}

TEST_F(Ide, AnotherDiscIsToldOfOnceAndRead) {
  AtapiCdrom& drive = *ide_.cdrom(2);
  drive.open_tray();
  packet({0x00});
  EXPECT_EQ(in(kSecond + 1) >> 4, 2);  // nothing is in
  drive.insert(nullptr);
  packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  std::vector<uint8_t> event = read_block(kSecond, 8);
  EXPECT_EQ(event[4], 3);  // it is gone
  EXPECT_EQ(event[5], 1);  // the tray is open
  MemoryDisk other(3, 2048);
  drive.insert(&other);
  drive.close_tray();
  packet({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  EXPECT_EQ(read_block(kSecond, 8)[4], 2);  // another one
  packet({0x25});
  EXPECT_EQ(in(kSecond + 1) >> 4, 6);  // unit attention, once
  packet({0x25});
  EXPECT_EQ(read_block(kSecond, 8)[3], 2);  // the last sector
  packet({0x28, 0, 0, 0, 0, 2, 0, 0, 1}, 2048);
  EXPECT_EQ(read_block(kSecond, 2048)[0], 3);
}

TEST_F(Ide, ADiscTakenOutUnderATransferEndsItWithAnError) {
  packet({0x28, 0, 0, 0, 0, 0, 0, 0, 40}, 2048);
  (void)read_block(kSecond, 2048);
  ide_.cdrom(2)->open_tray();
  ide_.cdrom(2)->insert(nullptr);
  for (int i = 0; i < 64 && (in(kSecond + 7) & kError) == 0; ++i) (void)read_block(kSecond, 2048);
  EXPECT_EQ(in(kSecond + 1) >> 4, 3);  // medium error
}

TEST_F(Ide, AnswersAreCutToWhatTheGuestAllows) {
  packet({0x12, 0, 0, 0, 5});
  EXPECT_EQ(in(kSecond + 4), 6);  // words: one byte more
  packet({0x43, 2, 0, 0, 0, 0, 0, 0, 12});
  const std::vector<uint8_t> toc = read_block(kSecond, 12);
  EXPECT_EQ(toc[3], 1);
  EXPECT_EQ(toc[10], 2);  // the first track is at two seconds
}

TEST_F(Ide, SurvivesRandomTraffic) {
  std::minstd_rand random(3);
  const auto pick = [&] { return static_cast<uint32_t>(random()); };
  for (int i = 0; i < 60'000; ++i) {
    const uint16_t base = pick() % 2 == 0 ? kFirst : kSecond;
    const auto width = static_cast<AccessWidth>(1U << pick() % 3);
    const auto port = static_cast<uint16_t>(base + (pick() % 3 == 0 ? 0 : pick() % 8));
    static constexpr uint8_t kCodes[] = {0xa0, 0xc8, 0xca, 0x20, 0x30,
                                         0xc6, 0xc4, 0xc5, 0x25, 0xec};
    if (pick() % 8 == 0) out(base + 7, pick() % 2 == 0 ? pick() : kCodes[pick() % 10]);
    ports_.write(port, width, pick() % 2 == 0 ? pick() % 4 : pick());
    (void)ports_.read(port, width);
    ports_.write(static_cast<uint16_t>(kBusMaster + pick() % 16), width, pick() % 0x40000);
    if (pick() % 16 == 0)
      memory_.bytes[pick() % memory_.bytes.size()] = static_cast<uint8_t>(pick());
    if (pick() % 64 == 0) out(base + 0x206, pick());
  }
  out(kFirst + 0x206, 0x04);
  out(kFirst + 0x206, 0x00);
  command(0xec, 0, 0);
  EXPECT_EQ(read_block(kFirst, 512)[120], 300 & 0xff);
}

// The same drives with media that the host takes its time for.
class SlowIde : public Ide {
 protected:
  static constexpr uint8_t kBusy = 0x80;
  SlowIde() : Ide(Pace::Slow) {}
};

TEST_F(SlowIde, ADriveThatWaitsIsBusyAndInterruptsWhenItHasItsSector) {
  command(0x20, 5, 1);
  EXPECT_FALSE(line14_.level);
  EXPECT_EQ(in(kFirst + 7) & (kBusy | kDataRequest), kBusy);
  EXPECT_EQ(in16(kFirst), 0);
  slow_disk_.be_ready();
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(in(kFirst + 7), kReady | kDataRequest);
  EXPECT_EQ(read_block(kFirst, 512)[0], 6);
  EXPECT_EQ(in(kFirst + 7), kReady);
  EXPECT_FALSE(slow_disk_.waiting());
}

// ATA/ATAPI-6, 7.15.6.1: the registers are the drive's.
TEST_F(SlowIde, NothingIsWrittenToADriveThatIsBusy) {
  command(0x20, 5, 1);
  command(0x30, 9, 2);
  ASSERT_TRUE(slow_disk_.waiting());
  EXPECT_EQ(slow_disk_.waiting()->kind, DiskRequest::Kind::Read);
  EXPECT_EQ(in(kFirst + 2), 1);
  EXPECT_EQ(in(kFirst + 3), 5);
  slow_disk_.be_ready();
  EXPECT_EQ(read_block(kFirst, 512)[0], 6);
}

TEST_F(SlowIde, ASoftResetEndsTheWait) {
  command(0x20, 5, 1);
  out(kFirst + 0x206, 0x04);
  out(kFirst + 0x206, 0);
  EXPECT_FALSE(slow_disk_.waiting());
  EXPECT_EQ(in(kFirst + 7), kReady);
  slow_disk_.be_ready();  // of what nobody waits for
  EXPECT_EQ(in(kFirst + 7), kReady);
  command(0x20, 7, 1);
  slow_disk_.be_ready();
  EXPECT_EQ(read_block(kFirst, 512)[0], 8);
}

TEST_F(SlowIde, AWriteIsBusyUntilItIsDoneAndAFlushToo) {
  command(0x30, 4, 2);
  for (int sector = 0; sector < 2; ++sector) {
    EXPECT_EQ(in(kFirst + 7), kReady | kDataRequest);
    for (int i = 0; i < 256; ++i) out16(kFirst, 0x4040);
    EXPECT_EQ(in(kFirst + 7) & (kBusy | kDataRequest), kBusy);
    EXPECT_FALSE(line14_.level);
    slow_disk_.be_ready();
    EXPECT_TRUE(line14_.level);
  }
  EXPECT_EQ(in(kFirst + 7), kReady);
  EXPECT_EQ(disk_.content[4 * 512], 0x40);
  EXPECT_EQ(disk_.content[6 * 512 - 1], 0x40);
  command(0xe7, 0, 0);
  EXPECT_EQ(in(kFirst + 7) & kBusy, kBusy);
  EXPECT_EQ(disk_.flushes, 0);
  slow_disk_.be_ready();
  EXPECT_EQ(in(kFirst + 7), kReady);
  EXPECT_EQ(disk_.flushes, 1);
}

TEST_F(SlowIde, AFailureOfTheHostIsToldLater) {
  disk_.broken = true;
  command(0x20, 5, 1);
  EXPECT_EQ(in(kFirst + 7) & kBusy, kBusy);
  slow_disk_.be_ready();
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(in(kFirst + 7) & (kBusy | kError), kError);
}

TEST_F(SlowIde, TheBusMasterWaitsWithTheDrive) {
  descriptor(0x1000, 0x8000, 2048, true);
  command(0xc8, 3, 4);
  start_bus_master(0, 0x1000, 8);
  EXPECT_EQ(in(kBusMaster + 2) & 1, 1);
  EXPECT_FALSE(line14_.level);
  slow_disk_.be_ready();
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(memory_.bytes[0x8000], 4);
  EXPECT_EQ(memory_.bytes[0x8600], 7);
  EXPECT_EQ(in(kBusMaster + 2) & 5, 4);
}

// With several blocks: the table is not begun anew behind each wait.
TEST_F(SlowIde, TheBusMasterGoesOnWhereItWas) {
  constexpr unsigned kCount = 200;
  descriptor(0x1000, 0x8000, 512, false);
  descriptor(0x1008, 0x9000, (kCount - 1) * 512 - 0x10000, false);
  descriptor(0x1010, 0x20000, 0, true);  // 64 KiB
  command(0xc8, 0, kCount);
  start_bus_master(0, 0x1000, 8);
  for (int block = 0; block < 2; ++block) {
    ASSERT_TRUE(slow_disk_.waiting());
    slow_disk_.be_ready();
  }
  EXPECT_TRUE(line14_.level);
  EXPECT_EQ(memory_.bytes[0x8000], 1);
  EXPECT_EQ(memory_.bytes[0x9000], 2);
  EXPECT_EQ(memory_.bytes[0x20000 + 127 * 512], kCount);
  EXPECT_EQ(in(kBusMaster + 2) & 5, 4);
  // And out of RAM again, to somewhere else.
  out(kBusMaster, 0);
  command(0xca, 50, kCount);
  start_bus_master(0, 0x1000, 0);
  for (int block = 0; block < 2; ++block) slow_disk_.be_ready();
  for (unsigned i : {0U, 1U, 100U, 150U, 199U}) {
    EXPECT_EQ(disk_.content[(50 + i) * size_t{512}], static_cast<uint8_t>(i + 1)) << i;
  }
}

TEST_F(SlowIde, ACdromWaitsAndADeviceResetEndsThat) {
  packet({0x28, 0, 0, 0, 0, 7, 0, 0, 2}, 4096);
  EXPECT_EQ(in(kSecond + 7) & (kBusy | kDataRequest), kBusy);
  ASSERT_TRUE(slow_cd_.waiting());
  slow_cd_.be_ready();
  EXPECT_TRUE(line15_.level);
  EXPECT_EQ(read_block(kSecond, 4096)[2048], 9);
  packet({0x28, 0, 0, 0, 0, 7, 0, 0, 2}, 4096);
  out(kSecond + 7, 0x08);
  EXPECT_FALSE(slow_cd_.waiting());
  EXPECT_EQ(in(kSecond + 7) & kBusy, 0);
}

// A drive that is told too early, or not at all, looks again by a timer.
TEST_F(SlowIde, TheDriveIsLookedAtAgain) {
  command(0x20, 5, 1);
  ASSERT_TRUE(clock_.next_deadline());
  clock_.advance(10'000'000);
  EXPECT_EQ(in(kFirst + 7) & kBusy, kBusy);
  EXPECT_TRUE(clock_.next_deadline());
}

}  // namespace
}  // namespace ringshift
