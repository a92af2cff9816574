#include "devices/screen/vga_text.h"

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr unsigned kColumns = 80;
constexpr unsigned kRows = 25;
constexpr uint32_t kTextWindow = 0x8000;  // 32 KiB of characters and attributes
constexpr unsigned kStartHigh = 0x0c, kStartLow = 0x0d;

// Code page 437, characters 00-1F as the display shows them, 7F, and 80-FF.
constexpr char16_t kLow[33] =
    u"\u0020\u263a\u263b\u2665\u2666\u2663\u2660\u2022\u25d8\u25cb\u25d9\u2642\u2640\u266a\u266b"
    u"\u263c\u25ba\u25c4\u2195\u203c\u00b6\u00a7\u25ac\u21a8\u2191\u2193\u2192\u2190\u221f\u2194"
    u"\u25b2\u25bc";
constexpr char16_t kHigh[129] =
    u"\u00c7\u00fc\u00e9\u00e2\u00e4\u00e0\u00e5\u00e7\u00ea\u00eb\u00e8\u00ef\u00ee\u00ec\u00c4"
    u"\u00c5\u00c9\u00e6\u00c6\u00f4\u00f6\u00f2\u00fb\u00f9\u00ff\u00d6\u00dc\u00a2\u00a3\u00a5"
    u"\u20a7\u0192\u00e1\u00ed\u00f3\u00fa\u00f1\u00d1\u00aa\u00ba\u00bf\u2310\u00ac\u00bd\u00bc"
    u"\u00a1\u00ab\u00bb\u2591\u2592\u2593\u2502\u2524\u2561\u2562\u2556\u2555\u2563\u2551\u2557"
    u"\u255d\u255c\u255b\u2510\u2514\u2534\u252c\u251c\u2500\u253c\u255e\u255f\u255a\u2554\u2569"
    u"\u2566\u2560\u2550\u256c\u2567\u2568\u2564\u2565\u2559\u2558\u2552\u2553\u256b\u256a\u2518"
    u"\u250c\u2588\u2584\u258c\u2590\u2580\u03b1\u00df\u0393\u03c0\u03a3\u03c3\u00b5\u03c4\u03a6"
    u"\u0398\u03a9\u03b4\u221e\u03c6\u03b5\u2229\u2261\u00b1\u2265\u2264\u2320\u2321\u00f7\u2248"
    u"\u00b0\u2219\u00b7\u221a\u207f\u00b2\u25a0\u00a0";

void append_utf8(std::string& text, char16_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    text += static_cast<char>(0xe0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    text += static_cast<char>(0x80 | (code & 0x3f));
  }
}

char16_t from_code_page_437(uint8_t character) {
  if (character < 0x20) return kLow[character];
  if (character == 0x7f) return u'\u2302';
  return character < 0x80 ? char16_t{character} : kHigh[character - 0x80];
}

bool is_blank(uint8_t character) { return character == 0 || character == ' ' || character == 0xff; }

}  // namespace

VgaText::VgaText()
    : mono_crtc_ports_([this](uint16_t offset) { return read_crtc(offset); },
                       [this](uint16_t offset, uint8_t value) { write_crtc(offset, value); }),
      mono_status_port_([this](uint16_t) { return read_status(); },
                        [this](uint16_t, uint8_t value) { feature_ = value; }),
      color_ports_([this](uint16_t offset) { return read_color(offset); },
                   [this](uint16_t offset, uint8_t value) { write_color(offset, value); }),
      crtc_ports_([this](uint16_t offset) { return read_crtc(offset); },
                  [this](uint16_t offset, uint8_t value) { write_crtc(offset, value); }),
      status_port_([this](uint16_t) { return read_status(); },
                   [this](uint16_t, uint8_t value) { feature_ = value; }) {
  // Mode 3 as a BIOS leaves it, as far as software asks: 80 columns, 25 rows of 16 lines, the text
  // window at 0xb8000, a cursor of two lines.
  crtc_[0x01] = kColumns - 1;
  crtc_[0x07] = 0x1f;
  crtc_[0x09] = 0x4f;
  crtc_[0x0a] = 0x0d;
  crtc_[0x0b] = 0x0e;
  crtc_[0x12] = 0x8f;
  crtc_[0x13] = kColumns / 2;
  crtc_[0x17] = 0xa3;
  registers_.graphics[0x05] = 0x10;
  registers_.graphics[0x06] = 0x0e;
  registers_.sequencer[0x02] = 0x03;
  registers_.sequencer[0x04] = 0x02;
  registers_.graphics[0x08] = 0xff;
}

void VgaText::set_up_text(std::span<const uint8_t> font) {
  // The colours of the EGA: bits 0 to 2 are two thirds of blue, green and red, bits 3 to 5 a third
  // of each; brown is the one of the low eight that is not as its bits say.
  constexpr uint8_t kBrown = 6, kThird = 21;
  for (unsigned color = 0; color < 64; ++color) {
    for (unsigned component = 0; component < 3; ++component) {  // red first
      const unsigned bit = 2 - component;
      const unsigned thirds = (color >> bit & 1) * 2 + (color >> (bit + 3) & 1);
      palette_[color * 3 + component] = static_cast<uint8_t>(thirds * kThird);
    }
  }
  for (uint8_t i = 0; i < 16; ++i) attribute_[i] = static_cast<uint8_t>(i < 8 ? i : 0x30 | i);
  attribute_[kBrown] = 0x14;
  attribute_[0x10] = 0x0c;
  attribute_[0x12] = 0x0f;
  attribute_[0x13] = 0x08;
  constexpr uint32_t kLines = 16, kGlyphBytes = 32;
  for (uint32_t i = 0; i < font.size(); ++i) {
    memory_.put_in_plane(2, i / kLines * kGlyphBytes + i % kLines, font[i]);
  }
}

