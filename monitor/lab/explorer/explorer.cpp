#include "monitor/lab/explorer/explorer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "monitor/lab/parts/progress.h"
#include "monitor/lab/parts/run_end.h"
#include "monitor/lab/parts/serial_capture.h"
#include "monitor/vcpu/execution_mode.h"
#include "translator/listing.h"

namespace ringshift::lab {
namespace {

// Counts instructions, and how often one is come to from somewhere else than the one before it.
class Counter {
 public:
  void count(const GuestState& state, const FollowedInstruction* next) {
    if (next == nullptr || next->length == 0) {
      expected_ = kNowhere;
      return;
    }
    ++all_;
    const Privilege privilege = state.cpl == 3 ? Privilege::User : Privilege::Supervisor;
    const uint64_t key = place_of(state.eip, privilege);
    Place& place = places_[key];
    if (place.executed == 0 && privilege == Privilege::Supervisor) note_exchange(state.eip, *next);
    ++place.executed;
    if (key != expected_) ++place.entered;
    expected_ = place_of(state.eip + next->length, privilege);
  }
  [[nodiscard]] uint64_t all() const { return all_; }
  [[nodiscard]] uint64_t executed(uint64_t key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? 0 : found->second.executed;
  }
  [[nodiscard]] uint64_t entered(uint64_t key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? 0 : found->second.entered;
  }
  // Locked CMPXCHGs of the kernel, those executed most often first.
  [[nodiscard]] std::vector<uint32_t> exchanges() const {
    std::vector<uint32_t> sorted = exchanges_;
    std::stable_sort(sorted.begin(), sorted.end(), [&](uint32_t left, uint32_t right) {
      return executed(place_of(left, Privilege::Supervisor)) >
             executed(place_of(right, Privilege::Supervisor));
    });
    return sorted;
  }
  // Where blocks begin, those entered most often first.
  [[nodiscard]] std::vector<uint64_t> heads() const {
    std::vector<uint64_t> keys;
    for (const auto& [key, place] : places_) {
      if (place.entered != 0) keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end(), [&](uint64_t left, uint64_t right) {
      const uint64_t a = entered(left), b = entered(right);
      return a != b ? a > b : left < right;
    });
    return keys;
  }

 private:
  // A kernel that finds itself on one processor overwrites LOCK by a prefix without a meaning, DS.
  void note_exchange(uint32_t eip, const FollowedInstruction& instruction) {
    constexpr uint8_t kLock = 0xf0, kDs = 0x3e;
    constexpr size_t kMost = 1024;
    const auto& bytes = instruction.bytes;
    const bool is_one =
        (bytes[0] == kLock || bytes[0] == kDs) && bytes[1] == 0x0f && bytes[2] == 0xb1;
    if (is_one && exchanges_.size() < kMost) exchanges_.push_back(eip);
  }

  static constexpr uint64_t kNowhere = ~uint64_t{0};
  struct Place {
    uint64_t executed = 0, entered = 0;
  };
  std::unordered_map<uint64_t, Place> places_;
  std::vector<uint32_t> exchanges_;
  uint64_t expected_ = kNowhere;
  uint64_t all_ = 0;
};

class BlockTaker {
 public:
  BlockTaker(Machine& machine, const MachineConfig& config, const Counter& counter,
             Exploration* out)
      : machine_(machine), config_(config), counter_(counter), out_(out) {}

  // The block at `eip`, unless there is no code any more or a block taken before has it.
  bool take(uint32_t eip, Privilege privilege) {
    if (shown_.contains(place_of(eip, privilege))) return false;
    std::optional<DumpedUnit> unit = translated(eip, privilege);
    if (unit) add(std::move(*unit), "");
    return unit.has_value();
  }
  [[nodiscard]] std::optional<DumpedUnit> translated(uint32_t eip, Privilege privilege) {
    std::vector<DumpedUnit> units;
    std::string ignored;
    if (!translate(eip, privilege, 1, &units, &ignored) || units.empty()) return std::nullopt;
    return std::move(units.front());
  }
  // The block at `eip`, and the next ones that it leads to.
  void take_landmark(uint32_t eip, const std::string& landmark) {
    constexpr uint32_t kFollowed = 4;
    std::vector<DumpedUnit> units;
    if (std::string ignored; !translate(eip, Privilege::Supervisor, kFollowed, &units, &ignored)) {
      return;
    }
    for (DumpedUnit& unit : units) {
      const bool is_it = unit.key.eip == Eip(eip);
      ExploredBlock* known = find(unit.key.eip, Privilege::Supervisor);
      if (known == nullptr) {
        add(std::move(unit), is_it ? landmark : "");
      } else if (is_it) {
        known->landmark = landmark;
      }
    }
  }
  // Those reached from `eip` on by direct branches.
  [[nodiscard]] bool take_from(uint32_t eip, uint32_t most, std::string* error) {
    std::vector<DumpedUnit> units;
    if (!translate(eip, Privilege::Supervisor, most, &units, error)) return false;
    for (DumpedUnit& unit : units) add(std::move(unit), out_->blocks.empty() ? "entry point" : "");
    return true;
  }

