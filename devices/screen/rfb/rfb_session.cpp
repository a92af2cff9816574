#include "devices/screen/rfb/rfb_session.h"

#include <nettle/des.h>
#include <nettle/memops.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace ringshift::rfb {
namespace {

constexpr std::string_view kVersion = "RFB 003.008\n";
constexpr uint8_t kNone = 1, kVncAuthentication = 2;
// Longer texts of a client's clipboard are no text.
constexpr uint32_t kLongestText = 1U << 20;

// Client messages, and the bytes of each that are needed before it can be taken.
constexpr uint8_t kSetFormat = 0, kSetEncodings = 2, kRequest = 3, kKey = 4, kPointer = 5;
constexpr uint8_t kText = 6, kQemu = 255, kQemuKey = 0;

uint32_t u16_at(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint32_t>(bytes[at] << 8 | bytes[at + 1]);
}

uint32_t u32_at(std::span<const uint8_t> bytes, size_t at) {
  return u16_at(bytes, at) << 16 | u16_at(bytes, at + 2);
}

void append_text(std::string_view text, std::vector<uint8_t>* out) {
  append_u32(static_cast<uint32_t>(text.size()), out);
  out->insert(out->end(), text.begin(), text.end());
}

uint8_t reversed(uint8_t byte) {
  unsigned result = 0;
  for (unsigned i = 0; i < 8; ++i) result |= (byte >> i & 1U) << (7 - i);
  return static_cast<uint8_t>(result);
}

KeyTranslator::Change change_of(uint32_t down) {
  return down != 0 ? KeyTranslator::Change::Press : KeyTranslator::Change::Release;
}

}  // namespace

std::array<uint8_t, kChallengeBytes> answer_to(std::span<const uint8_t, kChallengeBytes> challenge,
                                               const std::string& password) {
  std::array<uint8_t, DES_KEY_SIZE> key{};
  for (size_t i = 0; i < std::min(password.size(), key.size()); ++i) {
    key[i] = reversed(static_cast<uint8_t>(password[i]));
  }
  des_ctx context;
  (void)des_set_key(&context, key.data());  // whether it is a weak one is not ours to say
  std::array<uint8_t, kChallengeBytes> answer{};
  des_encrypt(&context, answer.size(), answer.data(), challenge.data());
  return answer;
}

Session::Session(SessionConfig config) : config_(std::move(config)), keys_(config_.on_keys) {
  output_.assign(kVersion.begin(), kVersion.end());
}

bool Session::waits_for_screen() const {
  return output_.empty() && (step_ == Step::Screen || (is_running() && request_.has_value()));
}

void Session::receive(std::span<const uint8_t> bytes) {
  if (step_ == Step::Over) return;
  input_.insert(input_.end(), bytes.begin(), bytes.end());
  process();
}

void Session::process() {
  const std::span<const uint8_t> all(input_);
  size_t at = 0;
  while (step_ != Step::Over && step_ != Step::Screen) {
    const std::span<const uint8_t> rest = all.subspan(at);
    if (step_ == Step::Skip) {
      const size_t count = std::min<size_t>(left_, rest.size());
      at += count;
      left_ -= static_cast<uint32_t>(count);
      if (left_ != 0) break;
      step_ = Step::Message;
      continue;
    }
    const size_t count = needed(rest);
    if (rest.size() < count) break;
    take(rest.first(count));
    at += count;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(at));
}

size_t Session::needed(std::span<const uint8_t> bytes) const {
  switch (step_) {
    case Step::Version:
      return kVersion.size();
    case Step::Answer:
      return kChallengeBytes;
    case Step::Encodings:
      return 4;
    case Step::Message:
      break;
    default:
      return 1;
  }
  if (bytes.empty()) return 1;
  switch (bytes[0]) {
    case kSetFormat:
      return 4 + kPixelFormatBytes;
    case kSetEncodings:
      return 4;
    case kRequest:
      return 10;
    case kKey:
    case kText:
      return 8;
    case kPointer:
      return 6;
    case kQemu:
      return 12;
    default:
      return 1;
  }
}

