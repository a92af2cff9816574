#include "devices/host/screen/picture_feed.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/screen/screen_image.h"

namespace ringshift {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kBetweenPictures{40};
// A machine that begins again may have lost the question.
constexpr milliseconds kUntilAskedAgain{1000};

rfb::Picture draw(const ScreenContent& content) {
  const ScreenImage image = draw_screen(content);
  rfb::Picture picture;
  picture.width = static_cast<uint16_t>(image.width);
  picture.height = static_cast<uint16_t>(image.height);
  picture.pixels.resize(size_t{image.width} * image.height);
  const uint8_t* from = image.rgb.data();
  for (uint32_t& pixel : picture.pixels) {
    pixel = uint32_t{from[0]} << 16 | uint32_t{from[1]} << 8 | from[2];
    from += 3;
  }
  return picture;
}

}  // namespace

int PictureFeed::ask(Clock::time_point now) {
  const milliseconds pause = has_asked_ ? kUntilAskedAgain : kBetweenPictures;
  const Clock::time_point next = asked_at_ + pause;
  if (now < next) {
    return static_cast<int>(std::chrono::ceil<milliseconds>(next - now).count());
  }
  has_asked_ = true;
  asked_at_ = now;
  port_.ask();
  return static_cast<int>(kUntilAskedAgain.count());
}

bool PictureFeed::is_same(const rfb::Picture& other, uint32_t column, uint32_t row) const {
  const uint32_t x = column * kTile, y = row * kTile;
  const size_t bytes = std::min<size_t>(kTile, picture_.width - x) * sizeof(uint32_t);
  for (uint32_t line = y; line < std::min<uint32_t>(y + kTile, picture_.height); ++line) {
    const size_t at = size_t{line} * picture_.width + x;
    if (std::memcmp(picture_.pixels.data() + at, other.pixels.data() + at, bytes) != 0) {
      return false;
    }
  }
  return true;
}

bool PictureFeed::take(const std::function<void()>& on_resize,
                       const std::function<void(uint32_t, uint32_t)>& on_change) {
  if (!port_.take(&came_)) return false;
  has_asked_ = false;
  if (came_ == drawn_) return true;
  std::swap(came_, drawn_);
  const rfb::Picture before = std::exchange(picture_, draw(drawn_));
  if (before.width != picture_.width || before.height != picture_.height) {
    on_resize();
    return true;
  }
  for (uint32_t row = 0; row * kTile < picture_.height; ++row) {
    for (uint32_t column = 0; column * kTile < picture_.width; ++column) {
      if (!is_same(before, column, row)) on_change(column, row);
    }
  }
  return true;
}

}  // namespace ringshift