uint32_t VgaText::read(uint64_t offset, AccessWidth width) {
  uint32_t value = 0;
  for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
    value |= uint32_t{memory_.read(static_cast<uint32_t>(offset + i))} << (8 * i);
  }
  return value;
}

void VgaText::write(uint64_t offset, AccessWidth width, uint32_t value) {
  for (unsigned i = 0; i < static_cast<unsigned>(width); ++i) {
    memory_.write(static_cast<uint32_t>(offset + i), static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint8_t VgaText::read_crtc(uint16_t offset) const {
  return offset == 0 ? crtc_index_ : crtc_[crtc_index_];
}

void VgaText::write_crtc(uint16_t offset, uint8_t value) {
  if (offset == 0) {
    crtc_index_ = value & 0x1f;
  } else {
    crtc_[crtc_index_] = value;
  }
}

uint8_t VgaText::read_color(uint16_t offset) {
  switch (offset) {
    case 0x0:
      return attribute_index_;
    case 0x1:
      return attribute_[attribute_index_ & 0x1f];
    case 0x4:
      return sequencer_index_;
    case 0x5:
      return registers_.sequencer[sequencer_index_];
    case 0x6:
      return palette_mask_;
    case 0x7:
      return palette_reading_ ? 3 : 0;
    case 0x8:
      return static_cast<uint8_t>(palette_write_at_ / 3);
    case 0x9:
      return read_palette();
    case 0xa:
      return feature_;
    case 0xc:
      return miscellaneous_;
    case 0xe:
      return graphics_index_;
    case 0xf:
      return registers_.graphics[graphics_index_];
    default:
      return 0;  // 3c2 input status 0: no sense, no interrupt
  }
}

void VgaText::write_color(uint16_t offset, uint8_t value) {
  switch (offset) {
    case 0x0:
      // One port for index and data, told apart by a flip-flop that reading 3da resets.
      if (attribute_data_next_) {
        attribute_[attribute_index_ & 0x1f] = value;
      } else {
        attribute_index_ = value & 0x3f;
      }
      attribute_data_next_ = !attribute_data_next_;
      break;
    case 0x2:
      miscellaneous_ = value;
      break;
    case 0x4:
      sequencer_index_ = value & 0x07;
      break;
    case 0x5:
      registers_.sequencer[sequencer_index_] = value;
      break;
    case 0x6:
      palette_mask_ = value;
      break;
    case 0x7:
      palette_read_at_ = value * 3U;
      palette_reading_ = true;
      break;
    case 0x8:
      palette_write_at_ = value * 3U;
      palette_reading_ = false;
      break;
    case 0x9:
      write_palette(value);
      break;
    case 0xe:
      graphics_index_ = value & 0x0f;
      break;
    case 0xf:
      registers_.graphics[graphics_index_] = value;
      break;
    default:
      break;
  }
}

uint8_t VgaText::read_palette() {
  const uint8_t value = palette_[palette_read_at_];
  palette_read_at_ = (palette_read_at_ + 1) % static_cast<unsigned>(palette_.size());
  return value;
}

void VgaText::write_palette(uint8_t value) {
  palette_[palette_write_at_] = value & 0x3f;
  palette_write_at_ = (palette_write_at_ + 1) % static_cast<unsigned>(palette_.size());
}

uint8_t VgaText::read_status() {
  attribute_data_next_ = false;
  // There is no beam. A guest that waits for retrace to begin or end sees it at the next read.
  retrace_ = !retrace_;
  return retrace_ ? 0x09 : 0x00;
}

std::string VgaText::dump_text() const {
  const uint32_t start = (uint32_t{crtc_[kStartHigh]} << 8 | crtc_[kStartLow]) * 2;
  std::string text;
  for (uint32_t row = 0; row < kRows; ++row) {
    std::string line;
    size_t visible = 0;
    for (uint32_t column = 0; column < kColumns; ++column) {
      const uint32_t at = (start + (row * kColumns + column) * 2) % kTextWindow;
      const uint8_t character = memory_.plane(0, at);
      append_utf8(line, from_code_page_437(character));
      if (!is_blank(character)) visible = line.size();
    }
    line.resize(visible);
    text += line;
    text += '\n';
  }
  return text;
}

void VgaText::visit_state(StateArchive& archive) {
  const auto most_position = static_cast<unsigned>(palette_.size() - 1);
  archive.numbers("sequencer", registers_.sequencer);
  archive.numbers("graphics", registers_.graphics);
  archive.part("memory", memory_);
  archive.numbers("crtc", crtc_);
  archive.numbers("attribute", attribute_);
  archive.numbers("palette", palette_);
  archive.field("crtc index", crtc_index_, 0, 0x1f);
  archive.field("attribute index", attribute_index_);
  archive.field("sequencer index", sequencer_index_, 0, 0x07);
  archive.field("graphics index", graphics_index_, 0, 0x0f);
  archive.field("attribute data next", attribute_data_next_);
  archive.field("miscellaneous", miscellaneous_);
  archive.field("feature", feature_);
  archive.field("palette mask", palette_mask_);
  archive.field("palette read at", palette_read_at_, 0, most_position);
  archive.field("palette write at", palette_write_at_, 0, most_position);
  archive.field("palette reading", palette_reading_);
  archive.field("retrace", retrace_);
}

}  // namespace ringshift
