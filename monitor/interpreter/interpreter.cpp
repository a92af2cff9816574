#include "monitor/interpreter/interpreter.h"

#include <emmintrin.h>

#include <algorithm>
#include <vector>

#include "monitor/interpreter/debug.h"
#include "monitor/interpreter/operation.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/counters.h"
#include "translator/event_counter.h"

namespace ringshift {

using interp::Execution;
using interp::Operation;

namespace {

constexpr size_t kCacheEntries = 1U << 15;
constexpr uint32_t kDr6SingleStep = 1U << 14;
constexpr uint32_t kCompared = 16;  // bytes that same_bytes() reads
constexpr uint8_t kShadowMovSs = 2;

DecodeMode mode_of(const GuestState& state) {
  if (state.seg(SegmentRegister::Cs).default_32()) return DecodeMode::Bits32;
  return state.protected_mode() ? DecodeMode::Bits16 : DecodeMode::Real16;
}

// The bytes at CS:EIP, as far as they have been needed.
struct CodeBytes {
  alignas(16) std::array<uint8_t, 16> bytes{};
  uint32_t available = 0;   // read so far
  uint32_t in_segment = 0;  // up to the segment limit, at most 15
};

// Do the first `length` bytes agree? Sixteen are read of each.
bool same_bytes(const std::array<uint8_t, 16>& left, const uint8_t* right, unsigned length) {
  const __m128i a = _mm_load_si128(reinterpret_cast<const __m128i*>(left.data()));
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(right));
  const auto equal = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(a, b)));
  const unsigned wanted = (1U << length) - 1U;
  return (equal & wanted) == wanted;
}

}  // namespace

struct Interpreter::Impl {
  Impl(CpuContext& cpu, FpuUnitRunner& fpu)
      : x(cpu, fpu), cache(kCacheEntries), count(counters()) {}

  // Where the instruction at this address is kept, if it is.
  [[nodiscard]] Operation& entry_of(GuestVirtual linear) {
    const uint32_t mixed = linear.value() ^ (linear.value() >> 15);
    return cache[mixed & (kCacheEntries - 1)];
  }
  [[nodiscard]] MaybeFault fetch(CodeBytes* code);
  [[nodiscard]] MaybeFault fetch_rest(GuestVirtual linear, CodeBytes* code);
  [[nodiscard]] MaybeFault find_operation(const Operation** found);
  [[nodiscard]] MaybeFault find_operation_slowly(GuestVirtual linear, DecodeMode mode, bool known,
                                                 Operation* entry);
  [[nodiscard]] MaybeFault decode_into(GuestVirtual linear, DecodeMode mode, CodeBytes* code,
                                       Operation* entry);
  [[nodiscard]] StepResult finish(bool single_step);
  [[nodiscard]] MaybeFault execute(bool* single_step);
  [[nodiscard]] bool may_run_plain() const;
  [[nodiscard]] const Operation* known_plain(DecodeMode mode);
  [[nodiscard]] uint64_t events_of(const Operation& op) const;
  [[nodiscard]] bool pass_event(const Operation& op);
  [[nodiscard]] MaybeFault run(const Operation& op);

  Execution x;
  std::vector<Operation> cache;
  GuestInstruction decoded;
  Counters& count;
  EventCounter* events = nullptr;
};

uint64_t Interpreter::Impl::events_of(const Operation& op) const {
  switch (op.event) {
    case EventRule::None:
      return 0;
    case EventRule::Always:
      return 1;
    case EventRule::Time:
      return kEventsOfTimeRead;
    case EventRule::Port:
      return kEventsOfPortAccess;
    case EventRule::Branch: {
      const Eip eip = x.state.pointer();
      const uint32_t target = eip.value() + op.length + op.immediate;
      const Eip destination(op.operand_bytes == 2 ? target & 0xffffU : target);
      return goes_up_in_page(eip, destination) ? 0 : 1;
    }
  }
  UNREACHABLE();
}

// The guest is about to execute it. False: not before somebody has looked.
bool Interpreter::Impl::pass_event(const Operation& op) {
  if (events == nullptr) return true;
  const uint64_t passed = events_of(op);
  if (passed == 0) return true;
  if (events->is_due()) return false;
  events->add(passed);
  return true;
}

MaybeFault Interpreter::Impl::run(const Operation& op) {
  const uint64_t calls = x.memory.physical().device_calls();
  const MaybeFault fault = op.handler(x, op);
  const uint64_t made = x.memory.physical().device_calls() - calls;
  if (made != 0 && events != nullptr) events->add(made * kEventsOfDeviceAccess);
  return fault;
}

