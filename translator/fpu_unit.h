// FpuUnit: runs one x87/MMX/SSE instruction of the guest on the host's own unit, in a cached thunk.
// Owns: a small code arena and the thunks in it, found by instruction bytes. Does not own: guest
// state. Memory, alignment and #NM are the caller's business. See docs/translator.md; SDM 1 8.7 and
// 11.5 for exceptions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "translator/code_arena.h"
#include "translator/fpu_unit_runner.h"

namespace ringshift {

// The data that a thunk works on. Offsets are immediates in the thunks (fpu_unit_emit.cpp).
struct alignas(64) FpuUnitFrame {
  std::array<uint32_t, kGprCount> gpr{};         // in and out
  uint64_t eflags = 0;                           // in and out; arithmetic flags only
  uint8_t* memory = nullptr;                     // in
  uint32_t ecx = 0;                              // out: implicit ECX of PCMPxSTRI
  alignas(64) std::array<uint8_t, 512> guest{};  // in and out, FXSAVE format
  alignas(64) std::array<uint8_t, 512> host{};   // saved around the instruction
};

class FpuUnit final : public FpuUnitRunner {
 public:
  // On failure returns null and puts one line into *error.
  static std::unique_ptr<FpuUnit> create(std::string* error);
  [[nodiscard]] Outcome run(const Request& request) override;
  [[nodiscard]] size_t thunks() const { return thunks_.size(); }

 private:
  // The bytes, zero-filled; the last one holds the length and the code size.
  using Key = std::array<uint8_t, 16>;
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  using Thunk = void (*)(FpuUnitFrame*);

  explicit FpuUnit(std::unique_ptr<CodeArena> arena) : arena_(std::move(arena)) {}
  // Null when the instruction is none that may be run here.
  [[nodiscard]] Thunk find_or_emit(const Request& request);
  void load_frame(const Request& request);
  void find_exact_underflow(const Request& request, Thunk thunk);
  [[nodiscard]] Outcome store_frame(const Request& request);

  std::unique_ptr<CodeArena> arena_;
  std::unordered_map<Key, Thunk, KeyHash> thunks_;
  FpuUnitFrame frame_;
  uint16_t set_aside_ = 0;  // x87 exceptions kept out of the frame, see load_frame
};

}  // namespace ringshift
