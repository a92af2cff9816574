#include "devices/chips/coprocessor_error.h"

#include <utility>

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void CoprocessorError::raise() {
  is_raised_ = true;
  irq_.set_level(true);
}

// Any value acknowledges the error. Without a latched error IGNNE# stays as it is.
void CoprocessorError::write_byte(uint16_t, uint8_t) {
  irq_.set_level(false);
  if (!std::exchange(is_raised_, false)) return;
  is_ignored_ = true;
  if (on_ignored_) on_ignored_();
}

void CoprocessorError::visit_state(StateArchive& archive) {
  archive.field("is raised", is_raised_);
  archive.field("is ignored", is_ignored_);
}

}  // namespace ringshift
