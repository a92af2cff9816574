#include "monitor/lab/matrix/matrix.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstring>

#include "monitor/command/reports/host_facts.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/sensitive.h"
#include "translator/listing.h"

namespace ringshift::lab {
namespace {

// The bytes of one instruction, for the translator.
class OneInstruction final : public CodeSource, public SoftSites {
 public:
  explicit OneInstruction(const std::vector<uint8_t>& code) : code_(code) {}
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - kCodeBase;
    if (offset >= code_.size()) return {};
    *physical = GuestPhysical(address.value());
    return std::span(code_).subspan(offset);
  }
  [[nodiscard]] bool is_soft(GuestPhysical) const override { return false; }

 private:
  const std::vector<uint8_t>& code_;
};

void translate_alone(Measurement* m) {
  GuestInstruction decoded;
  if (decode(m->instruction.code, DecodeMode::Bits32, &decoded) != DecodeOutcome::Ok) {
    m->host_code = "not an instruction of 32-bit code: left to the interpreter, which raises #UD\n";
    return;
  }
  m->treatment = treatment_of(decoded);
  TranslateRequest request;
  request.first_eip = Eip(kCodeBase);
  request.max_blocks = 1;
  request.max_instructions = 1;
  request.features.host_time_stamp = true;
  OneInstruction source(m->instruction.code);
  std::string problem;
  if (!translate_blocks(request, source, source, &m->host_code, &problem)) m->host_code = problem;
  // The summary of many blocks says nothing about one instruction.
  const size_t summary = m->host_code.rfind("\n1 blocks");
  if (summary != std::string::npos) m->host_code.resize(summary);
}

Visible visible(const VirtualOutcome& outcome) {
  return {outcome.state.eip, outcome.state.eflags, outcome.state.gpr, outcome.data};
}

Visible visible(const SiliconOutcome& outcome) {
  return {outcome.eip, outcome.eflags, outcome.gpr, outcome.data};
}

// Control the instruction changed at CPL 0, machine included.
std::vector<std::string> changes_of(const Instruction& instruction, const VirtualOutcome& truth) {
  if (!truth.ran || truth.faulted) return {};
  std::vector<std::string> changes = control_changes(initial_state(instruction), truth.state);
  if (truth.halted) changes.emplace_back("activity");
  if (truth.port_accesses != 0) changes.emplace_back("a device");
  if (truth.cr3_loads != 0 || truth.pages_invalidated != 0) changes.emplace_back("TLB");
  return changes;
}

// The resources on which the instruction's visible result depends: Popek and Goldberg's behaviour
// sensitivity leaves out instructions that trap.
std::vector<std::string> dependences(const Measurement& m) {
  std::vector<std::string> found;
  if (!m.truth.ran || m.truth.faulted) return found;
  for (const auto& [resource, outcome] : m.variations) {
    if (!outcome.ran || outcome.faulted) continue;
    if (!same_visible(visible(m.truth), visible(outcome)))
      found.emplace_back(resource_name(resource));
  }
  return found;
}

std::vector<std::string> effects_from_start(const Instruction& instruction, const Visible& after) {
  const std::vector<uint8_t> data = initial_data(instruction);
  const Visible before{kCodeBase, kFlagReservedOne, initial_registers(instruction), data};
  return visible_effects(before, after, kDataBase);
}

std::string none_or(const std::vector<std::string>& words) {
  return words.empty() ? "nothing to see" : joined(words, ", ");
}

std::string at_ring0(const Measurement& m, const std::vector<std::string>& changes) {
  if (!m.truth.ran) return m.truth.problem;
  if (m.truth.faulted) return exception_name(m.truth.vector, m.truth.error_code);
  std::vector<std::string> effects = effects_from_start(m.instruction, visible(m.truth));
  effects.insert(effects.end(), changes.begin(), changes.end());
  return none_or(effects);
}

// An answer that came without a signal, from an instruction UMIP makes trap, after the time an
// exception takes, is not the processor's.
bool is_faked(const Measurement& m) {
  constexpr uint32_t kCyclesOfAnException = 500;
  return m.umip && m.instruction.has_umip && m.cycles > kCyclesOfAnException;
}

// The selectors that a 64-bit process of Linux gives 32-bit code to start with.
constexpr std::array<uint16_t, kSegmentCount> kHostSelectors = {0x2b, 0x23, 0x2b, 0x2b, 0, 0};

DeprivilegedEffect classify_silicon(const Measurement& m, const Row& row) {
  if (!m.silicon.ran) return DeprivilegedEffect::NotMeasured;
  if (m.silicon.is_system_call) return DeprivilegedEffect::SystemCall;
  if (m.silicon.trapped) return DeprivilegedEffect::Traps;
  if (is_faked(m)) return DeprivilegedEffect::KernelFakes;
  if (m.truth.faulted) return DeprivilegedEffect::HostAnswers;
  if (m.silicon.selector != kHostSelectors) return DeprivilegedEffect::HostSegment;
  if (!same_visible(visible(m.truth), visible(m.silicon))) {
    return row.depends.empty() ? DeprivilegedEffect::Differs : DeprivilegedEffect::HostAnswers;
  }
  return row.changes.empty() ? DeprivilegedEffect::SameResult : DeprivilegedEffect::EffectLost;
}

std::string deprived(const Measurement& m, DeprivilegedEffect kind) {
  switch (kind) {
    case DeprivilegedEffect::NotMeasured:
      return m.silicon.problem;
    case DeprivilegedEffect::SystemCall:
      return "a system call of the host, caught";
    case DeprivilegedEffect::Traps:
      return exception_name(m.silicon.vector, m.silicon.error_code);
    default:
      break;
  }
  std::vector<std::string> effects = effects_from_start(m.instruction, visible(m.silicon));
  constexpr std::array<const char*, kSegmentCount> kNames = {"ES", "CS", "SS", "DS", "FS", "GS"};
  for (size_t i = 0; i < kSegmentCount; ++i) {
    if (m.silicon.selector[i] == kHostSelectors[i]) continue;
    effects.push_back(fmt::format("{}={:x} of the host's table", kNames[i], m.silicon.selector[i]));
  }
  return none_or(effects);
}

std::string sensitivity(const Row& row) {
  std::vector<std::string> parts;
  if (!row.changes.empty()) parts.push_back("changes " + joined(row.changes, ", "));
  if (!row.depends.empty()) parts.push_back("depends on " + joined(row.depends, ", "));
  return joined(parts, " and ");
}

const char* consequence(DeprivilegedEffect kind) {
  switch (kind) {
    case DeprivilegedEffect::EffectLost:
      return "the effect is lost in silence";
    case DeprivilegedEffect::HostAnswers:
      return "the host's state answers";
    case DeprivilegedEffect::HostSegment:
      return "the host's descriptor is loaded";
    case DeprivilegedEffect::KernelFakes:
      return "the host kernel makes up an answer";
    case DeprivilegedEffect::Differs:
      return "another result";
    default:
      return "here it gives the right result, by luck of the state";
  }
}

void decide(const Measurement& m, Row* row) {
  const bool sensitive = !row->changes.empty() || !row->depends.empty();
  const bool traps = row->deprivileged == DeprivilegedEffect::Traps ||
                     row->deprivileged == DeprivilegedEffect::SystemCall;
  if (row->deprivileged == DeprivilegedEffect::NotMeasured || !m.truth.ran) {
    row->verdict = Verdict::NotMeasured;
    row->reason = sensitive ? sensitivity(*row) + "; whether it traps was not measured"
                            : "whether it traps was not measured";
  } else if (m.truth.faulted && traps) {
    row->verdict = Verdict::Absent;
    row->reason = "the virtual processor refuses it and so does this one";
  } else if (m.truth.faulted) {
    row->verdict = Verdict::Violates;
    row->reason = "the virtual processor refuses it, this one runs it: the host's state answers";
  } else if (sensitive && traps) {
    row->verdict = Verdict::Holds;
    row->reason = sensitivity(*row) + ", and it traps";
  } else if (sensitive) {
    row->verdict = Verdict::Violates;
    row->reason = sensitivity(*row) + ", and does not trap: " + consequence(row->deprivileged);
  } else if (traps) {
    row->verdict = Verdict::PrivilegedOnly;
    row->reason = "traps, and nothing we varied or watched is concerned";
  } else {
    row->verdict = Verdict::Innocuous;
    row->reason = "neither changes nor shows control";
  }
}

// Time goes on between the two runs: a clock that is a little later is the same clock.
VirtualOutcome with_clock_of(const Measurement& m, VirtualOutcome got) {
  constexpr uint64_t kALittle = uint64_t{1} << 36;
  const auto clock = [](const VirtualOutcome& outcome) {
    return (uint64_t{outcome.state.reg(Gpr::Edx)} << 32) | outcome.state.reg(Gpr::Eax);
  };
  if (clock(got) - clock(m.truth) >= kALittle) return got;
  got.state.reg(Gpr::Eax) = m.truth.state.reg(Gpr::Eax);
  got.state.reg(Gpr::Edx) = m.truth.state.reg(Gpr::Edx);
  return got;
}

void compare_translation(const Measurement& m, Row* row) {
  const bool is_clock = row->depends == std::vector<std::string>{resource_name(Resource::Clock)};
  const VirtualOutcome got = is_clock ? with_clock_of(m, m.translated) : m.translated;
  if (!got.ran) {
    row->translation_differs = got.problem.empty() ? "did not end" : got.problem;
    return;
  }
  std::vector<std::string> differences;
  const Visible truth = visible(m.truth);
  if (!same_visible(truth, visible(got))) {
    differences = visible_effects(truth, visible(got), kDataBase);
    if (differences.empty()) differences.push_back(fmt::format("EIP={:x}", got.state.eip));
  }
  for (std::string& change : control_changes(m.truth.state, got.state)) {
    differences.push_back(std::move(change));
  }
  if (m.truth.halted != got.halted) differences.emplace_back("activity");
  if (m.truth.port_accesses != got.port_accesses) differences.emplace_back("port accesses");
  if (differences.empty() && m.truth.ram != got.ram) differences.emplace_back("memory");
  row->translation_differs = joined(differences, ", ");
  row->translation_agrees = differences.empty();
}

}  // namespace

