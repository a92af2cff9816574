// Any bytes as guest code: they become a unit with host code, every host instruction leads back to
// the guest (T4), and nothing sensitive comes out as itself.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "shadowmmu/base/check.h"
#include "tests/fuzz/targets/fuzz_bytes.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/support/native_check.h"
#include "tests/support/random_modes.h"
#include "tests/support/recovery_check.h"
#include "translator/dump.h"
#include "translator/emit.h"
#include "translator/plan.h"

namespace ringshift::fuzz {
namespace {

constexpr size_t kBytes = 2 * kPageSize;

// Two pages of code, of which the second may be absent.
class TwoPages final : public CodeSource, public SoftSites {
 public:
  TwoPages(uint32_t base, size_t pages, uint8_t soft_bits)
      : base_(base), end_(pages * kPageSize), soft_bits_(soft_bits) {}
  void fill(uint32_t at, std::span<const uint8_t> code) {
    std::copy_n(code.begin(), std::min(code.size(), kBytes - at), bytes_.begin() + at);
  }
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - base_;
    if (offset >= end_) return {};
    *physical = GuestPhysical(offset);
    return {bytes_.data() + offset, kPageSize - (offset & 0xfffU)};
  }
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return (soft_bits_ >> (instruction.value() % 8) & 1) != 0;
  }

 private:
  uint32_t base_;
  size_t end_;
  uint8_t soft_bits_;
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kBytes);
};

// Made once: the stubs are the same for every unit.
struct Output {
  Output() {
    std::string error;
    arena = CodeArena::create(1U << 20, &error);
    CHECK(arena != nullptr);
    stubs = emit_stubs(*arena);
  }
  static Output& get() {
    static Output output;
    return output;
  }
  std::unique_ptr<CodeArena> arena;
  Stubs stubs;
  Emitter emitter{stubs};
};

void expect_none(const char* what, const std::string& problem, const TranslationUnit& unit,
                 const EmittedCode& code) {
  if (problem.empty()) return;
  const Output& output = Output::get();
  std::fprintf(stderr, "%s: %s\n%s\n", what, problem.c_str(),
               dump(unit, code, output.stubs, output.arena->next().address).c_str());
  CHECK(problem.empty());
}

}  // namespace

void fuzz_translate(std::span<const uint8_t> input) {
  static constexpr std::array<uint32_t, 5> kBases = {0, 0x1000, 0xc0000000, 0xffffd000, 0xffffe000};
  static constexpr std::array<uint32_t, 4> kOffsets = {0, 0xff0, 0xffe, 0x1fe0};
  FuzzBytes bytes(input);
  const uint8_t shape = bytes.u8();
  const uint32_t base = bytes.pick(kBases);
  TwoPages source(base, (shape & 1) != 0 ? 1 : 2, bytes.u8());
  const uint32_t near = bytes.pick(kOffsets);
  const uint32_t offset = near + bytes.below(16);
  TranslationKey key;
  key.physical = GuestPhysical(offset);
  key.privilege = (shape & 2) != 0 ? Privilege::User : Privilege::Supervisor;
  key.style = (shape & 4) != 0 ? AccessStyle::Soft : AccessStyle::Window;
  key.view = (shape & 10) == 10 ? 1 : 0;
  if ((shape & 128) != 0) key.mode = mode_from(bytes.u8() | uint32_t{bytes.u8()} << 8);
  key.eip = Eip(base + offset - key.mode.base);
  TranslatorFeatures features;
  features.sse2_and_later = (shape & 16) != 0;
  features.tzcnt = (shape & 32) != 0;
  features.interpret_time = (shape & 64) != 0;
  PlanLimits limits;
  limits.max_instructions = 1 + bytes.below(64);
  source.fill(offset, bytes.rest());

  TranslationUnit unit;
  plan(key, source, source, features, limits, &unit);
  CHECK(!unit.instructions.empty());
  CHECK(unit.instructions.size() <= limits.max_instructions + 1);
  Output& output = Output::get();
  const EmittedCode& code = output.emitter.emit(unit, output.arena->next(), 0);
  CHECK(code.body < code.cold);
  CHECK(code.bytes.size() < 16384);
  expect_none("sensitive", first_sensitive(code), unit, code);
  expect_none("recovery", check_recovery(unit, code), unit, code);
}

}  // namespace ringshift::fuzz
