// Listing: blocks of guest code and their translations, as text; runs none of it. Blocks are
// followed through direct branches and fall-through, breadth first. See docs/usage.md, "translate".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "translator/code_source.h"
#include "translator/dump.h"
#include "translator/plan.h"

namespace ringshift {

struct TranslateRequest {
  Eip first_eip;
  Privilege privilege = Privilege::Supervisor;
  AccessStyle style = AccessStyle::Window;
  CodeMode mode;
  uint32_t max_blocks = 0;
  uint32_t max_instructions = 0;  // over all blocks; 0: no limit
  PlanLimits limits;
  TranslatorFeatures features;
};

// The blocks reached from request.first_eip, in the order they are found. False with one line in
// *error when there is no code at first_eip or no arena to be had.
[[nodiscard]] bool list_blocks(const TranslateRequest& request, CodeSource& source,
                               const SoftSites& soft_sites, std::vector<DumpedUnit>* blocks,
                               std::string* error);

// The dumps of the blocks reached from request.first_eip, then a summary by treatment.
// Fails as list_blocks does.
[[nodiscard]] bool translate_blocks(const TranslateRequest& request, CodeSource& source,
                                    const SoftSites& soft_sites, std::string* text,
                                    std::string* error);

}  // namespace ringshift