void Session::take(std::span<const uint8_t> bytes) {
  switch (step_) {
    case Step::Version:
      return take_version(bytes);
    case Step::SecurityType:
      return choose_security(bytes[0]);
    case Step::Answer:
      return take_answer(bytes);
    case Step::Initialization:
      step_ = Step::Screen;  // whether it would share the screen: it does
      return;
    case Step::Message:
      return take_message(bytes);
    case Step::Encodings:
      take_encoding(static_cast<int32_t>(u32_at(bytes, 0)));
      if (--left_ == 0) step_ = Step::Message;
      return;
    default:
      return end();
  }
}

// ---- handshake ----

// "RFB xxx.yyy\n"; unknown versions before 3.7 are taken for 3.3 (RFC 6143, section 7.1.1).
void Session::take_version(std::span<const uint8_t> bytes) {
  constexpr size_t kMinorAt = 8, kDigits = 3;
  const bool has_form = std::equal(bytes.begin(), bytes.begin() + 4, kVersion.begin()) &&
                        bytes[7] == '.' && bytes[11] == '\n' &&
                        std::all_of(bytes.begin() + kMinorAt, bytes.begin() + kMinorAt + kDigits,
                                    [](uint8_t digit) { return digit >= '0' && digit <= '9'; });
  if (!has_form) return end();
  unsigned minor = 0;
  for (size_t i = 0; i < kDigits; ++i) minor = minor * 10 + (bytes[kMinorAt + i] - '0');
  minor_version_ = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
  offer_security();
}

void Session::offer_security() {
  const uint8_t type = config_.password.empty() ? kNone : kVncAuthentication;
  if (minor_version_ >= 7) {
    output_.push_back(1);
    output_.push_back(type);
    step_ = Step::SecurityType;
    return;
  }
  append_u32(type, &output_);
  if (type == kNone) {
    step_ = Step::Initialization;
  } else {
    challenge();
  }
}

void Session::choose_security(uint8_t type) {
  if (type != (config_.password.empty() ? kNone : kVncAuthentication)) {
    return refuse("no such security type was offered");
  }
  if (type == kVncAuthentication) return challenge();
  if (minor_version_ >= 8) return accept();
  step_ = Step::Initialization;
}

void Session::challenge() {
  output_.insert(output_.end(), config_.challenge.begin(), config_.challenge.end());
  step_ = Step::Answer;
}

void Session::take_answer(std::span<const uint8_t> bytes) {
  const auto expected = answer_to(config_.challenge, config_.password);
  if (memeql_sec(bytes.data(), expected.data(), expected.size()) != 0) return accept();
  failed_ = true;
  refuse("the password is another one");
}

void Session::accept() {
  append_u32(0, &output_);
  step_ = Step::Initialization;
}

void Session::refuse(const char* why) {
  append_u32(1, &output_);
  if (minor_version_ >= 8) append_text(why, &output_);
  end();
}

void Session::tell_size(const Picture& picture) {
  width_ = picture.width;
  height_ = picture.height;
  append_u16(width_, &output_);
  append_u16(height_, &output_);
  append_pixel_format({}, &output_);
  append_text(config_.name, &output_);
  step_ = Step::Message;
}

// ---- messages ----

void Session::take_message(std::span<const uint8_t> bytes) {
  switch (bytes[0]) {
    case kSetFormat:
      return take_format(bytes.subspan(4));
    case kSetEncodings:
      return begin_encodings(u16_at(bytes, 2));
    case kRequest:
      return take_request(bytes);
    case kKey:
      return keys_.symbol(u32_at(bytes, 4), change_of(bytes[1]));
    case kPointer:
      return take_pointer(bytes);
    case kText:
      // The guest has no clipboard.
      left_ = u32_at(bytes, 4);
      if (left_ > kLongestText) return end();
      step_ = Step::Skip;
      return;
    case kQemu:
      return take_scan_code(bytes);
    default:
      return end();
  }
}

