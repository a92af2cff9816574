#include "devices/storage/floppy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tests/support/slow_disk.h"
#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr unsigned kSectors = 2880;

class MemoryFloppy final : public DiskBackend {
 public:
  MemoryFloppy() : content(kSectors * size_t{512}) {
    for (size_t i = 0; i < kSectors; ++i) content[i * 512] = static_cast<uint8_t>(i);
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
    std::memcpy(content.data() + offset, from.data(), from.size());
    return !broken;
  }
  [[nodiscard]] bool flush() override { return true; }
  std::vector<uint8_t> content;
  bool locked = false, broken = false;
};

class Floppy : public ::testing::Test {
 protected:
  enum class Pace : uint8_t { Quick, Slow };
  Floppy() : Floppy(Pace::Quick) {}
  explicit Floppy(Pace pace) : is_slow_(pace == Pace::Slow) {}
  void out(unsigned port, unsigned value) { out8(fdc_.ports(), port, value); }
  uint8_t in(unsigned port) { return in8(fdc_.ports(), port); }
  void start() {
    out(2, 0x1c);
    for (unsigned i = 0; i < 4; ++i) {
      EXPECT_EQ(command({0x08}).at(0), 0xc0 | i);
    }
  }
  std::vector<uint8_t> command(std::initializer_list<unsigned> bytes) {
    for (const unsigned byte : bytes) out(5, byte);
    std::vector<uint8_t> result;
    while ((in(4) & 0xc0) == 0xc0) result.push_back(in(5));
    return result;
  }
  void seek(unsigned cylinder) {
    (void)command({0x0f, 0, cylinder});
    EXPECT_EQ(command({0x08}), (std::vector<uint8_t>{0x20, static_cast<uint8_t>(cylinder)}));
  }
  // Channel 2: single mode, to 0x21000.
  void set_dma(unsigned bytes, unsigned mode) {
    PortDevice& dma = dma_.first_ports();
    out8(dma, 0x0a, 0x06);
    out8(dma, 0x0c, 0);
    for (const unsigned byte : {0x00U, 0x10U}) out8(dma, 4, byte);
    for (const unsigned byte : {(bytes - 1) & 0xff, (bytes - 1) >> 8}) out8(dma, 5, byte);
    out8(dma, 0x0b, mode);
    out8(dma_.page_ports(), 0, 0x02);
    out8(dma, 0x0a, 0x02);
  }

  RecordingLine line_;
  DmaControllers dma_;
  VectorMemory memory_{0x40000};
  MemoryFloppy medium_;
  ManualClock clock_;
  SlowDisk slow_{medium_};
  bool is_slow_;
  FloppyController fdc_{clock_, line_, dma_, memory_,
                        is_slow_ ? static_cast<DiskBackend*>(&slow_) : &medium_};
};

TEST_F(Floppy, ResetInterruptsAndReportsFourDrives) {
  EXPECT_EQ(in(4), 0);
  start();
  EXPECT_EQ(line_.rising_edges, 1);
  EXPECT_EQ(command({0x08}), std::vector<uint8_t>{0x80});
  EXPECT_EQ(command({0x10}), std::vector<uint8_t>{0x90});
}

