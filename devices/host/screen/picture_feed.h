// PictureFeed: the screen of a machine as pictures, for a server's thread: asks for it while
// somebody looks, draws it when it has changed, says where. Owns: the last picture. Does not own:
// the port. Nothing is asked, copied or drawn while nobody looks. See docs/screen.md.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "devices/host/screen/screen_port.h"
#include "devices/screen/rfb/rfb_pixels.h"
#include "devices/screen/screen_content.h"

namespace ringshift {

class PictureFeed {
 public:
  using Clock = std::chrono::steady_clock;
  // Side of the squares that are compared, in pixels.
  static constexpr uint32_t kTile = 32;

  explicit PictureFeed(ScreenPort& port) : port_(port) {}

  // Asks for the screen if it is time to: at most 25 times a second. Returns how many milliseconds
  // it may be until the next call.
  [[nodiscard]] int ask(Clock::time_point now);
  // Takes the screen if it has come. False: it has not. Otherwise picture() is the new one;
  // on_resize or, tile by tile, on_change have reported the changes.
  [[nodiscard]] bool take(const std::function<void()>& on_resize,
                          const std::function<void(uint32_t column, uint32_t row)>& on_change);
  [[nodiscard]] const rfb::Picture& picture() const { return picture_; }

 private:
  [[nodiscard]] bool is_same(const rfb::Picture& other, uint32_t column, uint32_t row) const;

  ScreenPort& port_;
  ScreenContent came_, drawn_;
  rfb::Picture picture_;
  bool has_asked_ = false;
  Clock::time_point asked_at_;
};

}  // namespace ringshift