void Session::take_format(std::span<const uint8_t> bytes) {
  const PixelFormat format = parse_pixel_format(bytes.first<kPixelFormatBytes>());
  if (!encoder_.set_format(format)) return end();
  owes_colors_ = !format.true_color;
  all_changed_ = true;
}

void Session::begin_encodings(uint32_t count) {
  has_chosen_encoding_ = can_resize_ = false;
  encoder_.choose(Encoding::Raw);
  left_ = count;
  if (count != 0) step_ = Step::Encodings;
}

// The first that we have is the one it likes best.
void Session::take_encoding(int32_t encoding) {
  switch (encoding) {
    case static_cast<int32_t>(Encoding::Raw):
    case static_cast<int32_t>(Encoding::Hextile):
    case static_cast<int32_t>(Encoding::Zlib):
    case static_cast<int32_t>(Encoding::Tight):
      if (!std::exchange(has_chosen_encoding_, true)) {
        encoder_.choose(static_cast<Encoding>(encoding));
      }
      return;
    case kDesktopSize:
      can_resize_ = true;
      return;
    case kCursor:
      owes_cursor_ = true;
      return;
    case kRelativePointer:
      owes_move_ = true;
      return;
    case kScanCodes:
      owes_scan_codes_ = true;
      return;
    default:
      return;
  }
}

void Session::take_request(std::span<const uint8_t> bytes) {
  const Rectangle area{u16_at(bytes, 2), u16_at(bytes, 4), u16_at(bytes, 6), u16_at(bytes, 8)};
  if (bytes[1] == 0) change_within(area);
  if (!request_) {
    request_ = area;
    return;
  }
  const uint32_t right = std::max(request_->x + request_->width, area.x + area.width);
  const uint32_t bottom = std::max(request_->y + request_->height, area.y + area.height);
  request_->x = std::min(request_->x, area.x);
  request_->y = std::min(request_->y, area.y);
  request_->width = right - request_->x;
  request_->height = bottom - request_->y;
}

void Session::take_scan_code(std::span<const uint8_t> bytes) {
  if (bytes[1] != kQemuKey) return end();
  const uint32_t symbol = u32_at(bytes, 4), code = u32_at(bytes, 8);
  const KeyTranslator::Change change = change_of(u16_at(bytes, 2));
  if (code != 0) {
    keys_.scan_code(code, change);
  } else {
    keys_.symbol(symbol, change);
  }
}

// The guest's mouse tells movements. So the first place is where the pointer is, and each later one
// a movement from the one before; a client that can tells movements itself, around 7fff.
void Session::take_pointer(std::span<const uint8_t> bytes) {
  constexpr int kCenter = 0x7fff;
  constexpr uint8_t kWheelUp = 0x08, kWheelDown = 0x10;
  const std::array<int, 2> at{static_cast<int>(u16_at(bytes, 2)),
                              static_cast<int>(u16_at(bytes, 4))};
  const std::array<int, 2> from =
      moves_relatively_ ? std::array<int, 2>{kCenter, kCenter} : pointer_.value_or(at);
  pointer_ = at;
  const uint8_t mask = bytes[1];
  const auto newly_pressed = static_cast<uint8_t>(mask & ~std::exchange(buttons_, mask));
  MouseMotion motion{.right = at[0] - from[0], .up = from[1] - at[1]};
  if ((newly_pressed & kWheelUp) != 0) motion.wheel = -1;
  if ((newly_pressed & kWheelDown) != 0) motion.wheel = 1;
  // Left, middle, right here; left, right, middle there.
  motion.buttons = static_cast<uint8_t>((mask & 1) | (mask >> 1 & 2) | (mask << 1 & 4));
  config_.on_motion(motion);
}

}  // namespace ringshift::rfb
