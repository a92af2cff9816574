// Plan: key -> TranslationUnit: decides which guest instructions are translated together, and the
// treatment of each. A unit is a path: it goes on past calls, conditional jumps that are not taken
// and along direct jumps, and is cut at the page end and at the instruction limit. One instruction
// that crosses a page is a unit by itself. See docs/translator.md.
#pragma once

#include <cstdint>

#include "translator/classify.h"
#include "translator/code_source.h"
#include "translator/translation_unit.h"

namespace ringshift {

struct PlanLimits {
  uint32_t max_instructions = 32;
};

// Fills *unit (reusing its storage). A unit is never empty: bytes that cannot be fetched or decoded
// become one Interpret instruction, so that the interpreter raises the processor's fault.
void plan(const TranslationKey& key, CodeSource& source, const SoftSites& soft_sites,
          const TranslatorFeatures& features, const PlanLimits& limits, TranslationUnit* unit);

}  // namespace ringshift
