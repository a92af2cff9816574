#include "devices/chips/port92.h"

#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {
namespace {

constexpr uint8_t kFastReset = 0x01;
constexpr uint8_t kA20 = 0x02;

}  // namespace

Port92::Port92(A20Gate& a20, std::function<void()> on_reset)
    : a20_(a20), on_reset_(std::move(on_reset)) {}

uint8_t Port92::read_byte(uint16_t) {
  return static_cast<uint8_t>((value_ & ~kA20) | (a20_.enabled() ? kA20 : 0));
}

void Port92::write_byte(uint16_t, uint8_t value) {
  const bool reset = (value & ~value_ & kFastReset) != 0;  // only a change from 0 to 1 resets
  value_ = value;
  a20_.set((value & kA20) != 0);
  if (reset && on_reset_) on_reset_();
}

void Port92::visit_state(StateArchive& archive) { archive.field("value", value_); }

}  // namespace ringshift
