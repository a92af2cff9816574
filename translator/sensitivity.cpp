#include "translator/sensitivity.h"

namespace ringshift {

Sensitivity sensitivity_of(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
#define SENSITIVITY(name, concern, deprived) \
  case ZYDIS_MNEMONIC_##name:                \
    return {Concern::concern, Deprived::deprived};
#include "translator/sensitivity.def"
#undef SENSITIVITY
    default:
      return {};
  }
}

}  // namespace ringshift
