// Neighbours: the shares that two machines have of one host CPU, whatever the second one does. Two
// machines run at once, each on a thread of its own, and both on one CPU of the host: one computes,
// the other attacks, without a limit and with one. See docs/lab.md, "The three properties as
// numbers".
#pragma once

#include <string>
#include <vector>

#include "monitor/lab/parts/drawing.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

// One run of the two.
struct NeighbourRun {
  std::string doing;           // what the neighbour does; "nothing" if there was none
  unsigned limit = 0;          // of the neighbour, per cent of the CPU; 0: none
  double seconds = 0;          // by the host's clock
  double own = 0, others = 0;  // processor time of each, in seconds, by the host's count
  uint64_t rounds = 0;         // that the machine has computed meanwhile
  uint64_t others_rounds = 0;  // that the neighbour has done of whatever it does
};

// Appends a run for each thing that a neighbour may do. `config`: engine and processor of both.
[[nodiscard]] bool measure_neighbours(const MachineConfig& config, std::vector<NeighbourRun>* runs,
                                      std::string* error);

// Lines of text, one for each run; a table in HTML, and a picture.
[[nodiscard]] std::vector<std::string> neighbour_lines(const std::vector<NeighbourRun>& runs);
[[nodiscard]] std::string neighbour_table(const std::vector<NeighbourRun>& runs);
[[nodiscard]] Drawing neighbour_picture(const std::vector<NeighbourRun>& runs);

}  // namespace ringshift::lab
