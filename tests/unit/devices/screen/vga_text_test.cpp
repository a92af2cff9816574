#include "devices/screen/vga_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

constexpr uint64_t kColorText = 0x18000;
constexpr uint64_t kMonoText = 0x10000;

void print(VgaText& vga, uint64_t at, std::string_view text) {
  for (const char c : text) {
    vga.write(at, AccessWidth::Word, 0x0700U | static_cast<uint8_t>(c));
    at += 2;
  }
}

TEST(VgaText, EmptyScreenIsTwentyFiveEmptyLines) {
  VgaText vga;
  EXPECT_EQ(vga.dump_text(), std::string(25, '\n'));
}

TEST(VgaText, TextAppearsAtItsLineTrimmed) {
  VgaText vga;
  print(vga, kColorText + 160, "  Hello   ");
  EXPECT_EQ(vga.dump_text(), "\n  Hello" + std::string(24, '\n'));
}

TEST(VgaText, StartAddressScrollsThePage) {
  VgaText vga;
  print(vga, kColorText + 160, "second");
  vga.crtc_ports().write(0, AccessWidth::Word, 0x000c);
  vga.crtc_ports().write(0, AccessWidth::Word, 0x500d);
  EXPECT_EQ(vga.dump_text().substr(0, 7), "second\n");
}

TEST(VgaText, PageWrapsAtTheEndOfTheTextWindow) {
  VgaText vga;
  print(vga, kColorText, "wrapped");
  out8(vga.crtc_ports(), 0, 0x0c);
  out8(vga.crtc_ports(), 1, 0x3f);
  out8(vga.crtc_ports(), 0, 0x0d);
  out8(vga.crtc_ports(), 1, 0xb0);
  EXPECT_EQ(vga.dump_text().substr(0, 9), "\nwrapped\n");
}

TEST(VgaText, CodePage437BecomesUtf8) {
  VgaText vga;
  print(vga, kColorText, "\xc9\xcd\xbb\x01\x7f\x81");
  const std::string text = vga.dump_text();
  EXPECT_EQ(text.substr(0, text.find('\n')), "╔═╗☺⌂ü");
}

TEST(VgaText, MonochromePageIsReadWhenSelected) {
  VgaText vga;
  print(vga, kMonoText, "lost");
  vga.color_ports().write(0x0e, AccessWidth::Word, 0x0a06);
  print(vga, kMonoText, "mono");
  EXPECT_EQ(vga.dump_text().substr(0, 5), "mono\n");
}

TEST(VgaText, MemoryReadsBackAtEveryWidth) {
  VgaText vga;
  vga.write(kColorText + 0x100, AccessWidth::Dword, 0x44332211);
  EXPECT_EQ(vga.read(kColorText + 0x100, AccessWidth::Dword), 0x44332211U);
  EXPECT_EQ(vga.read(kColorText + 0x101, AccessWidth::Word), 0x3322U);
  EXPECT_EQ(vga.read(kColorText + 0x103, AccessWidth::Byte), 0x44U);
  EXPECT_EQ(vga.read(0x100, AccessWidth::Byte), 0xffU);  // not in the window
}

TEST(VgaText, RetraceTogglesSoThatWaitsEnd) {
  VgaText vga;
  const uint8_t first = in8(vga.status_port(), 0) & 0x08;
  EXPECT_NE(in8(vga.status_port(), 0) & 0x08, first);
}

TEST(VgaText, AttributeFlipFlopIsResetByReadingStatus) {
  VgaText vga;
  out8(vga.color_ports(), 0, 0x10);
  static_cast<void>(in8(vga.status_port(), 0));
  out8(vga.color_ports(), 0, 0x11);
  out8(vga.color_ports(), 0, 0x3f);
  out8(vga.color_ports(), 0, 0x11);
  EXPECT_EQ(in8(vga.color_ports(), 1), 0x3f);
}

TEST(VgaText, PaletteReadsBackWhatWasWritten) {
  VgaText vga;
  out8(vga.color_ports(), 8, 255);
  for (const unsigned value : {1U, 2U, 3U, 4U}) out8(vga.color_ports(), 9, value);
  out8(vga.color_ports(), 7, 255);
  EXPECT_EQ(in8(vga.color_ports(), 9), 1);
  EXPECT_EQ(in8(vga.color_ports(), 9), 2);
  EXPECT_EQ(in8(vga.color_ports(), 9), 3);
  EXPECT_EQ(in8(vga.color_ports(), 9), 4);  // wrapped to colour 0
}

TEST(VgaText, MiscellaneousOutputReadsBackAtItsReadPort) {
  VgaText vga;
  out8(vga.color_ports(), 2, 0xe3);
  EXPECT_EQ(in8(vga.color_ports(), 0xc), 0xe3);
}

}  // namespace
}  // namespace ringshift
