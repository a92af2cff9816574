#include "monitor/command/near_word.h"

#include <algorithm>
#include <numeric>

namespace ringshift {

size_t letters_apart(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

std::string near_word(const std::string& typed, const std::vector<std::string>& words) {
  constexpr size_t kShortest = 3, kLongest = 40, kLong = 6;
  if (typed.size() < kShortest || typed.size() > kLongest) return "";
  size_t best = typed.size() < kLong ? 2 : 3;
  std::string nearest;
  for (const std::string& word : words) {
    const size_t far = letters_apart(typed, word);
    if (far >= best) continue;
    best = far;
    nearest = word;
  }
  return nearest;
}

}  // namespace ringshift