TEST_F(Floppy, ReadsThroughDmaAcrossHeads) {
  start();
  seek(1);
  set_dma(1024, 0x46);
  const std::vector<uint8_t> result = command({0xe6, 0, 1, 0, 18, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(result, (std::vector<uint8_t>{0, 0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(memory_.bytes[0x21000], 36 + 17);
  EXPECT_EQ(memory_.bytes[0x21200], 36 + 18);
  EXPECT_EQ(in8(dma_.first_ports(), 8) & 0x0f, 0x04);
}

TEST_F(Floppy, WritesThroughDma) {
  start();
  seek(0);
  memory_.bytes[0x21000] = 0x77;
  set_dma(512, 0x4a);
  EXPECT_EQ(command({0xc5, 0, 0, 0, 3, 2, 18, 0x1b, 0xff}).at(0), 0);
  EXPECT_EQ(medium_.content[2 * 512], 0x77);
}

TEST_F(Floppy, TrackThatEndsBeforeTheCountIsAnError) {
  start();
  seek(0);
  set_dma(4096, 0x46);
  const std::vector<uint8_t> result = command({0x46, 0, 0, 0, 18, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(result.at(0) & 0xc0, 0x40);
  EXPECT_EQ(result.at(1), 0x80);
}

TEST_F(Floppy, WrongCylinderSectorAndMediumAreErrors) {
  start();
  set_dma(512, 0x46);
  EXPECT_EQ(command({0x46, 0, 5, 0, 1, 2, 18, 0x1b, 0xff}).at(1), 0x04);
  EXPECT_EQ(command({0x46, 0, 0, 0, 19, 2, 18, 0x1b, 0xff}).at(1), 0x04);
  EXPECT_EQ(command({0x46, 1, 0, 0, 1, 2, 18, 0x1b, 0xff}).at(0) & 0x48, 0x48);
  medium_.locked = true;
  EXPECT_EQ(command({0x45, 0, 0, 0, 1, 2, 18, 0x1b, 0xff}).at(1), 0x02);
  medium_.broken = true;
  EXPECT_EQ(command({0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff}).at(1), 0x20);
}

TEST_F(Floppy, DiskChangeIsClearedByAStep) {
  start();
  EXPECT_EQ(in8(fdc_.input_port(), 0) & 0x80, 0x80);
  seek(1);
  EXPECT_EQ(in8(fdc_.input_port(), 0) & 0x80, 0x00);
}

TEST_F(Floppy, FormatIsFoundAtItsOwnRateOnly) {
  start();
  out8(fdc_.input_port(), 0, 2);
  EXPECT_EQ(command({0x4a, 0}).at(0) & 0xc0, 0x40);
  out8(fdc_.input_port(), 0, 0);
  EXPECT_EQ(command({0x4a, 0}).at(0) & 0xc0, 0x00);
}

TEST_F(Floppy, SurvivesRandomTraffic) {
  std::minstd_rand random(5);
  const auto pick = [&] { return static_cast<unsigned>(random()); };
  start();
  for (int i = 0; i < 50'000; ++i) {
    const unsigned port = pick() % 8 == 0 ? pick() % 6 : 5;
    out(port, pick() % 3 == 0 ? pick() & 0xff : pick() % 24);
    (void)in(pick() % 6);
    if (pick() % 8 == 0) out8(dma_.first_ports(), pick() % 16, pick() & 0xff);
  }
  out(2, 0x00);
  start();
}

// A medium that the host takes its time for.
class SlowFloppy : public Floppy {
 protected:
  SlowFloppy() : Floppy(Pace::Slow) {}
  void give(std::initializer_list<unsigned> bytes) {
    for (const unsigned byte : bytes) out(5, byte);
  }
  static constexpr uint8_t kBusyOnly = 0x10;
};

TEST_F(SlowFloppy, ACommandThatWaitsTakesNothingAndHasNoAnswer) {
  start();
  seek(0);
  set_dma(1024, 0x46);
  const int edges = line_.rising_edges;
  give({0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  for (int sector = 0; sector < 2; ++sector) {
    EXPECT_EQ(in(4), kBusyOnly);
    out(5, 0x08);
    EXPECT_EQ(in(5), 0);
    EXPECT_EQ(line_.rising_edges, edges);
    slow_.be_ready();
  }
  EXPECT_EQ(line_.rising_edges, edges + 1);
  EXPECT_EQ(command({}), (std::vector<uint8_t>{0, 0, 0, 0, 0, 3, 2}));
  EXPECT_EQ(memory_.bytes[0x21200], 1);
}

TEST_F(SlowFloppy, AWriteTakesItsSectorFromDmaOnce) {
  start();
  seek(0);
  memory_.bytes[0x21000] = 0x77;
  set_dma(512, 0x4a);
  give({0xc5, 0, 0, 0, 3, 2, 18, 0x1b, 0xff});
  memory_.bytes[0x21000] = 0x99;
  clock_.advance(10'000'000);
  EXPECT_EQ(in(4), kBusyOnly);
  slow_.be_ready();
  EXPECT_EQ(command({}).at(0), 0);
  EXPECT_EQ(medium_.content[2 * 512], 0x77);
}

TEST_F(SlowFloppy, AResetEndsTheWait) {
  start();
  seek(0);
  set_dma(512, 0x46);
  give({0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  out(2, 0x18);
  EXPECT_FALSE(slow_.waiting());
  start();
  EXPECT_EQ(in(4), 0x80);
}

TEST_F(SlowFloppy, FormatFillsTheTrackSectorBySector) {
  start();
  seek(0);
  set_dma(72, 0x4a);
  give({0x4d, 0, 2, 18, 0x1b, 0xf6});
  for (int sector = 0; sector < 18; ++sector) {
    EXPECT_EQ(in(4), kBusyOnly);
    slow_.be_ready();
  }
  EXPECT_EQ(command({}).at(0), 0);
  EXPECT_EQ(medium_.content[17 * 512], 0xf6);
  EXPECT_EQ(medium_.content[18 * 512], 18);
}

}  // namespace
}  // namespace ringshift
