// Any bytes from a VNC client: memory stays bounded, every update is one that a client can read,
// and keys that are pressed can be let go.
#include <exception>
#include <optional>
#include <utility>

#include "devices/screen/rfb/rfb_session.h"
#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/rfb_decoder.h"

namespace ringshift::fuzz {
namespace {

class Client {
 public:
  explicit Client(uint8_t shape) {
    rfb::SessionConfig config;
    config.name = "fuzz";
    if ((shape & 1) != 0) config.password = "secret";
    config.on_keys = [this](const std::vector<uint8_t>& codes, KeyTranslator::Change change) {
      CHECK(!codes.empty() && codes.size() <= 16);
      takes_next_ = !takes_next_;
      return takes_next_ || change == KeyTranslator::Change::Release;
    };
    config.on_motion = [](const MouseMotion& motion) {
      CHECK(motion.buttons <= 7 && motion.wheel >= -1 && motion.wheel <= 1);
    };
    session_.emplace(std::move(config));
    set_size(64, 48);
    if ((shape & 2) != 0) shake_hands();
  }

  void act(FuzzBytes& bytes) {
    const uint8_t how = bytes.u8();
    switch (how & 3) {
      case 0:
      case 1:
        return receive(bytes.take(how >> 2));
      case 2:
        for (uint32_t& pixel : picture_.pixels) pixel = pixel * 5 + (how >> 2);
        session_->note_change(how >> 2 & 3, how >> 4);
        return;
      default:
        if ((how & 0x80) != 0) set_size(static_cast<uint16_t>(1 + (how >> 2)), 70);
        return show();
    }
  }
  [[nodiscard]] bool is_over() const { return session_->is_over(); }
  void leave() { session_->leave(); }

 private:
  void set_size(uint16_t width, uint16_t height) {
    picture_ = {width, height, std::vector<uint32_t>(size_t{width} * height, 0x00ff80)};
    session_->note_all_changed();
  }
  void receive(std::span<const uint8_t> bytes) {
    if (!session_->reads()) return;
    session_->receive(bytes);
    CHECK(session_->output().size() <= 4096);  // only update() makes more of it
  }
  void shake_hands() {
    constexpr std::string_view kVersion = "RFB 003.008\n";
    receive({reinterpret_cast<const uint8_t*>(kVersion.data()), kVersion.size()});
    const uint8_t none_and_shared[] = {1, 1};
    receive(none_and_shared);
    show();
  }
  // Takes what there is, and asks for the rest.
  void show() {
    session_->output().clear();
    if (!session_->waits_for_screen()) return;
    session_->update(picture_);
    // Four bytes a pixel at most, a colour map, some rectangles' headers.
    CHECK(session_->output().size() <= size_t{256} * 256 * 6 + 16 * 1024);
    session_->output().clear();
  }

  std::optional<rfb::Session> session_;
  rfb::Picture picture_;
  bool takes_next_ = false;
};

// A client of each encoding sees the same pixels, whatever they are.
void encode(FuzzBytes& bytes) {
  constexpr rfb::Encoding kEncodings[] = {rfb::Encoding::Raw, rfb::Encoding::Hextile,
                                          rfb::Encoding::Zlib, rfb::Encoding::Tight};
  const auto width = static_cast<uint16_t>(1 + bytes.below(64));
  const auto height = static_cast<uint16_t>(1 + bytes.below(64));
  rfb::Picture picture{width, height, std::vector<uint32_t>(size_t{width} * height)};
  rfb::Encoder encoder;
  rfb::Decoder decoder(width, height);
  while (!bytes.empty()) {
    encoder.choose(bytes.pick(kEncodings));
    const uint32_t colors = 1 + bytes.below(64);
    uint32_t value = bytes.u32();
    for (uint32_t& pixel : picture.pixels) {
      value = value * 1664525 + 1013904223;
      pixel = (value >> 8) % colors * 0x10307 & 0xffffff;
    }
    std::vector<uint8_t> out{0, 0, 0, 0};
    out[3] = static_cast<uint8_t>(encoder.append(picture, {0, 0, width, height}, &out));
    decoder.update(out);
    CHECK(decoder.picture().pixels == picture.pixels);
  }
}

}  // namespace

void fuzz_rfb(std::span<const uint8_t> input) {
  FuzzBytes bytes(input);
  const uint8_t shape = bytes.u8();
  try {
    if ((shape & 7) == 7) return encode(bytes);
    Client client(shape);
    while (!bytes.empty() && !client.is_over()) client.act(bytes);
    client.leave();
  } catch (const std::exception&) {
    CHECK(false);  // the decoder did not understand it
  }
}

}  // namespace ringshift::fuzz
