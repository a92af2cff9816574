// RfbSession: one client of the VNC server, as bytes in and bytes out: handshake, requests, the
// changes of the screen that the client has not seen. Owns: that, all of it bounded whatever the
// client sends. Does not own: the socket, the picture. See docs/screen.md; RFC 6143; the registry
// of the RFB protocol for QEMU's key and pointer messages.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "devices/input/key_translator.h"
#include "devices/input/ps2_mouse.h"
#include "devices/screen/rfb/rfb_encoder.h"
#include "devices/screen/rfb/rfb_pixels.h"

namespace ringshift::rfb {

inline constexpr size_t kChallengeBytes = 16, kMostPassword = 8;
// "Encodings" that are none, but tell of a client's abilities.
inline constexpr int32_t kDesktopSize = -223, kCursor = -239, kRelativePointer = -257;
inline constexpr int32_t kScanCodes = -258;

struct SessionConfig {
  std::string name;      // of the desktop
  std::string password;  // empty: none is asked for
  std::array<uint8_t, kChallengeBytes> challenge{};
  KeyTranslator::Sink on_keys;
  std::function<void(const MouseMotion&)> on_motion;
};

// The answer that a client must give to a challenge (RFC 6143, section 7.2.2): DES by the password,
// the bits of each byte the other way round.
[[nodiscard]] std::array<uint8_t, kChallengeBytes> answer_to(
    std::span<const uint8_t, kChallengeBytes> challenge, const std::string& password);

class Session {
 public:
  // Side of the squares in which changes are noted, in pixels.
  static constexpr uint32_t kTile = 32;

  explicit Session(SessionConfig config);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void receive(std::span<const uint8_t> bytes);
  // True: the client has ended, or broken the protocol. Close once output() is empty or nobody
  // takes it.
  [[nodiscard]] bool is_over() const { return step_ == Step::Over; }
  [[nodiscard]] bool failed_to_authenticate() const { return failed_; }
  // Bytes for it are of use now; otherwise they wait with the host.
  [[nodiscard]] bool reads() const { return step_ != Step::Over && step_ != Step::Screen; }
  // The handshake is done.
  [[nodiscard]] bool is_running() const { return step_ >= Step::Message && step_ != Step::Over; }
  // True: the client wants the screen, and has taken all that it was sent.
  [[nodiscard]] bool waits_for_screen() const;
  // The bytes to be sent; the sender takes them from the front.
  [[nodiscard]] std::vector<uint8_t>& output() { return output_; }
  // Keys it holds are let go.
  void leave() { keys_.release_all(); }

  // The tile in column x, line y has changed.
  void note_change(uint32_t x, uint32_t y);
  void note_all_changed() { all_changed_ = true; }
  // Answers the client's request, if there is something new. Pre: waits_for_screen().
  void update(const Picture& picture);

 private:
  enum class Step : uint8_t {
    Version,
    SecurityType,
    Answer,
    Initialization,
    Screen,  // it is to be told the size, which update() brings
    Message,
    Encodings,  // left_ of them
    Skip,       // left_ bytes
    Over,
  };
  void process();
  // How many bytes the next step takes, as far as those that are there tell.
  [[nodiscard]] size_t needed(std::span<const uint8_t> bytes) const;
  void take(std::span<const uint8_t> bytes);
  void take_version(std::span<const uint8_t> bytes);
  void offer_security();
  void choose_security(uint8_t type);
  void challenge();
  void take_answer(std::span<const uint8_t> bytes);
  void accept();
  void refuse(const char* why);
  void tell_size(const Picture& picture);
  void take_message(std::span<const uint8_t> bytes);
  void take_format(std::span<const uint8_t> bytes);
  void begin_encodings(uint32_t count);
  void take_encoding(int32_t encoding);
  void take_request(std::span<const uint8_t> bytes);
  void take_pointer(std::span<const uint8_t> bytes);
  void take_scan_code(std::span<const uint8_t> bytes);
  void end() { step_ = Step::Over; }

  // The picture in the size that the client knows.
  [[nodiscard]] const Picture& fitted(const Picture& picture);
  void note_tiles();
  void change_within(const Rectangle& area);
  [[nodiscard]] std::vector<Rectangle> take_changes(const Rectangle& within);
  [[nodiscard]] Rectangle take_block(uint32_t column, uint32_t row);
  [[nodiscard]] unsigned append_owed();
  void append_cursor();
  void append_colors();

  SessionConfig config_;
  KeyTranslator keys_;
  Encoder encoder_;
  Step step_ = Step::Version;
  unsigned minor_version_ = 8;  // 3, 7 or 8
  bool failed_ = false;
  std::vector<uint8_t> input_;  // the beginning of a message
  uint32_t left_ = 0;
  std::vector<uint8_t> output_;
  // The client's abilities.
  bool has_chosen_encoding_ = false, can_resize_ = false;
  bool owes_cursor_ = false, owes_move_ = false, owes_scan_codes_ = false;
  bool owes_colors_ = false;  // of a colour map
  // The update that the client waits for, and the changes that it has not seen.
  std::optional<Rectangle> request_;
  uint16_t width_ = 0, height_ = 0;  // of the screen as it knows it; 0: it was not told yet
  uint16_t columns_ = 0, rows_ = 0;  // tiles
  std::vector<bool> changed_;
  bool all_changed_ = true;
  Picture fitted_;  // room for a screen that has another size than the client knows
  // The pointer as it was.
  bool moves_relatively_ = false;
  std::optional<std::array<int, 2>> pointer_;
  uint8_t buttons_ = 0;
};

}  // namespace ringshift::rfb
