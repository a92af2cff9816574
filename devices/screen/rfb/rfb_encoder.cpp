#include "devices/screen/rfb/rfb_encoder.h"

#include <zlib.h>

#include <algorithm>

#include "shadowmmu/base/check.h"

namespace ringshift::rfb {
namespace {

constexpr uint32_t kTightWidth = 2048, kTileSize = 16;
// Pixels that compress badly must still fit into Tight's lengths of 22 bits.
constexpr uint32_t kTightPixels = 1'000'000;
constexpr unsigned kZlibStream = 3;
constexpr size_t kMostColors = 256;

const uint32_t* line_of(const Picture& picture, const Rectangle& rectangle, uint32_t y) {
  return picture.pixels.data() + size_t{rectangle.y + y} * picture.width + rectangle.x;
}

// The colours of a rectangle in the order of their first use. False: there are more than `most`.
bool find_colors(const Picture& picture, const Rectangle& rectangle, size_t most,
                 std::vector<uint32_t>* colors) {
  colors->clear();
  uint32_t last = ~0U;  // no colour
  for (uint32_t y = 0; y < rectangle.height; ++y) {
    const uint32_t* line = line_of(picture, rectangle, y);
    for (uint32_t x = 0; x < rectangle.width; ++x) {
      if (line[x] == last) continue;
      last = line[x];
      if (std::find(colors->begin(), colors->end(), last) != colors->end()) continue;
      if (colors->size() == most) return false;
      colors->push_back(last);
    }
  }
  return true;
}

// Tight's lengths: seven bits a byte, three bytes at most, the last with eight.
void append_length(size_t length, std::vector<uint8_t>* out) {
  constexpr size_t kSevenBits = 0x7f;
  if (length <= kSevenBits) return out->push_back(static_cast<uint8_t>(length));
  out->push_back(static_cast<uint8_t>(0x80 | (length & kSevenBits)));
  if (length >> 7 <= kSevenBits) return out->push_back(static_cast<uint8_t>(length >> 7));
  out->push_back(static_cast<uint8_t>(0x80 | (length >> 7 & kSevenBits)));
  out->push_back(static_cast<uint8_t>(length >> 14));
}

}  // namespace

void append_u16(uint32_t value, std::vector<uint8_t>* out) {
  out->push_back(static_cast<uint8_t>(value >> 8));
  out->push_back(static_cast<uint8_t>(value));
}

void append_u32(uint32_t value, std::vector<uint8_t>* out) {
  append_u16(value >> 16, out);
  append_u16(value & 0xffff, out);
}

void append_header(const Rectangle& rectangle, int32_t encoding, std::vector<uint8_t>* out) {
  append_u16(rectangle.x, out);
  append_u16(rectangle.y, out);
  append_u16(rectangle.width, out);
  append_u16(rectangle.height, out);
  append_u32(static_cast<uint32_t>(encoding), out);
}

// ---- compression ----

struct Deflater::State {
  z_stream stream{};
};

Deflater::Deflater() : state_(std::make_unique<State>()) {
  CHECK(deflateInit(&state_->stream, Z_BEST_SPEED) == Z_OK);
}

Deflater::~Deflater() { deflateEnd(&state_->stream); }

void Deflater::append(std::span<const uint8_t> input, std::vector<uint8_t>* out) {
  constexpr size_t kStep = 16 * 1024;
  z_stream& stream = state_->stream;
  stream.next_in = const_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  do {
    const size_t before = out->size();
    out->resize(before + kStep);
    stream.next_out = out->data() + before;
    stream.avail_out = kStep;
    CHECK(deflate(&stream, Z_SYNC_FLUSH) != Z_STREAM_ERROR);
    out->resize(before + kStep - stream.avail_out);
  } while (stream.avail_out == 0);
}

Deflater& Encoder::stream(unsigned number) {
  if (streams_[number] == nullptr) streams_[number] = std::make_unique<Deflater>();
  return *streams_[number];
}

// ---- rectangles ----

unsigned Encoder::append(const Picture& picture, const Rectangle& rectangle,
                         std::vector<uint8_t>* out) {
  const bool is_tight = encoding_ == Encoding::Tight;
  const uint32_t most_width = is_tight ? std::min(kTightWidth, rectangle.width) : rectangle.width;
  const uint32_t most_height = is_tight ? kTightPixels / most_width : rectangle.height;
  unsigned count = 0;
  for (uint32_t y = 0; y < rectangle.height; y += most_height) {
    for (uint32_t x = 0; x < rectangle.width; x += most_width) {
      append_one(picture,
                 {rectangle.x + x, rectangle.y + y, std::min(most_width, rectangle.width - x),
                  std::min(most_height, rectangle.height - y)},
                 out);
      ++count;
    }
  }
  return count;
}

void Encoder::append_one(const Picture& picture, const Rectangle& rectangle,
                         std::vector<uint8_t>* out) {
  append_header(rectangle, static_cast<int32_t>(encoding_), out);
  switch (encoding_) {
    case Encoding::Raw:
      return append_raw(picture, rectangle, out);
    case Encoding::Hextile:
      return append_hextile(picture, rectangle, out);
    case Encoding::Zlib:
      return append_zlib(picture, rectangle, out);
    case Encoding::Tight:
      return append_tight(picture, rectangle, out);
  }
}

void Encoder::append_raw(const Picture& picture, const Rectangle& rectangle,
                         std::vector<uint8_t>* out) const {
  out->reserve(out->size() + size_t{rectangle.width} * rectangle.height * pixels_.bytes());
  for (uint32_t y = 0; y < rectangle.height; ++y) {
    const uint32_t* line = line_of(picture, rectangle, y);
    for (uint32_t x = 0; x < rectangle.width; ++x) pixels_.append(line[x], out);
  }
}

void Encoder::append_zlib(const Picture& picture, const Rectangle& rectangle,
                          std::vector<uint8_t>* out) {
  plain_.clear();
  append_raw(picture, rectangle, &plain_);
  packed_.clear();
  stream(kZlibStream).append(plain_, &packed_);
  append_u32(static_cast<uint32_t>(packed_.size()), out);
  out->insert(out->end(), packed_.begin(), packed_.end());
}

void Encoder::append_hextile(const Picture& picture, const Rectangle& rectangle,
                             std::vector<uint8_t>* out) const {
  for (uint32_t y = 0; y < rectangle.height; y += kTileSize) {
    for (uint32_t x = 0; x < rectangle.width; x += kTileSize) {
      append_tile(picture,
                  {rectangle.x + x, rectangle.y + y, std::min(kTileSize, rectangle.width - x),
                   std::min(kTileSize, rectangle.height - y)},
                  out);
    }
  }
}

// One colour, two of which the second lies in runs, or raw.
void Encoder::append_tile(const Picture& picture, const Rectangle& tile,
                          std::vector<uint8_t>* out) const {
  constexpr uint8_t kRaw = 1, kBackground = 2, kForeground = 4, kAnyRuns = 8;
  std::vector<uint32_t> colors;
  const bool is_simple = find_colors(picture, tile, 2, &colors);
  if (is_simple && colors.size() == 1) {
    out->push_back(kBackground);
    return pixels_.append(colors[0], out);
  }
  const size_t begin = out->size();
  if (is_simple) {
    out->push_back(kBackground | kForeground | kAnyRuns);
    pixels_.append(colors[0], out);
    pixels_.append(colors[1], out);
    const size_t count_at = out->size();
    unsigned runs = 0;
    out->push_back(0);
    for (uint32_t y = 0; y < tile.height; ++y) {
      const uint32_t* line = line_of(picture, tile, y);
      for (uint32_t x = 0; x < tile.width; ++x) {
        if (line[x] != colors[1]) continue;
        uint32_t end = x + 1;
        while (end < tile.width && line[end] == colors[1]) ++end;
        out->push_back(static_cast<uint8_t>(x << 4 | y));
        out->push_back(static_cast<uint8_t>((end - x - 1) << 4));
        ++runs;
        x = end;
      }
    }
    const size_t raw_bytes = 1 + size_t{tile.width} * tile.height * pixels_.bytes();
    if (runs < 256 && out->size() - begin < raw_bytes) {
      (*out)[count_at] = static_cast<uint8_t>(runs);
      return;
    }
    out->resize(begin);
  }
  out->push_back(kRaw);
  append_raw(picture, tile, out);
}

// Appends plain_; fewer than twelve bytes are sent uncompressed.
void Encoder::append_compressed(unsigned number, std::vector<uint8_t>* out) {
  constexpr size_t kFewest = 12;
  if (plain_.size() < kFewest) {
    out->insert(out->end(), plain_.begin(), plain_.end());
    return;
  }
  packed_.clear();
  stream(number).append(plain_, &packed_);
  append_length(packed_.size(), out);
  out->insert(out->end(), packed_.begin(), packed_.end());
}

void Encoder::append_tight_palette(const Picture& picture, const Rectangle& rectangle,
                                   std::span<const uint32_t> colors, std::vector<uint8_t>* out) {
  constexpr uint8_t kExplicitFilter = 0x40, kPalette = 1;
  const bool is_mono = colors.size() == 2;
  const unsigned number = is_mono ? 1 : 2;
  out->push_back(static_cast<uint8_t>(kExplicitFilter | number << 4));
  out->push_back(kPalette);
  out->push_back(static_cast<uint8_t>(colors.size() - 1));
  for (const uint32_t color : colors) pixels_.append_tight(color, out);
  plain_.clear();
  size_t index = 0;
  for (uint32_t y = 0; y < rectangle.height; ++y) {
    const uint32_t* line = line_of(picture, rectangle, y);
    for (uint32_t x = 0; x < rectangle.width; ++x) {
      if (line[x] != colors[index]) {
        index =
            static_cast<size_t>(std::find(colors.begin(), colors.end(), line[x]) - colors.begin());
      }
      if (!is_mono) {
        plain_.push_back(static_cast<uint8_t>(index));
        continue;
      }
      if (x % 8 == 0) plain_.push_back(0);
      plain_.back() = static_cast<uint8_t>(plain_.back() | index << (7 - x % 8));
    }
  }
  append_compressed(number, out);
}

void Encoder::append_tight(const Picture& picture, const Rectangle& rectangle,
                           std::vector<uint8_t>* out) {
  constexpr uint8_t kFill = 0x80, kCopy = 0x00;
  std::vector<uint32_t> colors;
  // A palette of more than two is for pixels that are larger than its indexes.
  const size_t most = pixels_.bytes() == 1 ? 2 : kMostColors;
  if (find_colors(picture, rectangle, most, &colors)) {
    if (colors.size() > 1) return append_tight_palette(picture, rectangle, colors, out);
    out->push_back(kFill);
    return pixels_.append_tight(colors[0], out);
  }
  out->push_back(kCopy);
  plain_.clear();
  for (uint32_t y = 0; y < rectangle.height; ++y) {
    const uint32_t* line = line_of(picture, rectangle, y);
    for (uint32_t x = 0; x < rectangle.width; ++x) pixels_.append_tight(line[x], &plain_);
  }
  append_compressed(0, out);
}

}  // namespace ringshift::rfb
