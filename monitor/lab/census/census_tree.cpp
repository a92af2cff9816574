// The census as areas: sections, treatments, instructions.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "monitor/lab/census/census.h"
#include "monitor/lab/parts/treemap.h"

namespace ringshift::lab {
namespace {

constexpr double kWidth = 1000, kHeight = 620, kTop = 66, kHeading = 20;
constexpr size_t kSectionsDrawn = 6, kLeavesDrawn = 24;

using Counts = std::vector<std::pair<std::string, uint64_t>>;

// Treatments as everywhere in the laboratory; those that leave translated code have a border.
struct Look {
  const char* fill;
  const char* stroke;
};
constexpr std::array<Look, kTreatments> kLooks = {{{"goodfill", "line"},
                                                   {"reads", "line"},
                                                   {"writes", "line"},
                                                   {"held", "line"},
                                                   {"warnfill", "line"},
                                                   {"badfill", "line"},
                                                   {"badfill", "bad"}}};

const Look& look_of(size_t treatment) { return kLooks[treatment]; }
const char* name_of(size_t treatment) { return treatment_name(static_cast<Treatment>(treatment)); }
bool needs_hand(size_t treatment) { return treatment >= static_cast<size_t>(Treatment::Inline); }

uint64_t sum_of(const std::map<std::string, uint64_t>& names) {
  return std::accumulate(names.begin(), names.end(), uint64_t{0},
                         [](uint64_t sum, const auto& entry) { return sum + entry.second; });
}

uint64_t sum_of(const CensusSection& section) {
  uint64_t sum = 0;
  for (const auto& names : section.instructions) sum += sum_of(names);
  return sum;
}

// A box with its contents.
struct Leaf {
  std::string name;
  uint64_t count = 0;
  size_t treatment = 0;
};
struct Branch {
  std::string name, target;  // of a link; may be empty
  std::vector<Leaf> leaves;  // the largest first
  [[nodiscard]] uint64_t count() const {
    return std::accumulate(leaves.begin(), leaves.end(), uint64_t{0},
                           [](uint64_t sum, const Leaf& leaf) { return sum + leaf.count; });
  }
};

// The largest first; the small ones become one.
void arrange(std::vector<Leaf>* leaves) {
  std::stable_sort(leaves->begin(), leaves->end(),
                   [](const Leaf& left, const Leaf& right) { return left.count > right.count; });
  if (leaves->size() <= kLeavesDrawn) return;
  Leaf others{fmt::format("{} others", leaves->size() - kLeavesDrawn), 0, leaves->back().treatment};
  for (size_t i = kLeavesDrawn; i < leaves->size(); ++i) others.count += (*leaves)[i].count;
  leaves->resize(kLeavesDrawn);
  leaves->push_back(others);
}

void arrange(std::vector<Branch>* branches) {
  std::erase_if(*branches, [](const Branch& branch) { return branch.leaves.empty(); });
  std::stable_sort(branches->begin(), branches->end(), [](const Branch& left, const Branch& right) {
    return left.count() > right.count();
  });
}

std::string share_text(uint64_t part, uint64_t whole) {
  return fmt::format("{:.2f}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

// As much of it as there is room for; nothing rather than a letter or two.
std::string fitted(const std::string& text, double width, double size) {
  const auto room = static_cast<size_t>(std::max(0.0, (width - 8) / (0.61 * size)));
  if (text.size() <= room) return text;
  const size_t space = text.rfind(' ', room);
  return space == std::string::npos || space < 3 ? "" : text.substr(0, space);
}

void draw_leaf(const Leaf& leaf, const Box& box, uint64_t whole, Drawing* out) {
  const Look& look = look_of(leaf.treatment);
  out->box(box, look.fill, look.stroke, 0,
           fmt::format("{} ({}): {}, {}", leaf.name, name_of(leaf.treatment), leaf.count,
                       share_text(leaf.count, whole)));
  constexpr double kSize = 13, kLine = 17;
  if (box.height < kLine) return;
  const std::string name = fitted(leaf.name, box.width, kSize);
  if (name.empty()) return;
  out->text(box.x + 4, box.y + kLine - 3, name, "ink", kSize);
  const std::string number =
      fitted(fmt::format("{} {}", leaf.count, share_text(leaf.count, whole)), box.width, 12);
  if (box.height < 2 * kLine || number.empty()) return;
  out->text(box.x + 4, box.y + 2 * kLine - 3, number, "ink", 12);
}

void draw_branch(const Branch& branch, const Box& box, uint64_t whole, Drawing* out) {
  if (!branch.target.empty()) {
    out->begin_link("#" + branch.target, branch.target,
                    fmt::format("{}: {} instructions", branch.name, branch.count()));
  }
  Box inside = box;
  const std::string heading = fitted(
      fmt::format("{} {} {}", branch.name, branch.count(), share_text(branch.count(), whole)),
      box.width, 13);
  if (box.height > 3 * kHeading && !heading.empty()) {
    out->text(box.x + 4, box.y + 15, heading, branch.target.empty() ? "ink" : "accent", 13, "start",
              true);
    inside.y += kHeading;
    inside.height -= kHeading;
  }
  std::vector<double> weights;
  for (const Leaf& leaf : branch.leaves) weights.push_back(static_cast<double>(leaf.count));
  const std::vector<Box> boxes = share_out(inside, weights);
  for (size_t i = 0; i < boxes.size(); ++i) draw_leaf(branch.leaves[i], boxes[i], whole, out);
  out->box(box, "none", "ink", 0);
  if (!branch.target.empty()) out->end_link();
}

void draw_key(Drawing* out) {
  double x = 0;
  for (size_t i = 0; i < kTreatments; ++i) {
    out->box({x, 34, 16, 14}, look_of(i).fill, look_of(i).stroke);
    out->text(x + 22, 46, name_of(i), "ink", 12);
    x += 142;
  }
}

Drawing draw_tree(const std::string& title, std::vector<Branch> branches) {
  arrange(&branches);
  Drawing out(kWidth, kTop + kHeight + 4, title);
  out.text(0, 18, title, "ink", 15, "start", true);
  draw_key(&out);
  uint64_t whole = 0;
  std::vector<double> weights;
  for (const Branch& branch : branches) {
    whole += branch.count();
    weights.push_back(static_cast<double>(branch.count()));
  }
  const std::vector<Box> boxes = share_out({1, kTop, kWidth - 2, kHeight}, weights);
  for (size_t i = 0; i < boxes.size(); ++i) draw_branch(branches[i], boxes[i], whole, &out);
  return out;
}

// Treatments, each with its instructions. `all`: or only those that the monitor has a hand in.
std::vector<Branch> by_treatment(const std::vector<const CensusSection*>& sections, bool all) {
  std::vector<Branch> branches;
  for (size_t i = 0; i < kTreatments; ++i) {
    if (!all && !needs_hand(i)) continue;
    std::map<std::string, uint64_t> names;
    for (const CensusSection* section : sections) {
      for (const auto& [name, count] : section->instructions[i]) names[name] += count;
    }
    Branch branch{name_of(i), "", {}};
    for (const auto& [name, count] : names) branch.leaves.push_back({name, count, i});
    arrange(&branch.leaves);
    branches.push_back(std::move(branch));
  }
  return branches;
}

std::vector<Leaf> treatments_of(const CensusSection& section) {
  std::vector<Leaf> leaves;
  for (size_t i = 0; i < kTreatments; ++i) {
    const uint64_t count = sum_of(section.instructions[i]);
    if (count != 0) leaves.push_back({name_of(i), count, i});
  }
  arrange(&leaves);
  return leaves;
}

CensusTree make_tree(const std::string& id, const std::string& name, const std::string& title,
                     std::vector<Branch> branches) {
  return {"tree-" + id, name, {"census-" + id, draw_tree(title, std::move(branches))}};
}

}  // namespace

std::vector<CensusTree> census_trees(const Census& census) {
  std::vector<const CensusSection*> sections;
  for (const CensusSection& section : census.sections) sections.push_back(&section);
  std::stable_sort(sections.begin(), sections.end(),
                   [](const CensusSection* left, const CensusSection* right) {
                     return sum_of(*left) > sum_of(*right);
                   });
  std::vector<Branch> image;
  std::vector<CensusTree> trees;
  const bool has_sections = sections.size() > 1;
  for (size_t i = 0; i < sections.size(); ++i) {
    const CensusSection& section = *sections[i];
    const bool is_drawn = has_sections && i < kSectionsDrawn;
    const std::string id = fmt::format("section-{}", i + 1);
    image.push_back({section.name, is_drawn ? "tree-" + id : "", treatments_of(section)});
    if (!is_drawn) continue;
    trees.push_back(make_tree(
        id, section.name,
        fmt::format("{}: {} instructions, by treatment and name", section.name, sum_of(section)),
        by_treatment({&section}, true)));
  }
  if (!has_sections) image = by_treatment(sections, true);
  std::vector<Branch> helped = by_treatment(sections, false);
  uint64_t count = 0;
  for (const Branch& branch : helped) count += branch.count();
  if (count != 0) {
    trees.insert(trees.begin(),
                 make_tree("helped", "what the monitor has a hand in",
                           fmt::format("{} of {} instructions the monitor has a hand in", count,
                                       census.linear_instructions),
                           std::move(helped)));
  }
  trees.insert(trees.begin(),
               make_tree("image", "the whole image",
                         fmt::format("{} instructions, by {}", census.linear_instructions,
                                     has_sections ? "section and treatment" : "treatment and name"),
                         std::move(image)));
  return trees;
}

}  // namespace ringshift::lab