// Reads as far as the end of the page: most instructions end before it, and the next page must not
// be touched for those that do.
MaybeFault Interpreter::Impl::fetch(CodeBytes* code) {
  const SegmentCache& cs = x.state.seg(SegmentRegister::Cs);
  const uint32_t eip = x.state.eip;
  if (eip > cs.limit) [[unlikely]]
    return interp::general_protection();
  // A segment of 4 GiB has no end: an access beyond it goes on at 0 (LIMIT(L27)).
  const uint32_t beyond = cs.limit == ~0U ? ~0U : cs.limit - eip;
  code->in_segment = std::min<uint32_t>(beyond, kMaxInstructionBytes - 1) + 1;
  const GuestVirtual linear(cs.base + eip);
  const uint32_t in_page = kPageSize - linear.offset_in_page();
  return x.memory.fetch(linear, code->bytes.data(), std::min(code->in_segment, in_page),
                        x.privilege(), &code->available);
}

MaybeFault Interpreter::Impl::fetch_rest(GuestVirtual linear, CodeBytes* code) {
  if (code->available >= code->in_segment) return kNoFault;
  uint32_t fetched = 0;
  RETURN_IF_FAULT(x.memory.fetch(linear + code->available, code->bytes.data() + code->available,
                                 code->in_segment - code->available, x.privilege(), &fetched));
  code->available += fetched;
  return kNoFault;
}

MaybeFault Interpreter::Impl::decode_into(GuestVirtual linear, DecodeMode mode, CodeBytes* code,
                                          Operation* entry) {
  ++count.interpreter_decodes;
  DecodeOutcome outcome = decode({code->bytes.data(), code->available}, mode, &decoded);
  if (outcome == DecodeOutcome::NeedMoreBytes && code->available < code->in_segment) {
    RETURN_IF_FAULT(fetch_rest(linear, code));
    outcome = decode({code->bytes.data(), code->available}, mode, &decoded);
  }
  switch (outcome) {
    case DecodeOutcome::Ok:
      break;
    case DecodeOutcome::Invalid:
      return GuestFault::invalid_opcode();
    case DecodeOutcome::NeedMoreBytes:  // beyond the limit of the code segment
    case DecodeOutcome::TooLong:
      return interp::general_protection();
  }
  interp::prepare_operation(decoded, mode, x.cpu.model, entry);
  entry->linear = linear.value();
  return kNoFault;
}

MaybeFault Interpreter::Impl::find_operation(const Operation** found) {
  const SegmentCache& cs = x.state.seg(SegmentRegister::Cs);
  const GuestVirtual linear(cs.base + x.state.eip);
  const DecodeMode mode = mode_of(x.state);
  Operation& entry = entry_of(linear);
  *found = &entry;
  const bool known = entry.linear == linear.value() && entry.mode == mode && entry.length != 0;
  // The usual case, without copying: all of it within its page and its segment.
  if (known && x.state.eip <= cs.limit && cs.limit - x.state.eip >= kCompared) [[likely]] {
    const uint8_t* code = x.memory.cached_code(linear, kCompared, x.privilege());
    if (code != nullptr && same_bytes(entry.bytes, code, entry.length)) return kNoFault;
  }
  return find_operation_slowly(linear, mode, known, &entry);
}

MaybeFault Interpreter::Impl::find_operation_slowly(GuestVirtual linear, DecodeMode mode,
                                                    bool known, Operation* entry) {
  CodeBytes code;
  RETURN_IF_FAULT(fetch(&code));
  if (known) {
    // If these bytes differ already, the rest is not read: the next page may be absent.
    const unsigned here = std::min<unsigned>(entry->length, code.available);
    if (same_bytes(entry->bytes, code.bytes.data(), here)) {
      if (here == entry->length) return kNoFault;
      RETURN_IF_FAULT(fetch_rest(linear, &code));
      if (entry->length <= code.available &&
          same_bytes(entry->bytes, code.bytes.data(), entry->length)) {
        return kNoFault;
      }
    }
  }
  return decode_into(linear, mode, &code, entry);
}

MaybeFault Interpreter::Impl::execute(bool* single_step) {
  GuestState& state = x.state;
  const uint8_t shadow = state.interrupt_shadow;
  x.watching = (state.dr[7] & 0xffU) != 0 || x.watcher != nullptr;
  if (x.watching && (state.eflags & kFlagRf) == 0 && shadow != kShadowMovSs) [[unlikely]] {
    RETURN_IF_FAULT(interp::instruction_breakpoint(x));
  }
  *single_step = (state.eflags & kFlagTf) != 0;
  x.stepping = *single_step || x.watching || x.single_iterations;
  const Operation* op = nullptr;
  RETURN_IF_FAULT(find_operation(&op));
  if (!pass_event(*op)) {
    x.kind = StepKind::EventDue;
    return kNoFault;
  }
  ++count.interpreted_instructions;
  state.interrupt_shadow = 0;
  x.next_eip = state.pointer() + op->length;
  return run(*op);
}

