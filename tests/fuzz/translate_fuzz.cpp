// Random guest bytes through decode, classify, plan and emit: never a crash, always a way back
// (T4). Seeds are constants, so that a failure repeats; RINGSHIFT_FUZZ_SEED tries another.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "tests/support/native_check.h"
#include "tests/support/random_modes.h"
#include "tests/support/recovery_check.h"
#include "translator/dump.h"
#include "translator/emit.h"
#include "translator/plan.h"

namespace ringshift {
namespace {

constexpr size_t kBytes = 2 * kPageSize;

class RandomSource final : public CodeSource, public SoftSites {
 public:
  explicit RandomSource(uint64_t seed) : random_(seed), bytes_(kBytes) {}
  // New bytes; opcodes that plain randomness seldom makes are sown among them.
  void refill() {
    static constexpr std::array<uint8_t, 16> kSeeds = {0x0f, 0x66, 0xf0, 0xf2, 0xf3, 0x64,
                                                       0x65, 0x67, 0x8a, 0x88, 0xff, 0xe8,
                                                       0xc3, 0x9d, 0xfb, 0xa4};
    for (uint8_t& byte : bytes_) {
      const auto roll = static_cast<uint32_t>(random_());
      byte = (roll & 0x700U) == 0 ? kSeeds[roll & 0xfU] : static_cast<uint8_t>(roll);
    }
  }
  [[nodiscard]] uint32_t number(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t offset = address.value() - base;
    if (offset >= kBytes) return {};
    *physical = GuestPhysical(offset);
    return {bytes_.data() + offset, kPageSize - (offset & 0xfffU)};
  }
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return (instruction.value() & 4) != 0;
  }
  uint32_t base = 0;

 private:
  std::mt19937_64 random_;
  std::vector<uint8_t> bytes_;
};

class TranslateFuzz : public ::testing::Test {
 protected:
  TranslateFuzz() : source_(seed()) {
    std::string error;
    arena_ = CodeArena::create(1U << 20, &error);
    stubs_ = emit_stubs(*arena_);
  }
  [[nodiscard]] static uint64_t seed() {
    const char* given = std::getenv("RINGSHIFT_FUZZ_SEED");
    return given == nullptr ? 20240607 : std::strtoull(given, nullptr, 0);
  }
  void plan_random_unit() {
    constexpr std::array<uint32_t, 4> kBases = {0, 0x1000, 0xc0000000, 0xffffe000};
    if (units_++ % 64 == 0) source_.refill();
    source_.base = kBases[source_.number(4)];
    TranslationKey key;
    const uint32_t offset = source_.number(kBytes);
    if (source_.number(2) == 0) key.mode = mode_from(source_.number(1U << 30));
    key.eip = Eip(source_.base + offset - key.mode.base);
    key.physical = GuestPhysical(offset);
    key.privilege = source_.number(4) == 0 ? Privilege::User : Privilege::Supervisor;
    key.style = source_.number(4) == 0 ? AccessStyle::Soft : AccessStyle::Window;
    PlanLimits limits;
    limits.max_instructions = 1 + source_.number(64);
    plan(key, source_, source_, {}, limits, &unit_);
  }

  RandomSource source_;
  std::unique_ptr<CodeArena> arena_;
  Stubs stubs_;
  Emitter emitter_{stubs_};
  TranslationUnit unit_;
  uint32_t units_ = 0;
};

TEST_F(TranslateFuzz, RandomBytesAlwaysBecomeAUnitWithHostCode) {
  constexpr uint32_t kUnits = 100000;
  for (uint32_t i = 0; i < kUnits; ++i) {
    plan_random_unit();
    ASSERT_FALSE(unit_.instructions.empty()) << "seed " << seed() << " unit " << i;
    const EmittedCode& code = emitter_.emit(unit_, arena_->next(), i);
    ASSERT_LT(code.body, code.cold) << "seed " << seed() << " unit " << i;
    ASSERT_LT(code.bytes.size(), 16384U) << "seed " << seed() << " unit " << i;
  }
}

TEST_F(TranslateFuzz, EveryHostInstructionOfARandomUnitLeadsBackToTheGuest) {
  constexpr uint32_t kUnits = 5000;
  for (uint32_t i = 0; i < kUnits; ++i) {
    plan_random_unit();
    const EmittedCode& code = emitter_.emit(unit_, arena_->next(), 0);
    const std::string problem = check_recovery(unit_, code);
    ASSERT_EQ(problem, "") << "seed " << seed() << " unit " << i << '\n'
                           << dump(unit_, code, stubs_, arena_->next().address);
  }
}

// Sensitive instructions never run natively: there is no host instruction outside the families' own
// sequences.
TEST_F(TranslateFuzz, NoSensitiveInstructionReachesTheHostCode) {
  constexpr uint32_t kUnits = 5000;
  for (uint32_t i = 0; i < kUnits; ++i) {
    plan_random_unit();
    const EmittedCode& code = emitter_.emit(unit_, arena_->next(), 0);
    ASSERT_EQ(first_sensitive(code), "") << "seed " << seed() << " unit " << i << '\n'
                                         << dump(unit_, code, stubs_, arena_->next().address);
  }
}

}  // namespace
}  // namespace ringshift
