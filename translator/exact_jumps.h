// Exact jumps: how code that is translated for one view finds the destinations of its indirect
// branches, in a table with an entry for each EIP. Owns: constants only. See docs/translator.md,
// "The jump table".
#pragma once

#include <cstdint>

#include "translator/translation_unit.h"

namespace ringshift {

// The exact table's address is stored at this place, in bytes from the view's jump table.
inline constexpr int32_t kExactJumpsFromTable = -8;

[[nodiscard]] inline bool jumps_exactly(const TranslationKey& key) {
  return key.privilege == Privilege::User && key.view != 0 && key.mode.is_flat();
}

}  // namespace ringshift