StepResult Interpreter::Impl::finish(bool single_step) {
  GuestState& state = x.state;
  StepResult result;
  result.kind = x.kind;
  if (x.kind == StepKind::Unimplemented) [[unlikely]] {
    result.message = std::move(x.message);
    return result;
  }
  if (x.kind == StepKind::EventDue) return result;
  if (x.kind == StepKind::SoftwareEvent) [[unlikely]] {
    state.eflags &= ~kFlagRf;  // traps push RF clear (SDM 3B 17.3.1.1)
    result.vector = x.vector;
    result.is_software_exception = x.software_exception;
    result.return_eip = x.next_eip;
    return result;
  }
  state.eip = x.next_eip.value();
  if (!x.keep_resume_flag) state.eflags &= ~kFlagRf;
  const uint32_t hits = state.held_debug | x.debug_hits;
  // The boundary after MOV SS and POP SS takes no debug trap: a single step is forgotten, a data
  // breakpoint is held until the next boundary (SDM 3A 6.8.3).
  if (state.interrupt_shadow == kShadowMovSs) [[unlikely]] {
    state.held_debug = hits;
    return result;
  }
  state.held_debug = 0;
  if (single_step || x.debug_trap || hits != 0) [[unlikely]] {
    result.kind = StepKind::Fault;
    result.fault = GuestFault::simple(Vector::Debug);
    result.fault.dr6_bits = hits | (single_step ? kDr6SingleStep : 0U);
  }
  return result;
}

Interpreter::Interpreter(CpuContext& cpu, FpuUnitRunner& fpu)
    : impl_(std::make_unique<Impl>(cpu, fpu)) {}

Interpreter::~Interpreter() = default;

void Interpreter::iterate_singly(bool singly) { impl_->x.single_iterations = singly; }

void Interpreter::set_event_counter(EventCounter* events) {
  impl_->events = events;
  impl_->x.counts_events = events != nullptr;
}

void Interpreter::set_data_watcher(DataWatcher* watcher) { impl_->x.watcher = watcher; }

StepResult Interpreter::step() {
  Execution& x = impl_->x;
  x.kind = StepKind::Done;
  x.debug_trap = false;
  x.keep_resume_flag = false;
  x.debug_hits = 0;
  bool single_step = false;
  if (auto fault = impl_->execute(&single_step)) [[unlikely]] {
    StepResult result;
    result.kind = StepKind::Fault;
    result.fault = *fault;
    return result;
  }
  return impl_->finish(single_step);
}

bool Interpreter::Impl::may_run_plain() const {
  const GuestState& state = x.state;
  return (state.eflags & (kFlagTf | kFlagRf)) == 0 && (state.dr[7] & 0xffU) == 0 &&
         state.interrupt_shadow == 0 && state.held_debug == 0 && x.watcher == nullptr &&
         !x.single_iterations;
}

// The instruction at CS:EIP, if it is plain and still has the bytes that were decoded.
const Operation* Interpreter::Impl::known_plain(DecodeMode mode) {
  const SegmentCache& cs = x.state.seg(SegmentRegister::Cs);
  const uint32_t eip = x.state.eip;
  const GuestVirtual linear(cs.base + eip);
  const Operation& entry = entry_of(linear);
  if (entry.linear != linear.value() || entry.mode != mode || !entry.is_plain) return nullptr;
  if (eip > cs.limit || cs.limit - eip < kCompared) return nullptr;
  const uint8_t* code = x.memory.cached_code(linear, kCompared, x.privilege());
  if (code == nullptr || !same_bytes(entry.bytes, code, entry.length)) return nullptr;
  return &entry;
}

Interpreter::PlainRun Interpreter::run_plain(uint32_t most) {
  Impl& impl = *impl_;
  Execution& x = impl.x;
  PlainRun run;
  if (!impl.may_run_plain()) return run;
  x.kind = StepKind::Done;
  x.debug_trap = x.keep_resume_flag = x.watching = x.stepping = false;
  x.debug_hits = 0;
  const DecodeMode mode = mode_of(x.state);
  const uint64_t device_accesses = x.memory.physical().device_accesses();
  while (run.instructions < most && device_accesses == x.memory.physical().device_accesses()) {
    const Operation* op = impl.known_plain(mode);
    if (op == nullptr || !impl.pass_event(*op)) break;
    x.next_eip = x.state.pointer() + op->length;
    run.fault = impl.run(*op);
    if (run.fault) [[unlikely]]
      break;
    x.state.eip = x.next_eip.value();
    ++run.instructions;
  }
  DCHECK(x.kind == StepKind::Done && !x.debug_trap);
  impl.count.interpreted_instructions += run.instructions + (run.fault ? 1U : 0U);
  return run;
}

Event event_of(const StepResult& step, Eip eip) {
  if (step.kind == StepKind::Fault) return Event::from_fault(step.fault, eip);
  Event event;
  event.kind =
      step.is_software_exception ? EventKind::SoftwareException : EventKind::SoftwareInterrupt;
  event.vector = step.vector;
  event.return_eip = step.return_eip;
  return event;
}

}  // namespace ringshift
