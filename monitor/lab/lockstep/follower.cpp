#include "monitor/lab/lockstep/follower.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "monitor/lab/parts/sensitive.h"
#include "translator/user_sensitivity.h"

namespace ringshift::lab {
namespace {

const char* source_name(InputSource source) {
  switch (source) {
    case InputSource::Port:
      return "port";
    case InputSource::Memory:
      return "device memory";
    case InputSource::Clock:
      return "clock";
  }
  return "?";
}

std::string describe(const Input& input) {
  return fmt::format("{} of {} {:x} (value {:x})", input.is_write ? "a write" : "a read",
                     source_name(input.source), input.address, input.value);
}

// The decoder numbers arithmetic flags as EFLAGS does.
uint32_t arithmetic(ZydisAccessedFlagsMask mask) {
  return static_cast<uint32_t>(mask) & kFlagsArithmetic;
}

// How much of an FPU image is control words, instruction and operand pointers (SDM
// 1 8.1.8, 10.5.1).
uint32_t fpu_header_bytes(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_FXSAVE:
      return 24;
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FNSTENV:
      return 28;
    default:
      return 0;
  }
}

FlagsMove flags_move(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_PUSHFD:
      return FlagsMove::Pushed;
    case ZYDIS_MNEMONIC_POPFD:
      return FlagsMove::Popped;
    case ZYDIS_MNEMONIC_IRETD:
      return FlagsMove::Returned;
    default:
      return FlagsMove::None;
  }
}

int8_t general_register(ZydisRegister reg) {
  const bool is_general = ZydisRegisterGetClass(reg) == ZYDIS_REGCLASS_GPR32;
  return is_general ? ZydisRegisterGetId(reg) : static_cast<int8_t>(-1);
}

SegmentRegister segment_of(ZydisRegister reg) {
  return static_cast<SegmentRegister>(reg - ZYDIS_REGISTER_ES);
}

}  // namespace

void Recorder::attach(Machine* leader) { leader->set_tap(&ports_, &memory_, &clock_); }

std::unique_ptr<Follower> Follower::create(Machine& leader, std::deque<Input>& inputs,
                                           std::string* error) {
  std::unique_ptr<Follower> made(new Follower(inputs));
  made->memory_ = GuestMemory::create(leader.memory().size(), error);
  made->storage_ = FrameStorage::create(error);
  made->fpu_ = FpuUnit::create(error);
  if (made->memory_ == nullptr || made->storage_ == nullptr || made->fpu_ == nullptr) {
    return nullptr;
  }
  // Most of RAM is still untouched: copying zeros would make pages of both.
  for (uint64_t at = 0; at < leader.memory().size(); at += kPageSize) {
    const uint8_t* page = leader.memory().at(GuestPhysical(at));
    const auto is_zero = [](uint8_t byte) { return byte == 0; };
    if (std::all_of(page, page + kPageSize, is_zero)) continue;
    std::memcpy(made->memory_->at(GuestPhysical(at)), page, kPageSize);
  }
  made->state() = leader.state();
  made->physical_ = std::make_unique<PhysicalMemory>(*made->memory_, made->memory_bus_);
  made->is_written_.resize(leader.memory().size() / kPageSize);
  made->physical_->set_observer(made.get());
  made->physical_->set_a20(leader.processor().cpu().memory.physical().a20());
  made->linear_ = std::make_unique<LinearMemory>(*made->physical_, made->state());
  made->cpu_ = std::make_unique<CpuContext>(CpuContext{
      made->state(), *made->linear_, made->ports_, *made, *made, leader.processor().cpu().model});
  made->join_processor(leader.processor().cpu());
  made->interpreter_ = std::make_unique<Interpreter>(*made->cpu_, *made->fpu_);
  made->interpreter_->iterate_singly();
  constexpr uint32_t kAllPorts = 0x10000;
  bool claimed = made->ports_.claim(0, kAllPorts, *made, "replay");
  leader.memory_bus().for_each_range([&](GuestPhysical first, uint64_t bytes, const std::string&) {
    made->ranges_.push_back(std::make_unique<Range>(*made, first.value()));
    claimed = claimed && made->memory_bus_.claim(first, bytes, *made->ranges_.back(), "replay");
  });
  if (!claimed) *error = "the machine's buses cannot be followed";
  return claimed ? std::move(made) : nullptr;
}

// Copies the values that RDMSR reads besides the state. The APIC's other registers are device
// memory, and replayed.
void Follower::join_processor(const CpuContext& leader) {
  cpu_->memory_types = leader.memory_types;
  if (leader.apic == nullptr) return;
  apic_.set_enabled(leader.apic->enabled());
  cpu_->apic = &apic_;
}

