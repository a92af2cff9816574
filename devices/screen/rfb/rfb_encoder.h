// RfbEncoder: rectangles of a picture as one RFB client wants them: raw, hextile, zlib, tight.
// Owns: the client's compression streams, which go on from one rectangle to the next. See
// docs/screen.md; RFC 6143, section 7.7; the registry's zlib (6) and Tight (7).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "devices/screen/rfb/rfb_pixels.h"

namespace ringshift::rfb {

enum class Encoding : int32_t { Raw = 0, Hextile = 5, Zlib = 6, Tight = 7 };

// A stream of zlib's. Owns: its state.
class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  // Appends all of the input, to a byte's border, to *out.
  void append(std::span<const uint8_t> input, std::vector<uint8_t>* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Encoder {
 public:
  // False: no client may ask for such pixels.
  [[nodiscard]] bool set_format(const PixelFormat& format) { return pixels_.set(format); }
  [[nodiscard]] const PixelConverter& pixels() const { return pixels_; }
  void choose(Encoding encoding) { encoding_ = encoding; }
  // Appends headers and content to *out; returns the number of rectangles: Tight's are bounded (RFC
  // 6143 leaves them out; its registry entry). Pre: it lies in the picture and is not empty.
  unsigned append(const Picture& picture, const Rectangle& rectangle, std::vector<uint8_t>* out);

 private:
  void append_one(const Picture& picture, const Rectangle& rectangle, std::vector<uint8_t>* out);
  void append_raw(const Picture& picture, const Rectangle& rectangle,
                  std::vector<uint8_t>* out) const;
  void append_hextile(const Picture& picture, const Rectangle& rectangle,
                      std::vector<uint8_t>* out) const;
  void append_tile(const Picture& picture, const Rectangle& tile, std::vector<uint8_t>* out) const;
  void append_zlib(const Picture& picture, const Rectangle& rectangle, std::vector<uint8_t>* out);
  void append_tight(const Picture& picture, const Rectangle& rectangle, std::vector<uint8_t>* out);
  void append_tight_palette(const Picture& picture, const Rectangle& rectangle,
                            std::span<const uint32_t> colors, std::vector<uint8_t>* out);
  void append_compressed(unsigned stream, std::vector<uint8_t>* out);
  Deflater& stream(unsigned number);

  PixelConverter pixels_;
  Encoding encoding_ = Encoding::Raw;
  std::array<std::unique_ptr<Deflater>, 4> streams_;  // three are Tight's, the last is zlib's
  std::vector<uint8_t> plain_, packed_;               // room that is used again
};

void append_u16(uint32_t value, std::vector<uint8_t>* out);
void append_u32(uint32_t value, std::vector<uint8_t>* out);
// A rectangle's header; encoding as the protocol numbers it.
void append_header(const Rectangle& rectangle, int32_t encoding, std::vector<uint8_t>* out);

}  // namespace ringshift::rfb
