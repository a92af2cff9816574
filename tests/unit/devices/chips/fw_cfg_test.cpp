#include "devices/chips/fw_cfg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "tests/unit/devices/bus/device_test_support.h"
#include "tests/unit/devices/pci/pci_test_support.h"

namespace ringshift {
namespace {

constexpr uint32_t kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16;

class FwCfgTest : public ::testing::Test {
 protected:
  FwCfgTest() { fw_cfg_.add_file("etc/test", {'a', 'b', 'c', 'd'}); }
  void select(uint16_t item) { fw_cfg_.ports().write(0, AccessWidth::Word, item); }
  uint8_t next() { return static_cast<uint8_t>(fw_cfg_.ports().read(1, AccessWidth::Byte)); }
  void put(size_t at, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      memory_.bytes[at + i] = static_cast<uint8_t>(value >> (8 * (bytes - 1 - i)));
    }
  }
  // The request at 0x100; returns its control word afterwards.
  uint32_t dma(uint32_t control, uint32_t length, uint64_t address) {
    put(0x100, control, 4);
    put(0x104, length, 4);
    put(0x108, address, 8);
    fw_cfg_.dma_ports().write(0, AccessWidth::Dword, 0);
    fw_cfg_.dma_ports().write(4, AccessWidth::Dword, 0x00010000);  // 0x100, big-endian
    uint32_t result = 0;
    for (size_t i = 0; i < 4; ++i) result = result << 8 | memory_.bytes[0x100 + i];
    return result;
  }
  std::string text(size_t at, size_t length) {
    return {memory_.bytes.begin() + static_cast<ptrdiff_t>(at),
            memory_.bytes.begin() + static_cast<ptrdiff_t>(at + length)};
  }

  ManualClock clock_;
  VectorMemory memory_{0x1000};
  FwCfg fw_cfg_{clock_, memory_};
};

TEST_F(FwCfgTest, SignatureAndInterface) {
  select(0);
  const uint8_t bytes[] = {next(), next(), next(), next(), next()};
  EXPECT_EQ(std::string(bytes, bytes + 4), "QEMU");
  EXPECT_EQ(bytes[4], 0);
  select(1);
  EXPECT_EQ(next(), 3);  // by port, and by DMA
}

TEST_F(FwCfgTest, DirectoryNamesFilesInBigEndian) {
  fw_cfg_.add_file("second", {1});
  select(0x19);
  std::string bytes;
  for (int i = 0; i < 4 + 2 * 64; ++i) bytes += static_cast<char>(next());
  EXPECT_EQ(bytes.substr(0, 4), std::string("\0\0\0\2", 4));
  EXPECT_EQ(bytes.substr(4, 8), std::string("\0\0\0\4\0\x20\0\0", 8));
  EXPECT_STREQ(bytes.c_str() + 12, "etc/test");
  EXPECT_STREQ(bytes.c_str() + 12 + 64, "second");
}

TEST_F(FwCfgTest, WideReadsOfTheDataPortGiveOneByte) {
  select(0x20);
  EXPECT_EQ(fw_cfg_.ports().read(1, AccessWidth::Byte), 'a');
  EXPECT_EQ(fw_cfg_.ports().read(1, AccessWidth::Byte), 'b');
}

TEST_F(FwCfgTest, DmaRegisterReadsAsSignature) {
  EXPECT_EQ(in8(fw_cfg_.dma_ports(), 0), 'Q');
  EXPECT_EQ(in8(fw_cfg_.dma_ports(), 7), 'G');
}

TEST_F(FwCfgTest, DmaSelectsSkipsAndReads) {
  EXPECT_EQ(dma(0x20U << 16 | kSelect | kSkip, 1, 0), 0U);
  EXPECT_EQ(dma(kRead, 2, 0x200), 0U);
  EXPECT_EQ(text(0x200, 2), "bc");
}

TEST_F(FwCfgTest, DmaPastTheEndOrOfNothingReadsZeros) {
  memory_.bytes[0x204] = memory_.bytes[0x2ff] = 0xff;
  EXPECT_EQ(dma(0x20U << 16 | kSelect | kRead, 0x100, 0x200), 0U);
  EXPECT_EQ(text(0x200, 4), "abcd");
  EXPECT_EQ(memory_.bytes[0x204], 0);
  EXPECT_EQ(memory_.bytes[0x2ff], 0);
  memory_.bytes[0x200] = 1;
  EXPECT_EQ(dma(0x1234U << 16 | kSelect | kRead, 1, 0x200), 0U);
  EXPECT_EQ(memory_.bytes[0x200], 0);
}

TEST_F(FwCfgTest, DmaWriteIsRefused) {
  EXPECT_EQ(dma(0x20U << 16 | kSelect | kWrite, 4, 0x200), kError);
  select(0x20);
  EXPECT_EQ(next(), 'a');
}

// The request's control word as it stands in guest RAM.
uint32_t control_word(const std::vector<uint8_t>& bytes) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) word = word << 8 | bytes[0x100 + i];
  return word;
}