 private:
  bool translate(uint32_t eip, Privilege privilege, uint32_t most, std::vector<DumpedUnit>* units,
                 std::string* error) {
    TranslateRequest request;
    request.first_eip = Eip(eip);
    request.privilege = privilege;
    request.max_blocks = most;
    request.limits = config_.translator.limits;
    request.features.host_time_stamp = true;
    request.features.sse2_and_later = config_.cpu.sse42;
    request.features.tzcnt = config_.cpu.bmi1;
    return list_blocks(request, machine_.processor().code(), machine_.processor().sites(), units,
                       error);
  }
  [[nodiscard]] ExploredBlock* find(Eip eip, Privilege privilege) {
    for (ExploredBlock& known : out_->blocks) {
      if (known.unit.key.eip == eip && known.unit.key.privilege == privilege) return &known;
    }
    return nullptr;
  }
  [[nodiscard]] uint64_t samples_at(uint64_t place) const {
    const auto found = out_->samples.by_instruction.find(place);
    return found == out_->samples.by_instruction.end() ? 0 : found->second;
  }
  void add(DumpedUnit unit, const std::string& landmark) {
    ExploredBlock block;
    const Privilege privilege = unit.key.privilege;
    block.landmark = landmark;
    block.id = fmt::format("b-{}-{:x}", privilege == Privilege::User ? "user" : "kernel",
                           unit.key.eip.value());
    block.entered = counter_.entered(place_of(unit.key.eip.value(), privilege));
    for (const DumpedInstruction& instruction : unit.instructions) {
      const uint64_t key = place_of(instruction.eip.value(), privilege);
      block.executed.push_back(counter_.executed(key));
      block.sampled.push_back(samples_at(key));
      block.is_shared.push_back(!shown_.insert(key).second);
    }
    block.unit = std::move(unit);
    out_->blocks.push_back(std::move(block));
  }