uint32_t Follower::Range::read(uint64_t offset, AccessWidth) {
  return static_cast<uint32_t>(follower_.take(InputSource::Memory, false, first_ + offset, 0));
}

void Follower::Range::write(uint64_t offset, AccessWidth, uint32_t value) {
  (void)follower_.take(InputSource::Memory, true, first_ + offset, value);
}

uint32_t Follower::read(uint16_t offset, AccessWidth) {
  return static_cast<uint32_t>(take(InputSource::Port, false, offset, 0));
}

void Follower::write(uint16_t offset, AccessWidth, uint32_t value) {
  (void)take(InputSource::Port, true, offset, value);
}

// The same exchange, in the same order, writes with the same value.
uint64_t Follower::take(InputSource source, bool is_write, uint64_t address, uint64_t value) {
  const Input wanted{source, is_write, address, value};
  if (inputs_.empty()) {
    problem_ = "the interpreter makes " + describe(wanted) + " that the other did not make";
    return 0;
  }
  const Input found = inputs_.front();
  inputs_.pop_front();
  const bool agrees = found.source == source && found.is_write == is_write &&
                      found.address == address && (!is_write || found.value == value);
  if (!agrees) {
    problem_ = "the interpreter makes " + describe(wanted) + ", the other made " + describe(found);
  }
  return found.value;
}

void Follower::learn(std::span<const uint8_t> code, FollowedInstruction* out) const {
  *out = {};
  GuestInstruction instruction;
  if (decode(code, DecodeMode::Bits32, &instruction) != DecodeOutcome::Ok) return;
  out->length = instruction.length;
  std::copy_n(instruction.bytes.begin(), instruction.length, out->bytes.begin());
  out->treatment = treatment_of(instruction);
  const ConcernedInstruction what = concern_of(instruction);
  out->name = what.name;
  out->is_sensitive = what.concern == Concern::Sensitive;
  // On a host whose MXCSR has other bits these answer for the host, as CPUID does.
  if (depends_on_mxcsr_bits(instruction.facts.mnemonic) &&
      host_mxcsr_mask() != cpu_->model.mxcsr_mask()) {
    out->name = mnemonic_of(instruction);
    out->is_sensitive = true;
  }
  out->flags_move = flags_move(instruction.facts.mnemonic);
  out->fpu_header_bytes = fpu_header_bytes(instruction.facts.mnemonic);
  if (const ZydisDecodedOperand& operand = instruction.operands[0];
      out->fpu_header_bytes != 0 && operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    out->base = general_register(operand.mem.base);
    out->index = general_register(operand.mem.index);
    out->scale = operand.mem.scale;
    out->displacement = static_cast<uint32_t>(operand.mem.disp.value);
    out->segment = segment_of(operand.mem.segment);
  }
  if (const ZydisAccessedFlags* flags = instruction.facts.cpu_flags; flags != nullptr) {
    out->flags_undefined = arithmetic(flags->undefined);
    out->flags_written = arithmetic(flags->modified | flags->set_0 | flags->set_1);
  }
}

// Notes the words that processors may fill as they like: the pointers, for instance, only after a
// fault.
void Follower::note_fpu_image(const FollowedInstruction& instruction) {
  const GuestState& s = state();
  uint32_t address = s.seg(instruction.segment).base + instruction.displacement;
  if (instruction.base >= 0) address += s.gpr[static_cast<size_t>(instruction.base)];
  if (instruction.index >= 0) {
    address += s.gpr[static_cast<size_t>(instruction.index)] * instruction.scale;
  }
  const Privilege privilege = s.privilege();
  for (uint32_t offset = 0; offset < instruction.fpu_header_bytes; offset += 4) {
    GuestPhysical physical;
    const GuestVirtual at(address + offset);
    if (linear_->translate(at, AccessKind::Write, privilege, &physical)) return;
    open_words_.insert(physical.value() & ~uint64_t{3});
  }
}

const FollowedInstruction* Follower::next() {
  const GuestState& s = state();
  const SegmentCache& cs = s.seg(SegmentRegister::Cs);
  if (!s.protected_mode() || !cs.default_32()) return nullptr;
  const uint32_t linear = s.code_address().value();
  std::array<uint8_t, kMaxInstructionBytes> code{};
  const Privilege privilege = s.privilege();
  FollowedInstruction& known = known_[place_of(linear)];
  const uint8_t* cached =
      linear_->cached_code(GuestVirtual(linear), kMaxInstructionBytes, privilege);
  if (cached != nullptr && known.linear == linear && known.length != 0 &&
      std::memcmp(cached, known.bytes.data(), known.length) == 0) {
    return &known;
  }
  uint32_t fetched = 0, more = 0;
  const uint32_t here =
      std::min<uint32_t>(kMaxInstructionBytes, kPageSize - GuestVirtual(linear).offset_in_page());
  if (linear_->fetch(GuestVirtual(linear), code.data(), here, privilege, &fetched)) return nullptr;
  learn({code.data(), fetched}, &known);
  known.linear = linear;
  if (known.length == 0 && here < kMaxInstructionBytes &&
      !linear_->fetch(GuestVirtual(linear + here), code.data() + here, kMaxInstructionBytes - here,
                      privilege, &more)) {
    learn({code.data(), fetched + more}, &known);
    known.linear = linear;
  }
  return &known;
}

