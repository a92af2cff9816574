#include "devices/storage/ide_drive.h"

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void IdeRegisters::visit_state(StateArchive& archive) {
  archive.field("error", error);
  archive.numbers("features", features);
  archive.numbers("count", count);
  archive.numbers("low", low);
  archive.numbers("mid", mid);
  archive.numbers("high", high);
  archive.field("device", device);
  archive.field("status", status);
}

}  // namespace ringshift