const char* deprivileged_name(DeprivilegedEffect deprivileged) {
  switch (deprivileged) {
    case DeprivilegedEffect::NotMeasured:
      return "not measured";
    case DeprivilegedEffect::Traps:
      return "traps";
    case DeprivilegedEffect::SystemCall:
      return "system call";
    case DeprivilegedEffect::SameResult:
      return "same result";
    case DeprivilegedEffect::EffectLost:
      return "effect lost";
    case DeprivilegedEffect::HostAnswers:
      return "host answers";
    case DeprivilegedEffect::HostSegment:
      return "host segment";
    case DeprivilegedEffect::KernelFakes:
      return "kernel fakes";
    case DeprivilegedEffect::Differs:
      return "differs";
  }
  return "?";
}

const char* verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::NotMeasured:
      return "not measured";
    case Verdict::Innocuous:
      return "innocuous";
    case Verdict::PrivilegedOnly:
      return "privileged";
    case Verdict::Holds:
      return "holds";
    case Verdict::Violates:
      return "VIOLATES";
    case Verdict::Absent:
      return "absent";
  }
  return "?";
}

Measurement measure(const Instruction& instruction, bool on_silicon) {
  Measurement m;
  m.instruction = instruction;
  m.truth = run_interpreted(instruction, Resource::None);
  for (size_t i = 1; i < kResourceCount; ++i) {
    const auto resource = static_cast<Resource>(i);
    m.variations.emplace_back(resource, run_interpreted(instruction, resource));
  }
  m.umip = processor_has_umip();
  if (on_silicon) {
    m.silicon = run_on_silicon(instruction);
    if (m.silicon.ran && !m.silicon.trapped && instruction.has_umip) {
      m.cycles = cycles_on_silicon(instruction);
    }
  }
  m.translated = run_translated(instruction);
  translate_alone(&m);
  return m;
}

