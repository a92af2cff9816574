// Explorer: blocks of guest code beside the host code the translator makes of them. Without a run,
// they are the blocks reached from the entry point. With one, they are those that executed most,
// with counts: the guest runs translated, its follower (Lockstep) counts each instruction, and
// samples tell where its cycles go. If the guest ends by itself, the samples are of further runs
// without a follower. Blocks are translated anew from guest memory as it is at the end of the first
// run. See docs/lab.md.
#pragma once

#include <string>
#include <vector>

#include "monitor/lab/explorer/sampling.h"
#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "translator/dump.h"

namespace ringshift::lab {

struct ExploreOptions {
  double run_seconds = 0;  // of our time; 0: not run
  double skip = 0;         // of the guest's time, before anything is counted
  uint32_t blocks = 40;    // at most
};

struct ExploredBlock {
  DumpedUnit unit;
  std::string landmark;            // "page-fault handler"; empty for most
  std::string id;                  // "b-kernel-c0100000"; no two are the same
  uint64_t entered = 0;            // times
  std::vector<uint64_t> executed;  // by instruction of the unit, wherever it was come to from
  std::vector<uint64_t> sampled;   // the same of samples
  std::vector<bool> is_shared;     // by instruction: a hotter block has it, too
  // Sums over the instructions that no hotter block has.
  [[nodiscard]] uint64_t executed_in_all() const;
  [[nodiscard]] uint64_t sampled_in_all() const;
};

struct Exploration {
  std::string image, end;     // how the run ended; empty: not run
  uint64_t instructions = 0;  // counted, in all
  double seconds = 0;
  bool time_was_up = false;
  std::string difference;  // the run and the interpreter parted; empty: they did not
  Samples samples;
  std::vector<ExploredBlock> blocks;  // hot ones first
};

[[nodiscard]] bool explore(const MachineConfig& config, const ExploreOptions& options,
                           Exploration* out, std::string* error);

[[nodiscard]] std::string exploration_finding(const Exploration& exploration);
[[nodiscard]] std::string exploration_as_text(const Exploration& exploration);
[[nodiscard]] std::string exploration_as_json(const Exploration& exploration);
[[nodiscard]] std::vector<Picture> exploration_pictures(const Exploration& exploration);
[[nodiscard]] std::string exploration_as_html(const Exploration& exploration, Company company);

}  // namespace ringshift::lab