std::span<const uint8_t> Follower::bytes_at(uint32_t linear) const {
  const FollowedInstruction& known = known_[place_of(linear)];
  if (known.linear != linear) return {};
  return {known.bytes.data(), known.length};
}

void Follower::before_write(GuestPhysicalPage page) {
  if (!keeps_way_) return;
  KeptPage& kept = kept_.emplace_back(KeptPage{page, {}});
  std::memcpy(kept.bytes.data(), memory_->at(page.address()), kPageSize);
}

// Pages that an interrupt's delivery has written since the last agreement are as they are now.
void Follower::mark() {
  for (KeptPage& kept : kept_) {
    std::memcpy(kept.bytes.data(), memory_->at(kept.page.address()), kPageSize);
  }
  mark_ = {state(), undefined_flags_, stored_undefined_flags_, inputs_};
}

// Accessed and dirty bits stay as they are: they come from the walker, and are never compared.
void Follower::rewind() {
  for (const KeptPage& kept : kept_) {
    std::memcpy(memory_->at(kept.page.address()), kept.bytes.data(), kPageSize);
  }
  state() = mark_.state;
  undefined_flags_ = mark_.undefined_flags;
  stored_undefined_flags_ = mark_.stored_undefined_flags;
  inputs_ = mark_.inputs;
  problem_.clear();
  forget_written();
  linear_->flush();
}

void Follower::on_write(GuestPhysical address, uint32_t length) {
  if (length == 0) return;  // A and D: both processors set their own
  const GuestPhysicalPage page = GuestPhysicalPage::of(physical_->masked(address));
  written_.push_back(page);
  is_written_[page.number()] = true;
  linear_->flush_physical_page(page);
}

void Follower::forget_written() {
  constexpr size_t kManyPages = 64;
  const bool many = written_.size() > kManyPages;
  for (const GuestPhysicalPage page : written_) {
    is_written_[page.number()] = false;
    if (!many) linear_->flush_physical_page(page);
  }
  if (many) linear_->flush();
  written_.clear();
  kept_.clear();
}

void Follower::deliver_event(const Event& event) {
  if (deliver(*cpu_, event, state().pointer()) == DeliveryResult::Shutdown) {
    state().activity = ActivityState::Shutdown;
  }
}

// Tracks undefined flags: in EFLAGS, in memory after PUSHF, and in EFLAGS again after POPF.
void Follower::follow_flags(const FollowedInstruction& instruction) {
  if (instruction.flags_move == FlagsMove::Pushed && undefined_flags_ != 0) {
    stored_undefined_flags_ |= undefined_flags_;
    GuestPhysical physical;
    const GuestVirtual top(state().seg(SegmentRegister::Ss).base + state().reg(Gpr::Esp));
    if (!linear_->translate(top, AccessKind::Write, Privilege::Supervisor, &physical)) {
      open_words_.insert(physical.value() & ~uint64_t{3});
    }
  }
  if (instruction.flags_move >= FlagsMove::Popped) {
    undefined_flags_ = stored_undefined_flags_;
    return;
  }
  // Shifts by zero write nothing, so flags undefined before them may still be.
  const uint32_t undefined = instruction.flags_undefined;
  undefined_flags_ &= ~(undefined == 0 ? instruction.flags_written : 0U);
  undefined_flags_ |= undefined;
}

bool Follower::step(const FollowedInstruction* next) {
  const Eip eip = state().pointer();
  if (next != nullptr && next->fpu_header_bytes != 0) note_fpu_image(*next);
  state().activity = ActivityState::Running;
  const StepResult step = interpreter_->step();
  if (next != nullptr) follow_flags(*next);
  switch (step.kind) {
    case StepKind::Done:
      return problem_.empty();
    case StepKind::EventDue:  // nobody counts events here
      UNREACHABLE();
    case StepKind::Halted:
      state().activity = ActivityState::Halted;
      return problem_.empty();
    case StepKind::Unimplemented:
      problem_ = step.message;
      return false;
    case StepKind::Fault:
    case StepKind::SoftwareEvent:
      break;
  }
  if (deliver(*cpu_, event_of(step, state().pointer()), eip) == DeliveryResult::Shutdown) {
    state().activity = ActivityState::Shutdown;
  }
  return problem_.empty();
}

}  // namespace ringshift::lab
