// Listing: blocks of guest code and what they become, as text; runs none of it. Blocks are followed
// through direct branches and fall-through, breadth first. Owns: nothing.
// See docs/usage.md, "translate".
#pragma once

#include <cstdint>
#include <string>

#include "translator/code_source.h"
#include "translator/plan.h"

namespace ringshift {

struct TranslateRequest {
  uint32_t first_eip = 0;
  Privilege privilege = Privilege::Supervisor;
  AccessStyle style = AccessStyle::Window;
  uint32_t max_blocks = 0;
  uint32_t max_instructions = 0;  // over all blocks; 0: no limit
  PlanLimits limits;
  TranslatorFeatures features;
};

// The dumps of the blocks reached from request.first_eip, then a summary by treatment.
// False with one line in *error when there is no code at first_eip or no arena to be had.
[[nodiscard]] bool translate_blocks(const TranslateRequest& request, CodeSource& source,
                                    const SoftSites& soft_sites, std::string* text,
                                    std::string* error);

}  // namespace ringshift
