#include "devices/screen/screen_image.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/bus/device_test_support.h"

namespace ringshift {
namespace {

class Screen : public ::testing::Test {
 protected:
  void sequencer(unsigned index, unsigned value) {
    vga_.color_ports().write(4, AccessWidth::Word, value << 8 | index);
  }
  void graphics(unsigned index, unsigned value) {
    vga_.color_ports().write(0xe, AccessWidth::Word, value << 8 | index);
  }
  void crtc(unsigned index, unsigned value) {
    vga_.crtc_ports().write(0, AccessWidth::Word, value << 8 | index);
  }
  void attribute(unsigned index, unsigned value) {
    (void)in8(vga_.status_port(), 0);
    out8(vga_.color_ports(), 0, index);
    out8(vga_.color_ports(), 0, value);
  }
  void color(unsigned index, unsigned red, unsigned green, unsigned blue) {
    out8(vga_.color_ports(), 8, index);
    for (const unsigned value : {red, green, blue}) out8(vga_.color_ports(), 9, value);
  }
  static uint32_t pixel(const ScreenImage& image, uint32_t x, uint32_t y) {
    const uint8_t* at = image.rgb.data() + (size_t{y} * image.width + x) * 3;
    return uint32_t{at[0]} << 16 | uint32_t{at[1]} << 8 | at[2];
  }
  // 16 colours in planes at 0xa0000, 640 x 480.
  void enter_planar() {
    sequencer(4, 0x06);
    sequencer(2, 0x0f);
    graphics(5, 0x00);
    graphics(6, 0x05);
    crtc(0x09, 0x40);
    crtc(0x07, 0x3e);
    crtc(0x12, 0xdf);
    attribute(0x12, 0x0f);
    for (unsigned i = 0; i < 16; ++i) attribute(i, i);
    color(9, 63, 0, 21);
  }

