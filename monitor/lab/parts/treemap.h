// Treemap: a rectangle shared out by weight, in parts as near to squares as they come. See M.
// Bruls, K. Huizing and J. van Wijk, Squarified Treemaps, 2000, and docs/lab.md.
#pragma once

#include <span>
#include <vector>

#include "monitor/lab/parts/drawing.h"

namespace ringshift::lab {

// A box for each weight, in their order; the areas are as the weights. Weights are above 0, the
// largest first.
[[nodiscard]] std::vector<Box> share_out(const Box& area, std::span<const double> weights);

}  // namespace ringshift::lab