  Machine& machine_;
  const MachineConfig& config_;
  const Counter& counter_;
  Exploration* out_;
  std::unordered_set<uint64_t> shown_;  // instructions
};

struct Landmark {
  const char* name;
  uint32_t eip;
};

// Where the guest's own tables send the processor. SDM 3A 6.10, 6.11: gate descriptors.
std::vector<Landmark> landmarks(Machine& machine) {
  constexpr std::array<std::pair<uint32_t, const char*>, 4> kVectors = {
      {{14, "page-fault handler"},
       {13, "general-protection handler"},
       {32, "interrupt 32"},
       {0x80, "system call, INT 0x80"}}};
  std::vector<Landmark> found;
  const GuestState& state = machine.state();
  LinearMemory& memory = machine.processor().cpu().memory;
  for (const auto& [vector, name] : kVectors) {
    if (state.idtr.limit < vector * 8 + 7) continue;
    uint32_t low = 0, high = 0;
    const GuestVirtual gate(state.idtr.base + vector * 8);
    if (memory.read_value(gate, Privilege::Supervisor, &low) ||
        memory.read_value(gate + 4, Privilege::Supervisor, &high)) {
      continue;
    }
    if ((high & 0x8000U) != 0) found.push_back({name, (high & 0xffff'0000U) | (low & 0xffffU)});
  }
  if (state.sysenter_eip != 0) found.push_back({"system call, SYSENTER", state.sysenter_eip});
  return found;
}

bool run_and_count(const MachineConfig& config, const ExploreOptions& options, Counter* counter,
                   std::unique_ptr<Machine>* machine, Exploration* out, std::string* error) {
  constexpr Nanoseconds kComeBy = 500'000;
  LockstepOptions chosen;
  chosen.seconds = options.run_seconds;
  chosen.skip = options.skip;
  chosen.come_by = kComeBy;
  chosen.ram_every = uint64_t{1} << 62;  // not what this run is for
  SampleTaker taker(&out->samples);
  std::string problem;
  chosen.on_instruction = [&](const GuestState& state, const FollowedInstruction* next) {
    constexpr uint64_t kInstructionsBetweenLooks = 256;
    if (counter->all() == 0) (void)taker.start(machine->get(), &problem);
    if (counter->all() % kInstructionsBetweenLooks == 0) taker.look_up();
    counter->count(state, next);
  };
  Lockstep lockstep(chosen);
  const SerialCapture serial;
  note_step("runs the guest, and follows it");
  *machine = make_followed(config, serial, &lockstep, error);
  if (*machine == nullptr) return false;
  const MachineOutcome outcome = (*machine)->run();
  out->end = end_of(outcome);
  taker.stop();
  lockstep.finish();
  out->instructions = counter->all();
  out->seconds = lockstep.figures().seconds;
  out->time_was_up = lockstep.figures().time_was_up;
  if (lockstep.difference().found) out->difference = lockstep.difference().what;
  *error = problem;
  const bool was_stopped = out->time_was_up || outcome.reason == StopReason::Quit;
  if (!error->empty() || was_stopped || out->instructions == 0) return error->empty();
  // A guest that ends by itself is run a second time: its cycles are then those of a guest alone.
  note_step("runs the guest again, and looks where it is");
  out->samples = {};
  const SamplingSpan span{static_cast<Nanoseconds>(options.skip * 1e9), (*machine)->clock().now()};
  return sample_runs(config, span, &out->samples, error);
}

// Linux's spin locks take a word from 0 to 1 by a locked CMPXCHG.
bool takes_spin_lock(const DumpedUnit& unit, uint32_t exchange) {
  bool has_zero = false, has_one = false;
  for (const DumpedInstruction& instruction : unit.instructions) {
    if (instruction.eip == Eip(exchange)) return has_zero && has_one;
    has_zero = has_zero || instruction.text == "xor eax, eax";
    has_one =
        has_one || (instruction.text.starts_with("mov e") &&
                    (instruction.text.ends_with(", 0x1") || instruction.text.ends_with(", 1")));
  }
  return false;
}

// The block that takes one most often: it begins a little before its CMPXCHG.
void take_spin_lock(const Counter& counter, BlockTaker* taker) {
  constexpr uint32_t kLongestWay = 48;
  for (const uint32_t exchange : counter.exchanges()) {
    for (uint32_t back = 0; back < kLongestWay; ++back) {
      const uint32_t eip = exchange - back;
      if (counter.entered(place_of(eip, Privilege::Supervisor)) == 0) continue;
      const std::optional<DumpedUnit> unit = taker->translated(eip, Privilege::Supervisor);
      if (unit && takes_spin_lock(*unit, exchange)) return taker->take_landmark(eip, "spin lock");
    }
  }
}

void take_hot(Machine& machine, const Counter& counter, uint32_t most, BlockTaker* taker) {
  uint32_t blocks = 0;
  for (const uint64_t key : counter.heads()) {
    if (blocks == most) break;
    const auto privilege = static_cast<Privilege>(key >> 32);
    if (taker->take(static_cast<uint32_t>(key), privilege)) ++blocks;
  }
  for (const Landmark& landmark : landmarks(machine)) {
    taker->take_landmark(landmark.eip, landmark.name);
  }
  take_spin_lock(counter, taker);
}

}  // namespace

uint64_t ExploredBlock::executed_in_all() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < executed.size(); ++i) sum += is_shared[i] ? 0 : executed[i];
  return sum;
}

uint64_t ExploredBlock::sampled_in_all() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < sampled.size(); ++i) sum += is_shared[i] ? 0 : sampled[i];
  return sum;
}

bool explore(const MachineConfig& config, const ExploreOptions& options, Exploration* out,
             std::string* error) {
  Counter counter;
  std::unique_ptr<Machine> machine;
  if (options.run_seconds > 0) {
    if (!run_and_count(config, options, &counter, &machine, out, error)) return false;
    BlockTaker taker(*machine, config, counter, out);
    take_hot(*machine, counter, options.blocks, &taker);
    std::stable_sort(out->blocks.begin(), out->blocks.end(),
                     [](const ExploredBlock& left, const ExploredBlock& right) {
                       return left.executed_in_all() > right.executed_in_all();
                     });
    return true;
  }
  machine = Machine::create(config, error);
  if (machine == nullptr) return false;
  const ModeReason mode = execution_mode(machine->state());
  if (mode != ModeReason::Translatable) {
    *error = std::string("the guest does not start in flat 32-bit code: ") + mode_reason_name(mode);
    return false;
  }
  BlockTaker taker(*machine, config, counter, out);
  return taker.take_from(machine->state().eip, options.blocks, error);
}

}  // namespace ringshift::lab
