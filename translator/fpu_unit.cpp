#include "translator/fpu_unit.h"

#include <algorithm>
#include <cstring>

#include "translator/decode.h"
#include "translator/fpu_precision.h"
#include "translator/fpu_unit_emit.h"

namespace ringshift {
namespace {

constexpr uint64_t kArenaBytes = 256 * 1024;
// Offsets of the FXSAVE image (SDM 1 table 10-2).
constexpr size_t kControlWord = 0;
constexpr size_t kStatusWord = 2;
constexpr size_t kMxcsr = 24;
constexpr size_t kImageEnd = 288;  // XMM7; the rest does not exist in 32-bit code

constexpr uint32_t kMxcsrFlags = 0x3f;
constexpr uint32_t kMxcsrMasks = 0x1f80;
constexpr unsigned kMxcsrMaskShift = 7;
constexpr uint32_t kBeforeComputing = 0x7;  // invalid, denormal, divide by zero
constexpr uint32_t kMxcsrOverflow = 1U << 3;
constexpr uint32_t kMxcsrUnderflow = 1U << 4;
constexpr uint32_t kMxcsrPrecision = 1U << 5;
constexpr uint32_t kMxcsrFtz = 1U << 15;
constexpr uint16_t kX87Flags = 0x3f;
constexpr uint16_t kErrorSummary = 0x8080;

template <typename T>
T field(const std::array<uint8_t, 512>& image, size_t offset) {
  T value;
  std::memcpy(&value, image.data() + offset, sizeof(T));
  return value;
}
template <typename T>
void set_field(std::array<uint8_t, 512>* image, size_t offset, T value) {
  std::memcpy(image->data() + offset, &value, sizeof(T));
}

uint16_t pending_x87(const GuestState& state) {
  const auto status = field<uint16_t>(state.fxsave, kStatusWord);
  const auto control = field<uint16_t>(state.fxsave, kControlWord);
  return static_cast<uint16_t>(status & ~control & kX87Flags);
}

// PE beside an unmasked overflow or underflow. A masked one of another element has made its
// result inexact, as always.
bool precision_is_lost(const FpuUnitRunner::Request& request, uint32_t raised, uint32_t unmasked) {
  if ((raised & ~unmasked & (kMxcsrOverflow | kMxcsrUnderflow)) != 0) return true;
  GuestInstruction instruction;
  const DecodeMode mode = request.code_is_16_bit ? DecodeMode::Bits16 : DecodeMode::Bits32;
  return decode({request.instruction, request.length}, mode, &instruction) == DecodeOutcome::Ok &&
         is_inexact_in_any_range(instruction, request);
}

}  // namespace

size_t FpuUnit::KeyHash::operator()(const Key& key) const {
  std::array<uint64_t, 2> halves;
  std::memcpy(halves.data(), key.data(), sizeof(halves));
  const uint64_t mixed = (halves[0] * 0x9e3779b97f4a7c15ULL) ^ (halves[1] + 0x7f4a7c15ULL);
  return static_cast<size_t>(mixed ^ (mixed >> 32));
}

std::unique_ptr<FpuUnit> FpuUnit::create(std::string* error) {
  auto arena = CodeArena::create(kArenaBytes, error);
  if (arena == nullptr) return nullptr;
  return std::unique_ptr<FpuUnit>(new FpuUnit(std::move(arena)));
}

FpuUnit::Thunk FpuUnit::find_or_emit(const Request& request) {
  Key key{};
  std::copy_n(request.instruction, std::min<size_t>(request.length, key.size() - 1), key.begin());
  key.back() = static_cast<uint8_t>(request.length | (request.code_is_16_bit ? 0x80U : 0U));
  if (const auto found = thunks_.find(key); found != thunks_.end()) return found->second;
  GuestInstruction instruction;
  const DecodeMode mode = request.code_is_16_bit ? DecodeMode::Bits16 : DecodeMode::Bits32;
  if (decode({request.instruction, request.length}, mode, &instruction) != DecodeOutcome::Ok) {
    return nullptr;
  }
  const std::vector<uint8_t> code = emit_fpu_thunk(instruction);
  if (code.empty()) return nullptr;
  if (!arena_->has_room(code.size())) {
    arena_->reset();
    thunks_.clear();
  }
  const CodeExecuteView view = arena_->publish(code, 0);
  const auto thunk = reinterpret_cast<Thunk>(view.address);
  thunks_.emplace(key, thunk);
  return thunk;
}

// An unmasked x87 exception only sets ES: it is taken by the next waiting instruction, which never
// comes here (FXSAVE and FNCLEX do not wait), so the guest's own masks can be loaded. An exception
// that is pending already (CR0.NE clear: the caller has not raised #MF) is set aside. SIMD
// exceptions are immediate: they run masked, with clear flags, and are judged afterwards.
void FpuUnit::load_frame(const Request& request) {
  const GuestState& state = *request.state;
  frame_.gpr = state.gpr;
  frame_.eflags = (state.eflags & kFlagsArithmetic) | kFlagReservedOne;
  frame_.memory = request.memory;
  std::copy_n(state.fxsave.begin(), kImageEnd, frame_.guest.begin());
  set_aside_ = pending_x87(state);
  const auto status = field<uint16_t>(state.fxsave, kStatusWord);
  set_field<uint16_t>(&frame_.guest, kStatusWord,
                      static_cast<uint16_t>(status & ~(set_aside_ | kErrorSummary)));
  const auto mxcsr = field<uint32_t>(state.fxsave, kMxcsr);
  set_field<uint32_t>(&frame_.guest, kMxcsr, (mxcsr & 0xffffU & ~kMxcsrFlags) | kMxcsrMasks);
}

FpuUnitRunner::Outcome FpuUnit::store_frame(const Request& request) {
  GuestState& state = *request.state;
  const auto mxcsr = field<uint32_t>(state.fxsave, kMxcsr);
  uint32_t raised = field<uint32_t>(frame_.guest, kMxcsr) & kMxcsrFlags;
  const uint32_t unmasked = raised & ~(mxcsr >> kMxcsrMaskShift);
  if (unmasked != 0) {
    // Exceptions found before computing keep the others from being looked for (SDM 1 11.5.2).
    if ((unmasked & kBeforeComputing) != 0) {
      raised &= kBeforeComputing;
    } else if ((unmasked & (kMxcsrOverflow | kMxcsrUnderflow)) != 0) {
      raised &= ~kMxcsrPrecision;
      if (precision_is_lost(request, raised, unmasked)) raised |= kMxcsrPrecision;
    }
    set_field<uint32_t>(&state.fxsave, kMxcsr, mxcsr | raised);
    return Outcome::FloatingPointError;
  }
  const auto mxcsr_mask_word = field<uint32_t>(state.fxsave, kMxcsr + 4);
  std::copy_n(frame_.guest.begin(), kImageEnd, state.fxsave.begin());
  set_field<uint32_t>(&state.fxsave, kMxcsr, mxcsr | raised);
  set_field<uint32_t>(&state.fxsave, kMxcsr + 4, mxcsr_mask_word);
  if (set_aside_ != 0) {
    const auto status = field<uint16_t>(state.fxsave, kStatusWord);
    set_field<uint16_t>(&state.fxsave, kStatusWord,
                        static_cast<uint16_t>(status | set_aside_ | kErrorSummary));
  }
  state.gpr = frame_.gpr;
  state.eflags = (state.eflags & ~kFlagsArithmetic) |
                 (static_cast<uint32_t>(frame_.eflags) & kFlagsArithmetic);
  return Outcome::Done;
}

// An unmasked underflow is raised by a tiny result even if it is exact, a masked one is not flagged
// then (SDM 1 4.9.1.5): running again with flush-to-zero tells, for it flushes exact ones too.
void FpuUnit::find_exact_underflow(const Request& request, Thunk thunk) {
  const auto mxcsr = field<uint32_t>(request.state->fxsave, kMxcsr);
  if ((mxcsr & (kMxcsrUnderflow << kMxcsrMaskShift)) != 0) return;
  const FpuUnitFrame result = frame_;
  load_frame(request);
  set_field<uint32_t>(&frame_.guest, kMxcsr, field<uint32_t>(frame_.guest, kMxcsr) | kMxcsrFtz);
  thunk(&frame_);
  const uint32_t underflow = field<uint32_t>(frame_.guest, kMxcsr) & kMxcsrUnderflow;
  frame_ = result;
  set_field<uint32_t>(&frame_.guest, kMxcsr, field<uint32_t>(frame_.guest, kMxcsr) | underflow);
}

FpuUnitRunner::Outcome FpuUnit::run(const Request& request) {
  const Thunk thunk = find_or_emit(request);
  if (thunk == nullptr) return Outcome::NotSupported;
  load_frame(request);
  thunk(&frame_);
  find_exact_underflow(request, thunk);
  // PCMPESTRI and PCMPISTRI answer in ECX, the only implicit general register that anything writes.
  if (frame_.ecx != request.state->reg(Gpr::Ecx)) frame_.gpr[1] = frame_.ecx;
  return store_frame(request);
}

}  // namespace ringshift
