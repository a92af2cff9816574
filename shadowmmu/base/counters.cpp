#include "shadowmmu/base/counters.h"

namespace ringshift {

Counters& counters() {
  static Counters block;
  return block;
}

}  // namespace ringshift
