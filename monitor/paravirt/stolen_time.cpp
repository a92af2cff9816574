#include "monitor/paravirt/stolen_time.h"

#include "shadowmmu/base/state_archive.h"

namespace ringshift {

void StolenTime::visit_state(StateArchive& archive) {
  archive.field("stolen", stolen_);
  if (archive.has_loaded()) begin();
}

}  // namespace ringshift
