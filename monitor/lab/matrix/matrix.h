// Matrix: the theorem's condition, asked of each instruction: the measurements, and the conclusion.
// `measure` runs an instruction everywhere, `judge` is pure and decides by comparing outcomes,
// never by name. Facts: Popek and Goldberg 1974, definitions of sections 3 and 4. See docs/lab.md.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "monitor/lab/matrix/instructions.h"
#include "monitor/lab/matrix/silicon.h"
#include "monitor/lab/matrix/virtual_processor.h"
#include "translator/translation_unit.h"

namespace ringshift::lab {

// The effects of an instruction, as far as each processor shows them.
struct Measurement {
  Instruction instruction;
  VirtualOutcome truth;  // the interpreter, CPL 0
  std::vector<std::pair<Resource, VirtualOutcome>> variations;
  SiliconOutcome silicon;  // this processor, deprivileged
  uint32_t cycles = 0;     // there, for one execution; zero: not measured
  bool umip = false;       // the processor has it
  VirtualOutcome translated;
  Treatment treatment = Treatment::Interpret;
  std::string host_code;
};

enum class DeprivilegedEffect : uint8_t {
  NotMeasured,
  Traps,        // an exception the monitor would see
  SystemCall,   // enters the host kernel; caught by its number, not by its meaning
  SameResult,   // runs, with the result that it has at CPL 0
  EffectLost,   // runs, without the effect on control that it has at CPL 0
  HostAnswers,  // runs, and shows the host's state instead of the virtual machine's
  HostSegment,  // runs, and loads a segment register from the host's table
  KernelFakes,  // the processor traps, and the host kernel makes up an answer
  Differs,      // runs with another result that depends on nothing we varied
};
[[nodiscard]] const char* deprivileged_name(DeprivilegedEffect deprivileged);

enum class Verdict : uint8_t {
  NotMeasured,
  Innocuous,       // neither sensitive nor privileged
  PrivilegedOnly,  // traps, and nothing we can see depends on it
  Holds,           // sensitive, and it traps
  Violates,        // sensitive, and it does not
  Absent,          // neither processor has it in 32-bit code
};
[[nodiscard]] const char* verdict_name(Verdict verdict);

struct Row {
  std::string name, form, purpose;
  std::string bytes;  // of the instruction, in hex
  Group group = Group::Innocuous;
  bool privileged = false;           // runs at CPL 0, traps deprivileged
  std::vector<std::string> changes;  // control-sensitive: which control it changed
  std::vector<std::string> depends;  // behaviour-sensitive: the state that its result depends on
  std::string at_ring0;              // effects there
  DeprivilegedEffect deprivileged = DeprivilegedEffect::NotMeasured;
  std::string deprived;  // effects there, or the exception
  uint32_t cycles = 0;
  Treatment treatment = Treatment::Interpret;
  bool translation_agrees = false;  // the whole machine is as after the interpreter
  std::string translation_differs;  // where not
  std::string host_code;
  Verdict verdict = Verdict::NotMeasured;
  std::string reason;
};

struct Matrix {
  std::string processor;
  std::string kernel;
  bool umip = false;
  std::string no_silicon;  // why nothing could be run deprivileged; empty: it could
  std::vector<Row> rows;
};

[[nodiscard]] Measurement measure(const Instruction& instruction, bool on_silicon);
[[nodiscard]] Row judge(const Measurement& measurement);
[[nodiscard]] Matrix measure_matrix();

}  // namespace ringshift::lab
