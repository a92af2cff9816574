// Treemaps: areas are as the weights, and boxes lie beside each other.
#include "monitor/lab/parts/treemap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace ringshift::lab {
namespace {

constexpr Box kArea{10, 20, 400, 300};
constexpr double kSlack = 1e-6;

double area(const Box& box) { return box.width * box.height; }

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  return width <= 0 || height <= 0 ? 0 : width * height;
}

void check(const std::vector<double>& weights) {
  const std::vector<Box> boxes = share_out(kArea, weights);
  ASSERT_EQ(boxes.size(), weights.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < boxes.size(); ++i) {
    EXPECT_NEAR(area(boxes[i]), weights[i] / sum * area(kArea), kSlack * area(kArea));
    EXPECT_GE(boxes[i].x, kArea.x - kSlack);
    EXPECT_GE(boxes[i].y, kArea.y - kSlack);
    EXPECT_LE(boxes[i].x + boxes[i].width, kArea.x + kArea.width + kSlack);
    EXPECT_LE(boxes[i].y + boxes[i].height, kArea.y + kArea.height + kSlack);
    for (size_t j = 0; j < i; ++j) EXPECT_LT(overlap(boxes[i], boxes[j]), 1e-3);
  }
}

TEST(Treemap, SharesTheWholeAreaOut) {
  check({1});
  check({6, 6, 4, 3, 2, 2, 1});
  check(std::vector<double>(50, 1));
  check({1e6, 3, 2, 1, 1, 1});
}

TEST(Treemap, ComesNearToSquares) {
  for (const Box& box : share_out({0, 0, 600, 400}, std::vector<double>{6, 6, 4, 3, 2, 2, 1})) {
    EXPECT_LT(std::max(box.width / box.height, box.height / box.width), 3.1);
  }
}

TEST(Treemap, OfNothingIsNothing) {
  EXPECT_TRUE(share_out(kArea, {}).empty());
  EXPECT_EQ(area(share_out({0, 0, 0, 10}, std::vector<double>{1}).front()), 0);
}

}  // namespace
}  // namespace ringshift::lab