TEST_F(FwCfgTest, ALongTransferGoesInStepsWhileTheGuestRunsOn) {
  memory_.bytes.resize(0x1000 + 3 * FwCfg::kDmaStep, 0xff);
  constexpr uint32_t kAll = 0x20U << 16 | kSelect | kRead;
  EXPECT_EQ(dma(kAll, 2 * FwCfg::kDmaStep + 4, 0x200), kAll);  // not yet
  EXPECT_EQ(text(0x200, 4), "abcd");
  EXPECT_EQ(memory_.bytes[0x200 + FwCfg::kDmaStep - 1], 0);
  EXPECT_EQ(memory_.bytes[0x200 + FwCfg::kDmaStep], 0xff);
  clock_.run_due();
  EXPECT_EQ(memory_.bytes[0x200 + 2 * FwCfg::kDmaStep], 0xff);
  EXPECT_EQ(control_word(memory_.bytes), kAll);
  clock_.run_due();
  EXPECT_EQ(control_word(memory_.bytes), 0U);
  EXPECT_EQ(memory_.bytes[0x200 + 2 * FwCfg::kDmaStep + 3], 0);
  EXPECT_EQ(memory_.bytes[0x200 + 2 * FwCfg::kDmaStep + 4], 0xff);
  EXPECT_FALSE(clock_.next_deadline().has_value());
}

TEST_F(FwCfgTest, ARequestTakesThePlaceOfOneThatHasNotEnded) {
  memory_.bytes.resize(0x1000 + 3 * FwCfg::kDmaStep, 0xff);
  (void)dma(0x20U << 16 | kSelect | kRead, 0xffffffff, 0x200);
  EXPECT_EQ(dma(0x20U << 16 | kSelect | kRead, 4, 0x300), 0U);
  EXPECT_EQ(text(0x300, 4), "abcd");
  EXPECT_FALSE(clock_.next_deadline().has_value());
  // One at another place is told.
  (void)dma(0x20U << 16 | kSelect | kRead, 0xffffffff, 0x200);
  std::copy_n(memory_.bytes.begin() + 0x100, 16, memory_.bytes.begin() + 0x180);
  memory_.bytes[0x187] = 4;  // four bytes only
  std::fill_n(memory_.bytes.begin() + 0x184, 3, uint8_t{0});
  fw_cfg_.dma_ports().write(4, AccessWidth::Dword, 0x80010000);  // 0x180, big-endian
  EXPECT_EQ(control_word(memory_.bytes), kError);
  EXPECT_EQ(memory_.bytes[0x180] | memory_.bytes[0x183], 0);
}

TEST_F(FwCfgTest, SurvivesRandomTraffic) {
  std::minstd_rand random(7);
  for (int i = 0; i < 20'000; ++i) {
    for (size_t at = 0x100; at < 0x110; ++at) {
      memory_.bytes[at] = random() % 3 != 0 ? uint8_t{0} : static_cast<uint8_t>(random());
    }
    const auto width = static_cast<AccessWidth>(1U << random() % 3);
    fw_cfg_.ports().write(random() % 2, width, random() % 0x40);
    (void)fw_cfg_.ports().read(random() % 2, width);
    fw_cfg_.dma_ports().write(static_cast<uint16_t>(random() % 5), width,
                              static_cast<uint32_t>(random()) % 0x20000);
  }
  EXPECT_EQ(dma(0x20U << 16 | kSelect | kRead, 4, 0x200), 0U);
  EXPECT_EQ(text(0x200, 4), "abcd");
}

}  // namespace
}  // namespace ringshift
