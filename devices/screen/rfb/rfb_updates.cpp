// Session, second part: the parts of the screen that the client has not seen, and their way to it.
#include <algorithm>
#include <cstring>
#include <utility>

#include "devices/screen/rfb/rfb_session.h"

namespace ringshift::rfb {
namespace {

constexpr uint8_t kUpdate = 0, kSetColors = 1;

Rectangle common(const Rectangle& a, const Rectangle& b) {
  const uint32_t x = std::max(a.x, b.x), y = std::max(a.y, b.y);
  const uint32_t right = std::min(a.x + a.width, b.x + b.width);
  const uint32_t bottom = std::min(a.y + a.height, b.y + b.height);
  if (right <= x || bottom <= y) return {};
  return {x, y, right - x, bottom - y};
}

bool is_empty(const Rectangle& area) { return area.width == 0 || area.height == 0; }

bool contains(const Rectangle& outer, const Rectangle& inner) {
  const Rectangle both = common(outer, inner);
  return both.width == inner.width && both.height == inner.height;
}

}  // namespace

void Session::note_change(uint32_t x, uint32_t y) {
  if (x < columns_ && y < rows_) changed_[size_t{y} * columns_ + x] = true;
}

void Session::note_tiles() {
  const auto columns = static_cast<uint16_t>((width_ + kTile - 1) / kTile);
  const auto rows = static_cast<uint16_t>((height_ + kTile - 1) / kTile);
  if (columns != columns_ || rows != rows_) {
    columns_ = columns;
    rows_ = rows;
    all_changed_ = true;
  }
  if (!std::exchange(all_changed_, false)) return;
  changed_.assign(size_t{columns_} * rows_, true);
}

void Session::change_within(const Rectangle& area) {
  if (is_empty(area)) return;
  const uint32_t last_column = (area.x + area.width - 1) / kTile;
  const uint32_t last_row = (area.y + area.height - 1) / kTile;
  for (uint32_t y = area.y / kTile; y <= last_row && y < rows_; ++y) {
    for (uint32_t x = area.x / kTile; x <= last_column && x < columns_; ++x) note_change(x, y);
  }
}

const Picture& Session::fitted(const Picture& picture) {
  if (picture.width == width_ && picture.height == height_) return picture;
  fitted_.width = width_;
  fitted_.height = height_;
  fitted_.pixels.assign(size_t{width_} * height_, 0);
  const size_t count = std::min(picture.width, width_);
  for (size_t y = 0; y < std::min(picture.height, height_); ++y) {
    std::memcpy(fitted_.pixels.data() + y * width_, picture.pixels.data() + y * picture.width,
                count * sizeof(uint32_t));
  }
  return fitted_;
}

// The largest block of changed tiles with this one at its top left: first to the right, then down.
Rectangle Session::take_block(uint32_t column, uint32_t row) {
  const auto is_changed = [this](uint32_t x, uint32_t y) {
    return changed_[size_t{y} * columns_ + x];
  };
  uint32_t right = column;
  while (right < columns_ && is_changed(right, row)) ++right;
  uint32_t bottom = row;
  const auto is_row_changed = [&](uint32_t y) {
    for (uint32_t x = column; x < right; ++x) {
      if (!is_changed(x, y)) return false;
    }
    return true;
  };
  while (bottom < rows_ && is_row_changed(bottom)) {
    for (uint32_t x = column; x < right; ++x) changed_[size_t{bottom} * columns_ + x] = false;
    ++bottom;
  }
  return {column * kTile, row * kTile, (right - column) * kTile, (bottom - row) * kTile};
}

// Takes the changes that lie within the rectangle; a change that does not lie there wholly stays
// noted.
std::vector<Rectangle> Session::take_changes(const Rectangle& within) {
  const Rectangle screen{0, 0, width_, height_};
  std::vector<Rectangle> areas;
  std::vector<Rectangle> kept;
  for (uint32_t row = 0; row < rows_; ++row) {
    for (uint32_t column = 0; column < columns_; ++column) {
      if (!changed_[size_t{row} * columns_ + column]) continue;
      const Rectangle visible = common(take_block(column, row), screen);
      const Rectangle area = common(visible, within);
      if (!contains(within, visible)) kept.push_back(visible);
      if (!is_empty(area)) areas.push_back(area);
    }
  }
  for (const Rectangle& area : kept) change_within(area);
  return areas;
}

// A dot of three by three pixels, white around black: where the client's own pointer is, while the
// guest draws its pointer itself.
void Session::append_cursor() {
  constexpr uint32_t kSize = 3;
  append_header({1, 1, kSize, kSize}, kCursor, &output_);
  for (uint32_t i = 0; i < kSize * kSize; ++i) {
    encoder_.pixels().append(i == kSize * kSize / 2 ? 0 : 0xffffff, &output_);
  }
  output_.insert(output_.end(), kSize, 0xe0);
}

// The colour map that a client without true colour is to use: PixelConverter's.
void Session::append_colors() {
  constexpr uint32_t kCount = 256, kLargest = 0xffff;
  output_.push_back(kSetColors);
  output_.push_back(0);
  append_u16(0, &output_);
  append_u16(kCount, &output_);
  for (uint32_t i = 0; i < kCount; ++i) {
    append_u16((i >> 5) * kLargest / 7, &output_);
    append_u16((i >> 2 & 7) * kLargest / 7, &output_);
    append_u16((i & 3) * kLargest / 3, &output_);
  }
}

// Rectangles that answer the client's abilities.
unsigned Session::append_owed() {
  unsigned count = 0;
  if (std::exchange(owes_scan_codes_, false)) {
    append_header({0, 0, width_, height_}, kScanCodes, &output_);
    ++count;
  }
  if (std::exchange(owes_move_, false)) {
    moves_relatively_ = true;
    append_header({0, 0, width_, height_}, kRelativePointer, &output_);
    ++count;
  }
  if (std::exchange(owes_cursor_, false)) {
    append_cursor();
    ++count;
  }
  return count;
}

void Session::update(const Picture& picture) {
  if (step_ == Step::Screen) {
    tell_size(picture);
    return process();
  }
  note_tiles();
  if (owes_colors_) append_colors();
  owes_colors_ = false;
  const size_t begin = output_.size();
  constexpr size_t kCountAt = 2;
  output_.push_back(kUpdate);
  output_.push_back(0);
  append_u16(0, &output_);
  unsigned count = append_owed();
  if (can_resize_ && (picture.width != width_ || picture.height != height_)) {
    width_ = picture.width;
    height_ = picture.height;
    append_header({0, 0, width_, height_}, kDesktopSize, &output_);
    all_changed_ = true;
    ++count;
  } else {
    const Picture& known = fitted(picture);
    const Rectangle within = common(*request_, {0, 0, width_, height_});
    for (const Rectangle& area : take_changes(within)) {
      count += encoder_.append(known, area, &output_);
    }
  }
  if (count == 0) return output_.resize(begin);  // it goes on waiting
  output_[begin + kCountAt] = static_cast<uint8_t>(count >> 8);
  output_[begin + kCountAt + 1] = static_cast<uint8_t>(count);
  request_.reset();
}

}  // namespace ringshift::rfb