  VgaText vga_;
  PortBus ports_;
  MemoryBus memory_;
  PciBuses buses_{ports_, memory_, {}};
  BochsDisplay display_{buses_, {}};
};

TEST_F(Screen, TextIsDrawnWithTheFontInPlaneTwo) {
  sequencer(2, 0x04);
  sequencer(4, 0x06);
  graphics(5, 0x00);
  graphics(6, 0x04);
  vga_.write('A' * 32 + 1, AccessWidth::Byte, 0x80);
  sequencer(2, 0x03);
  sequencer(4, 0x02);
  graphics(5, 0x10);
  graphics(6, 0x0e);
  vga_.write(0x18000 + 2, AccessWidth::Word, 0x4700 | 'A');
  for (unsigned i = 0; i < 16; ++i) attribute(i, i);
  color(4, 63, 0, 0);
  color(7, 42, 42, 42);
  const ScreenImage image = draw_screen(vga_, nullptr);
  EXPECT_EQ(image.width, 640U);
  EXPECT_EQ(image.height, 400U);
  EXPECT_EQ(pixel(image, 8, 1), 0xaaaaaaU);
  EXPECT_EQ(pixel(image, 9, 1), 0xff0000U);
  EXPECT_EQ(pixel(image, 16, 1), 0x000000U);
}

TEST_F(Screen, PlanesMakeSixteenColours) {
  enter_planar();
  sequencer(2, 0x09);
  vga_.write(80, AccessWidth::Byte, 0x40);
  const ScreenImage image = draw_screen(vga_, &display_);
  EXPECT_EQ(image.width, 640U);
  EXPECT_EQ(image.height, 480U);
  EXPECT_EQ(pixel(image, 1, 1), 0xff0055U);
  EXPECT_EQ(pixel(image, 0, 1), 0U);
}

TEST_F(Screen, WriteModesCombineWithTheLatches) {
  enter_planar();
  vga_.write(0, AccessWidth::Byte, 0xf0);
  (void)vga_.read(0, AccessWidth::Byte);
  graphics(8, 0x0f);  // bit mask: the low half from the processor
  vga_.write(0, AccessWidth::Byte, 0xff);
  EXPECT_EQ(vga_.read(0, AccessWidth::Byte), 0xffU);
  graphics(8, 0xff);
  graphics(5, 0x01);  // write mode 1 copies the latches
  vga_.write(5, AccessWidth::Byte, 0);
  EXPECT_EQ(vga_.read(5, AccessWidth::Byte), 0xffU);
  graphics(5, 0x02);  // write mode 2: the value is a colour
  vga_.write(6, AccessWidth::Byte, 0x04);
  graphics(4, 2);
  EXPECT_EQ(vga_.read(6, AccessWidth::Byte), 0xffU);
  graphics(5, 0x08);  // read mode 1: where is colour 4?
  graphics(2, 0x04);
  graphics(7, 0x0f);
  EXPECT_EQ(vga_.read(6, AccessWidth::Byte), 0xffU);
  graphics(2, 0x05);
  EXPECT_EQ(vga_.read(6, AccessWidth::Byte), 0x00U);
}

TEST_F(Screen, ChainedBytesMakeTwoHundredFiftySixColours) {
  sequencer(2, 0x0f);
  sequencer(4, 0x0e);
  graphics(5, 0x40);
  graphics(6, 0x05);
  crtc(0x09, 0x41);
  crtc(0x13, 40);
  color(200, 0, 63, 0);
  vga_.write(320 + 5, AccessWidth::Byte, 200);
  const ScreenImage image = draw_screen(vga_, nullptr);
  EXPECT_EQ(image.width, 320U);
  EXPECT_EQ(image.height, 200U);
  EXPECT_EQ(pixel(image, 5, 1), 0x00ff00U);
}

TEST_F(Screen, FrameBufferModes) {
  const auto set = [this](unsigned index, unsigned value) {
    display_.ports().write(0, AccessWidth::Word, index);
    display_.ports().write(1, AccessWidth::Word, value);
  };
  display_.function().write_config(0x10, AccessWidth::Dword, 0xe0000000);
  display_.function().write_config(0x04, AccessWidth::Word, 2);
  set(1, 100);
  set(2, 50);
  set(3, 32);
  set(4, 0x41);
  memory_.write(GuestPhysical(0xe0000000 + 4 * 101), AccessWidth::Dword, 0x00123456);
  ScreenImage image = draw_screen(vga_, &display_);
  EXPECT_EQ(image.width, 100U);
  EXPECT_EQ(pixel(image, 1, 1), 0x123456U);
  set(9, 1);  // one line down
  image = draw_screen(vga_, &display_);
  EXPECT_EQ(pixel(image, 1, 0), 0x123456U);
  set(9, 0xffff);  // beyond the memory: from the start
  EXPECT_EQ(draw_screen(vga_, &display_).height, 50U);
  set(4, 0);
  set(3, 16);
  set(4, 0x81);  // memory is kept
  memory_.write(GuestPhysical(0xe0000000), AccessWidth::Word, 0xf800);
  EXPECT_EQ(pixel(draw_screen(vga_, &display_), 0, 0), 0xff0000U);
}

TEST_F(Screen, ModeThatMakesNoSenseStaysOff) {
  for (const unsigned bits : {0U, 7U, 64U}) {
    display_.ports().write(0, AccessWidth::Word, 3);
    display_.ports().write(1, AccessWidth::Word, bits);
    display_.ports().write(0, AccessWidth::Word, 4);
    display_.ports().write(1, AccessWidth::Word, 1);
    EXPECT_FALSE(display_.enabled());
  }
}

TEST_F(Screen, AnyRegistersGiveSomePicture) {
  for (unsigned value = 0; value < 256; value += 5) {
    for (unsigned index = 0; index < 25; ++index) crtc(index, value * (index + 1));
    graphics(6, value);
    graphics(5, value >> 1);
    const ScreenImage image = draw_screen(vga_, &display_);
    EXPECT_EQ(image.rgb.size(), size_t{image.width} * image.height * 3);
  }
}

}  // namespace
}  // namespace ringshift
