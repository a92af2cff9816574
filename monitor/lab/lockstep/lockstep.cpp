#include "monitor/lab/lockstep/lockstep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "monitor/host/time/host_clock.h"
#include "monitor/lab/lockstep/replay.h"
#include "monitor/lab/parts/effects.h"
#include "monitor/lab/parts/guests/guest_code.h"

namespace ringshift::lab {
namespace {

// The longest way between two boundaries: a loop without exits runs until a timer interrupts it.
constexpr uint64_t kLongestWay = 400'000'000;
constexpr uint64_t kLongestWayByClock = 100'000'000;
constexpr size_t kSuspectsShown = 6;
constexpr double kReplaySeconds = 60;

bool quickly_unlike(const GuestState& left, const GuestState& right) {
  return left.eip != right.eip || left.gpr != right.gpr || left.cpl != right.cpl;
}

}  // namespace

std::vector<std::string> differences(const GuestState& left, const GuestState& right,
                                     uint32_t ignored_flags) {
  const Visible a{left.eip, left.eflags & ~ignored_flags, left.gpr, {}};
  const Visible b{right.eip, right.eflags & ~ignored_flags, right.gpr, {}};
  std::vector<std::string> found;
  if (left.eip != right.eip) found.push_back(fmt::format("EIP={:08x}", right.eip));
  for (std::string& effect : visible_effects(a, b, 0)) found.push_back(std::move(effect));
  for (std::string& change : control_changes(left, right)) found.push_back(std::move(change));
  return found;
}

std::string fault_name(const GuestFault& fault, const GuestState& state) {
  const std::string name = exception_name(static_cast<uint32_t>(fault.vector), 0);
  return fmt::format("{} at CPL {}", name.substr(0, name.find('(')), state.cpl);
}

bool Lockstep::attach(Machine* leader, std::string* error) {
  leader_ = leader;
  started_ = HostClock::monotonic();
  if (options_.skip == 0 && !begin(error)) return false;
  if (options_.skip == 0 && options_.come_by == 0) return true;
  timer_ = std::make_unique<ClockTimer>(leader->clock(),
                                        [this](Nanoseconds deadline) { on_clock(deadline); });
  timer_->arm(leader->clock().now() +
              std::max(options_.come_by, static_cast<Nanoseconds>(options_.skip * 1e9)));
  return true;
}

// The follower begins where the leader is.
bool Lockstep::begin(std::string* error) {
  next_ram_ = options_.ram_every;
  follower_ = Follower::create(*leader_, recorder_.inputs(), error);
  if (follower_ == nullptr) return false;
  recorder_.attach(leader_);
  if (options_.keeps_way) follower_->keep_way();
  figures_.began = true;
  figures_.first_eip = figures_.last_eip = leader_->state().eip;
  return true;
}

// Timers run at the top of the loop, where the leader is at a boundary.
void Lockstep::on_clock(Nanoseconds) {
  const GuestState& state = leader_->state();
  if (follower_ != nullptr) {
    catch_up(state);
  } else if (std::string error; state.activity == ActivityState::Running && !begin(&error)) {
    difference_.gave_up = true;
    difference_.what = error;
    return leader_->request_stop(StopReason::Quit);
  }
  stop_when_due();
  constexpr Nanoseconds kAtLeast = 1'000'000;
  timer_->arm(leader_->clock().now() + std::max(options_.come_by, kAtLeast));
}

double Lockstep::passed() const {
  return static_cast<double>(HostClock::monotonic() - started_) / 1e9;
}

// Registers alone do not tell one turn of a loop from the next, if it counts in memory.
bool Lockstep::agrees(const GuestState& state, std::string* nearest) {
  if (quickly_unlike(follower_->state(), state)) return false;
  uint64_t ignored = 0;
  for (const GuestPhysicalPage page : follower_->written()) {
    const std::optional<GuestPhysical> word = unlike_word(page, &ignored);
    if (!word) continue;
    if (nearest->empty()) *nearest = words_at(*word);
    return false;
  }
  uint32_t open = follower_->undefined_flags();
  // Translated POPF that leaves for the interpreter has used the flags it is about to overwrite.
  const FollowedInstruction* next = follower_->next();
  if (next != nullptr && next->flags_move == FlagsMove::Popped) open |= kFlagsArithmetic;
  if (!differences(follower_->state(), state, open).empty()) return false;
  // Translated code is entered without RF, and nothing there looks at it: if an interrupt comes
  // before the instruction it was for, its frame is without RF too.
  if ((follower_->state().eflags & ~state.eflags & kFlagRf) != 0) {
    ++figures_.resume_flags;
    follower_->state().eflags &= ~kFlagRf;
  }
  // Where the manual leaves flags open, the processor's are taken over.
  if (((follower_->state().eflags ^ state.eflags) & open) != 0) {
    ++figures_.undefined_flags;
    follower_->state().eflags = state.eflags;
  }
  return true;
}

void Lockstep::diverge(const GuestState& state, std::string what) {
  difference_.found = true;
  difference_.to_eip = state.eip;
  difference_.what = std::move(what);
  for (size_t i = 0; i <= last_eips_.size(); ++i) {
    // First where they agreed last, then the latest instructions.
    const uint32_t eip = i == 0 ? difference_.from_eip
                                : last_eips_[(figures_.instructions + i - 1) % last_eips_.size()];
    std::string line = fmt::format("{:08x}:", eip);
    for (const uint8_t byte : follower_->bytes_at(eip)) line += fmt::format(" {:02x}", byte);
    difference_.path.push_back(std::move(line));
  }
  leader_->request_stop(StopReason::Quit);
}

// While the follower works the leader's time stands still: to its guest, being followed is free.
void Lockstep::catch_up(const GuestState& state) {
  if (follows()) leader_->outside_time([&] { follow_to(state); });
}

void Lockstep::follow_to(const GuestState& state) {
  difference_.instruction = figures_.instructions;
  difference_.from_eip = follower_->state().eip;
  difference_.suspects.clear();
  if (options_.keeps_way) follower_->mark();
  uint64_t way = 0;
  std::string nearest;
  while (must_step_ || !agrees(state, &nearest)) {
    must_step_ = false;
    if (must_end(state, ++way, nearest) || !step_once(state, &nearest)) return;
  }
  follower_->forget_written();
  note_way(way, state);
  if (figures_.instructions >= next_ram_) {
    next_ram_ = figures_.instructions + options_.ram_every;
    compare_ram();
  }
}

void Lockstep::note_way(uint64_t way, const GuestState& state) {
  ++figures_.boundaries;
  figures_.longest_way = std::max(figures_.longest_way, way);
  figures_.last_eip = state.eip;
  figures_.last_cpl = state.cpl;
}

// Before step number `way` from the last boundary: is there a verdict, or no time left for one?
bool Lockstep::must_end(const GuestState& state, uint64_t way, const std::string& nearest) {
  constexpr uint64_t kStepsBetweenLooks = 1U << 16;
  // One step of the leader's may be many iterations of a REP string instruction.
  const bool repeats = way > 1 && follower_->state().eip == difference_.from_eip;
  const uint64_t longest = options_.come_by == 0 ? kLongestWay : kLongestWayByClock;
  if (way <= longest && (!single_ || way == 1 || repeats)) {
    if (way % kStepsBetweenLooks != 0 || passed() < options_.seconds) return false;
    figures_.time_was_up = true;
    leader_->request_stop(StopReason::Quit);
  } else if (single_ || !nearest.empty()) {
    diverge(state, nearest.empty() ? "the interpreter does not come there" : nearest);
  } else {
    difference_.gave_up = true;
    leader_->request_stop(StopReason::Quit);
  }
  return true;
}

// False if that has shown a difference.
bool Lockstep::step_once(const GuestState& state, std::string* nearest) {
  const FollowedInstruction* next = follower_->next();
  const uint32_t eip = follower_->state().eip;
  const Treatment treatment = next != nullptr ? next->treatment : Treatment::Interpret;
  ++figures_.by_treatment[static_cast<size_t>(treatment)];
  if (next != nullptr && next->is_sensitive && difference_.suspects.size() < kSuspectsShown) {
    difference_.suspects.push_back(fmt::format("{} at {:08x}", next->name, eip));
  }
  last_eips_[figures_.instructions % last_eips_.size()] = eip;
  ++figures_.instructions;
  if (follower_->state().cpl == 3) ++figures_.user_instructions;
  if (options_.on_instruction) options_.on_instruction(follower_->state(), next);
  if (!follower_->step(next)) {
    diverge(state, nearest->empty() ? follower_->problem() : *nearest);
    return false;
  }
  if (nearest->empty() && follower_->state().eip == state.eip) {
    *nearest = joined(differences(follower_->state(), state, 0), ", ");
  }
  return true;
}

// The first word that differs, if any. If two words differ in A and D only, one side has used
// another translation lookaside buffer.
std::optional<GuestPhysical> Lockstep::unlike_word(GuestPhysicalPage page,
                                                   uint64_t* accessed_dirty) {
  constexpr uint32_t kAccessedDirty = 0x60;
  const uint8_t* a = follower_->ram().at(page.address());
  const uint8_t* b = leader_->memory().at(page.address());
  if (std::memcmp(a, b, kPageSize) == 0) return std::nullopt;
  for (uint32_t at = 0; at < kPageSize; at += 4) {
    uint32_t left = 0, right = 0;
    std::memcpy(&left, a + at, 4);
    std::memcpy(&right, b + at, 4);
    const GuestPhysical word = page.address() + at;
    if (left == right || follower_->is_open(word.value())) continue;
    if (((left ^ right) & ~kAccessedDirty) != 0) return word;
    ++*accessed_dirty;
  }
  return std::nullopt;
}

std::string Lockstep::words_at(GuestPhysical word) {
  uint32_t left = 0, right = 0;
  std::memcpy(&left, follower_->ram().at(word), 4);
  std::memcpy(&right, leader_->memory().at(word), 4);
  return fmt::format("RAM at {:x}: {:08x}, interpreted {:08x}", word.value(), right, left);
}

void Lockstep::compare_ram() {
  ++figures_.ram_comparisons;
  figures_.accessed_dirty_words = 0;
  for (uint64_t at = 0; at < follower_->ram().size(); at += kPageSize) {
    const std::optional<GuestPhysical> word =
        unlike_word(GuestPhysicalPage::of(GuestPhysical(at)), &figures_.accessed_dirty_words);
    if (word) return diverge(follower_->state(), words_at(*word));
  }
}

void Lockstep::stop_when_due() {
  if (passed() >= options_.seconds) leader_->request_stop(StopReason::Quit);
}

void Lockstep::before_interpreted(const GuestState& state) {
  if (follower_ == nullptr) return;
  ++figures_.interpreted;
  catch_up(state);
  must_step_ = true;
}

void Lockstep::after_interpreted(const GuestState&) {
  constexpr uint64_t kEventsBetweenLooks = 64;
  if (figures_.interpreted % kEventsBetweenLooks == 0) stop_when_due();
}

void Lockstep::before_interrupt(const Event& event, const GuestState& state) {
  if (follower_ == nullptr) return;
  ++figures_.interrupts;
  catch_up(state);
  if (follows()) follower_->deliver_event(event);
  stop_when_due();
}

void Lockstep::on_guest_fault(const GuestFault& fault, const GuestState& state) {
  if (follower_ == nullptr) return;
  ++figures_.guest_faults[fault_name(fault, state)];
  note_refusal(fault, state);
}

void Lockstep::note_refusal(const GuestFault& fault, const GuestState& state) {
  constexpr size_t kMostRefusals = 64;
  const std::string name = fault_name(fault, state);
  for (Refusal& known : figures_.refusals) {
    if (known.eip != state.eip || known.fault != name) continue;
    ++known.count;
    return;
  }
  if (figures_.refusals.size() == kMostRefusals) return;
  const uint32_t address = fault.vector == Vector::PageFault ? fault.cr2 : 0;
  figures_.refusals.push_back(
      {state.eip, address, name, guest_instruction(*leader_, state.eip), 1});
}

void Lockstep::finish() {
  timer_.reset();
  if (follows()) {
    // The last instruction, which ended the run.
    if (must_step_ && !follower_->step(follower_->next())) {
      diverge(leader_->state(), follower_->problem());
    }
    must_step_ = false;
    catch_up(leader_->state());
    if (follows()) compare_ram();
  }
  figures_.seconds = passed();
}

void Lockstep::name_first() {
  const bool parted = difference_.found || difference_.gave_up || figures_.time_was_up;
  if (follower_ == nullptr || !options_.keeps_way || !parted) return;
  const uint64_t steps = figures_.instructions - difference_.instruction;
  const std::optional<WrongInstruction> wrong =
      find_wrong(*follower_, steps, figures_.time_was_up ? options_.seconds : kReplaySeconds).wrong;
  if (!wrong) return;
  difference_.found = true;
  difference_.gave_up = false;
  difference_.instruction += wrong->steps;
  figures_.instructions = difference_.instruction + 1;
  difference_.from_eip = wrong->eip;
  difference_.suspects = {fmt::format("{} at {:08x}", wrong->name, wrong->eip)};
  difference_.what = wrong->what;
}

std::unique_ptr<Machine> make_followed(const MachineConfig& config, const SerialCapture& serial,
                                       Lockstep* lockstep, std::string* error) {
  if (!serial.ok()) {
    *error = "no temporary file for the serial line";
    return nullptr;
  }
  MachineConfig followed = config;
  serial.attach(&followed);
  followed.vcpu.observer = lockstep;
  followed.translator.features.interpret_time = true;  // or the follower could not be told
  std::unique_ptr<Machine> machine = Machine::create(followed, error);
  if (machine == nullptr || !lockstep->attach(machine.get(), error)) return nullptr;
  return machine;
}

}  // namespace ringshift::lab