Row judge(const Measurement& m) {
  Row row;
  row.name = m.instruction.name;
  row.form = m.instruction.form;
  row.purpose = m.instruction.purpose;
  row.bytes = fmt::format("{:02x}", fmt::join(m.instruction.code, " "));
  row.group = m.instruction.group;
  row.changes = changes_of(m.instruction, m.truth);
  row.depends = dependences(m);
  row.at_ring0 = at_ring0(m, row.changes);
  row.deprivileged = classify_silicon(m, row);
  row.deprived = deprived(m, row.deprivileged);
  row.privileged = m.truth.ran && !m.truth.faulted && m.silicon.ran && m.silicon.trapped;
  row.cycles = m.cycles;
  row.treatment = m.treatment;
  row.host_code = m.host_code;
  compare_translation(m, &row);
  decide(m, &row);
  return row;
}

Matrix measure_matrix() {
  Matrix matrix;
  const HostFacts facts = collect_host_facts();
  matrix.processor = facts.cpu_vendor + " " + facts.cpu_model;
  utsname name{};
  if (uname(&name) == 0) matrix.kernel = std::string(name.sysname) + " " + name.release;
  matrix.umip = processor_has_umip();
  matrix.no_silicon = why_no_silicon();
  for (const Instruction& instruction : instructions()) {
    Measurement measurement = measure(instruction, matrix.no_silicon.empty());
    if (!matrix.no_silicon.empty()) measurement.silicon.problem = matrix.no_silicon;
    matrix.rows.push_back(judge(measurement));
  }
  return matrix;
}

}  // namespace ringshift::lab
