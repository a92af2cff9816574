// Census: how many sensitive instructions a kernel image has, how many are reached, and, after a
// run, how often each executed and its cost. Treatments are the translator's own decisions. See
// docs/lab.md.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "monitor/lab/census/census_image.h"
#include "monitor/lab/matrix/costs.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/sensitive.h"
#include "monitor/machine/machine.h"
#include "translator/translation_unit.h"

namespace ringshift::lab {

struct CensusRow {
  Concern concern = Concern::None;
  Treatment treatment = Treatment::Interpret;
  uint64_t linear = 0;
  uint64_t reached = 0;
  uint64_t executed = 0;
  uint64_t left = 0;    // of these, after how many translated code was left for the loop
  uint64_t cycles = 0;  // of the interpreter, all executions
};

struct CensusRun {
  bool done = false;
  double seconds = 0;
  uint64_t cycles = 0;  // of the whole run
  uint64_t other_interpreted = 0;
  std::string end;  // how it ended
};

// A part of the image's code: how many instructions it has, by treatment and name.
struct CensusSection {
  std::string name;  // ".text"
  uint64_t bytes = 0;
  std::array<std::map<std::string, uint64_t>, kTreatments> instructions;
};

struct Census {
  std::string path, kind, remark;
  std::vector<CensusSection> sections;  // as they lie in the image; those of one name are one
  uint64_t linear_instructions = 0;
  uint64_t linear_bytes = 0;
  uint64_t undecodable = 0;
  uint64_t padding = 0;  // bytes of long runs of zeros, which are not taken for instructions
  uint64_t reached_instructions = 0;
  uint64_t reached_by_branches = 0;  // without the addresses that code and data hold
  ByTreatment linear_by_treatment{};
  ByTreatment reached_by_treatment{};
  std::map<std::string, CensusRow> rows;
  CensusRun run;
  Costs costs;  // after a run
};

// The addresses at which the linear sweep has found instructions to begin, in each range of the
// image's code.
using InstructionStarts = std::vector<std::vector<bool>>;

// Decodes everything from each range's start on, one instruction after the other. 16 zeros or more
// where an instruction would begin are padding.
[[nodiscard]] InstructionStarts census_linear(const CensusImage& image, Census* census);
// Follows direct branches and fall-through from the entry point, and then from each address of code
// (one where the linear sweep found an instruction) that reached code or the image's data holds.
void census_reached(const CensusImage& image, const InstructionStarts& starts, Census* census);
// Does both of these, and says so (note_step).
void count_image(const CensusImage& image, Census* census);
// Boots the machine and counts for `seconds`, or until the guest ends. False with one line.
[[nodiscard]] bool census_run(const MachineConfig& config, double seconds, Census* census,
                              std::string* error);

[[nodiscard]] std::string census_finding(const Census& census);
// The instructions' places in the image and their treatments, as areas: the image, each large
// section, and the instructions that the monitor has a hand in.
struct CensusTree {
  std::string id, title;  // ids go into a page
  Picture picture;
};
[[nodiscard]] std::vector<CensusTree> census_trees(const Census& census);
[[nodiscard]] std::string census_trees_as_html(const Census& census);
[[nodiscard]] std::string census_sections_as_html(const Census& census);
[[nodiscard]] std::string census_as_text(const Census& census);
[[nodiscard]] std::string census_as_json(const Census& census);
[[nodiscard]] std::vector<Picture> census_pictures(const Census& census);
[[nodiscard]] std::string census_as_html(const Census& census, Company company);

}  // namespace ringshift::lab
