#include "monitor/lab/parts/treemap.h"

#include <algorithm>
#include <numeric>

namespace ringshift::lab {
namespace {

// How far the worst part of a row is from a square: 1 is one. `side`: the row lies along it.
double worst_shape(double largest, double smallest, double sum, double side) {
  const double square = side * side, area = sum * sum;
  return std::max(square * largest / area, area / (square * smallest));
}

// As many weights as make a good row along the shorter side.
size_t row_length(std::span<const double> areas, double side) {
  double sum = areas.front();
  double worst = worst_shape(areas.front(), areas.front(), sum, side);
  size_t count = 1;
  for (; count < areas.size(); ++count) {
    const double next = worst_shape(areas.front(), areas[count], sum + areas[count], side);
    if (next > worst) break;
    sum += areas[count];
    worst = next;
  }
  return count;
}

// Takes the row's part off `rest`.
void lay_row(std::span<const double> row, Box* rest, std::vector<Box>* out) {
  const double sum = std::accumulate(row.begin(), row.end(), 0.0);
  const bool is_column = rest->width >= rest->height;
  const double side = is_column ? rest->height : rest->width;
  const double depth = sum / side;
  double at = 0;
  for (const double area : row) {
    const double length = area / depth;
    out->push_back(is_column ? Box{rest->x, rest->y + at, depth, length}
                             : Box{rest->x + at, rest->y, length, depth});
    at += length;
  }
  (is_column ? rest->x : rest->y) += depth;
  double& extent = is_column ? rest->width : rest->height;
  extent = std::max(0.0, extent - depth);
}

}  // namespace

std::vector<Box> share_out(const Box& area, std::span<const double> weights) {
  std::vector<Box> out;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum <= 0 || area.width <= 0 || area.height <= 0) {
    return std::vector<Box>(weights.size(), Box{area.x, area.y, 0, 0});
  }
  std::vector<double> areas;
  for (const double weight : weights) areas.push_back(weight * area.width * area.height / sum);
  Box rest = area;
  std::span<const double> left = areas;
  while (!left.empty()) {
    const double side = std::min(rest.width, rest.height);
    if (side <= 0) {  // the remainder of rounding
      out.push_back({rest.x, rest.y, 0, 0});
      left = left.subspan(1);
      continue;
    }
    const size_t count = row_length(left, side);
    lay_row(left.first(count), &rest, &out);
    left = left.subspan(count);
  }
  return out;
}

}  // namespace ringshift::lab
