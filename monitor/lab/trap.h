// Trap: the same guest under three engines, side by side, and the first instruction on which
// trap-and-emulate goes wrong, found in step with the interpreter. See docs/lab.md. A guest that
// prints nothing but "name=value" lines on its serial port is asking questions (a name that ends in
// "?" wants yes or no); any other is shown by the last line it printed. A byte written to port 0x80
// (the PC's POST port) with bit 7 set marks how far such a guest is; without, bits 0-1 and 2 are
// the ring and the IF it sees.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "monitor/lab/lockstep/lockstep.h"
#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/machine/machine.h"

namespace ringshift::lab {

// The machine when the guest tells how far it is.
struct Moment {
  bool is_mark = false;  // otherwise the guest tells what it sees
  uint32_t eip = 0;
  bool interrupts_on = false;  // IF, as the monitor has it
  uint8_t ring = 0;            // CPL, as the monitor has it
  bool seen_on = false;        // by PUSHF
  uint8_t seen_ring = 0;       // by PUSH CS
  uint64_t ticks = 0;          // interrupts delivered up to here
};

// One point of the way on which trap-and-emulate was right.
struct WayPoint {
  uint64_t instructions = 0;
  uint32_t eip = 0;
  bool interrupts_on = false;
  uint8_t ring = 0;
  uint64_t interrupts = 0;
};

struct EngineRun {
  std::string engine;
  std::string serial;
  std::string end;
  uint64_t interpreted = 0;
  std::map<std::string, uint64_t> refused;  // of these: given to the guest as its own fault
  std::vector<Moment> moments;
};

struct TrapReport {
  std::string image;
  std::string refused;            // why nothing can run deprivileged here; empty: it can
  std::array<EngineRun, 3> runs;  // interpret, trap, translate
  Difference first;               // under trap; found only if it went wrong
  LockstepFigures figures;
  std::vector<WayPoint> way;  // under trap: where IF, the ring or the count of interrupts changed
};

// A question of the guest's, and the answer under each engine.
struct Answer {
  std::string question;
  std::array<std::string, 3> values;
  [[nodiscard]] bool trap_is_right() const { return values[0].empty() || values[0] == values[1]; }
  [[nodiscard]] bool translate_is_right() const {
    return values[0].empty() || values[0] == values[2];
  }
};
// The answers that the guest printed, in the order in which it asks; none if it prints anything
// else.
[[nodiscard]] std::vector<Answer> answers_of(const TrapReport& report);

// Each run ends by itself or after `seconds`. False with one line in *error.
[[nodiscard]] bool compare_engines(const MachineConfig& config, double seconds, TrapReport* report,
                                   std::string* error);

// The monitor's decisions about instructions that trap: emulate it, or give the guest its own
// fault.
[[nodiscard]] std::string decisions_of(const EngineRun& run);
// "POPFD"; empty if none was found, or none could be named alone.
[[nodiscard]] std::string first_wrong_name(const TrapReport& report);
[[nodiscard]] std::string trap_finding(const TrapReport& report);
[[nodiscard]] std::string trap_as_text(const TrapReport& report);
[[nodiscard]] std::string trap_as_json(const TrapReport& report);
[[nodiscard]] std::vector<Picture> trap_pictures(const TrapReport& report);
[[nodiscard]] std::string trap_as_html(const TrapReport& report, Company company);

}  // namespace ringshift::lab
