#include "monitor/boot/boot_acpi.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "devices/interrupts/io_apic.h"
#include "devices/timers/hpet.h"
#include "monitor/boot/aml.h"

namespace ringshift {
namespace {

constexpr uint64_t kRam = 64U << 20;

class BoardTablesTest : public ::testing::Test {
 protected:
  BoardTablesTest() {
    std::string error;
    memory_ = GuestMemory::create(kRam, &error);
  }
  void write(bool apic, bool hpet) { write_board_tables({.apic = apic, .hpet = hpet}, *memory_); }
  uint8_t u8(uint32_t at) { return *memory_->at(GuestPhysical(at)); }
  uint32_t u32(uint32_t at) {
    uint32_t value = 0;
    std::memcpy(&value, memory_->at(GuestPhysical(at)), sizeof value);
    return value;
  }
  std::string text(uint32_t at, unsigned length) {
    return {reinterpret_cast<const char*>(memory_->at(GuestPhysical(at))), length};
  }
  unsigned sum(uint32_t at, uint32_t length) {
    unsigned total = 0;
    for (uint32_t i = 0; i < length; ++i) total += u8(at + i);
    return total & 0xff;
  }
  // As guests look for them: on 16-byte boundaries of the BIOS area. 0: not there.
  uint32_t find(const std::string& signature) {
    for (uint32_t at = 0xe0000; at < 0x100000; at += 16) {
      if (text(at, static_cast<unsigned>(signature.size())) == signature) return at;
    }
    return 0;
  }
  // By way of RSDP and RSDT. 0: not there.
  uint32_t table(const std::string& signature) {
    const uint32_t rsdt = u32(find("RSD PTR ") + 16);
    for (uint32_t at = rsdt + 36; at < rsdt + u32(rsdt + 4); at += 4) {
      if (text(u32(at), 4) == signature) return u32(at);
    }
    return 0;
  }

  std::unique_ptr<GuestMemory> memory_;
};

TEST_F(BoardTablesTest, EveryTableIsFoundAndAddsUp) {
  write(true, true);
  const uint32_t root = find("RSD PTR ");
  ASSERT_NE(root, 0U);
  EXPECT_EQ(sum(root, 20), 0U);
  EXPECT_EQ(text(u32(root + 16), 4), "RSDT");
  for (const char* name : {"FACP", "APIC", "HPET"}) {
    const uint32_t at = table(name);
    ASSERT_NE(at, 0U) << name;
    EXPECT_EQ(sum(at, u32(at + 4)), 0U) << name;
  }
  const uint32_t fadt = table("FACP");
  EXPECT_EQ(u32(fadt + 4), 244U);
  EXPECT_EQ(text(u32(fadt + 36), 4), "FACS");
  const uint32_t dsdt = u32(fadt + 40);
  EXPECT_EQ(text(dsdt, 4), "DSDT");
  EXPECT_EQ(sum(dsdt, u32(dsdt + 4)), 0U);
}

TEST_F(BoardTablesTest, FixedTableHasTheRegistersWhereTheyAre) {
  write(true, true);
  const uint32_t fadt = table("FACP");
  EXPECT_EQ(u8(fadt + 46), 9);         // SCI
  EXPECT_EQ(u32(fadt + 48), 0xb2U);    // SMI_CMD
  EXPECT_EQ(u32(fadt + 56), 0xb000U);  // events
  EXPECT_EQ(u32(fadt + 64), 0xb004U);  // control
  EXPECT_EQ(u32(fadt + 76), 0xb008U);  // timer
  EXPECT_EQ(u8(fadt + 108), 0x32);     // century
  EXPECT_EQ(u32(fadt + 112) >> 10 & 1, 1U);
  EXPECT_EQ(u32(fadt + 120), 0xcf9U);  // reset register
  EXPECT_EQ(u8(fadt + 128), 0x06);
}

TEST_F(BoardTablesTest, InterruptTableNamesBothControllers) {
  write(true, false);
  const uint32_t madt = table("APIC");
  EXPECT_EQ(u32(madt + 36), kLocalApicBase);
  EXPECT_EQ(u32(madt + 40), 1U);
  EXPECT_EQ(u8(madt + 44), 0);
  EXPECT_EQ(u8(madt + 52), 1);
  EXPECT_EQ(u32(madt + 56), kIoApicBase);
  EXPECT_EQ(u8(madt + 64), 2);  // the timer's line
  EXPECT_EQ(u32(madt + 68), 2U);
  EXPECT_EQ(table("HPET"), 0U);
}

TEST_F(BoardTablesTest, WithoutAnApicNothingSpeaksOfOne) {
  write(false, true);
  EXPECT_NE(table("FACP"), 0U);
  EXPECT_EQ(table("APIC"), 0U);
  EXPECT_EQ(table("HPET"), 0U);
  EXPECT_EQ(find("_MP_"), 0U);
}

TEST_F(BoardTablesTest, MpTablesAddUpAndCountTheirEntries) {
  write(true, true);
  const uint32_t pointer = find("_MP_");
  ASSERT_NE(pointer, 0U);
  EXPECT_EQ(sum(pointer, 16), 0U);
  const uint32_t table_at = u32(pointer + 4);
  EXPECT_EQ(text(table_at, 4), "PCMP");
  const uint32_t length = u32(table_at + 4) & 0xffff;
  EXPECT_EQ(sum(table_at, length), 0U);
  unsigned entries = 0;
  for (uint32_t at = table_at + 44; at < table_at + length; ++entries) {
    ASSERT_LE(u8(at), 4);
    at += u8(at) == 0 ? 20 : 8;
  }
  EXPECT_EQ(entries, u32(table_at + 32) >> 16 | 0U);
}

TEST(Aml, LengthsCountThemselves) {
  EXPECT_EQ(aml::package({aml::integer(0), aml::integer(0x1234)}),
            (aml::Bytes{0x12, 0x47, 0x00, 2, 0x00, 0x0b, 0x34, 0x12}));
  const aml::Bytes large = aml::buffer(aml::Bytes(5000));
  EXPECT_EQ(large[1] >> 6, 2);  // two more bytes of length
  EXPECT_EQ((large[1] & 15U) | unsigned{large[2]} << 4 | unsigned{large[3]} << 12,
            large.size() - 1);
}

}  // namespace
}  // namespace ringshift
