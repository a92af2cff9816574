// Returns of user code, checked by loads that fault: their targets and flags, from everywhere.
#include <array>
#include <cstring>
#include <random>

#include "tests/support/translator_fixture.h"
#include "translator/classify.h"
#include "translator/emit.h"
#include "translator/plan.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

class UserReturns : public BothStyles {
 protected:
  UserReturns() {
    machine_.privilege = Privilege::User;
    machine_.fill_user_page(Machine::kStack - 4);
  }
  [[nodiscard]] const TranslationUnit& planned(TranslationKey key, const SoftSites& sites,
                                               const TranslatorFeatures& features = {}) {
    plan(key, machine_, sites, features, {}, &unit_);
    return unit_;
  }
  TranslationUnit unit_;
};
INSTANTIATE_TEST_SUITE_P(Styles, UserReturns,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

constexpr uint32_t kReturn = Machine::kCode + 5;
constexpr const char* kCallAndReturnToEdx =
    "e8 03 00 00 00 "  // call .f
    "90 0f 0b "        // nop; ud2
    "89 14 24 "        // .f: mov [esp], edx
    "c3 ";             // ret

TEST_P(UserReturns, ToTheirCallersCostNoFault) {
  machine_.run_snippet(
      "e8 0c 00 00 00 "  // call near .f
      "43 "              // inc ebx
      "e8 06 00 00 00 "  // call near .f
      "43 "              // inc ebx
      "e9 02 00 00 00 "  // jmp near .end
      "40 "              // .f: inc eax
      "c3 "              // ret
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 2U);
  EXPECT_EQ(machine_.odd_returns, 0U);
  EXPECT_EQ(machine_.exits[ExitReason::HostFault], 0U);
}

// To every address that differs in one bit, by a few bytes, or anyhow: the state is at that
// address, and nothing but the return has been done.
TEST_P(UserReturns, ToAnywhereElseStopThere) {
  machine_.load(Machine::kCode, kCallAndReturnToEdx);
  std::vector<uint32_t> elsewhere = {0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (unsigned bit = 0; bit < 32; ++bit) elsewhere.push_back(kReturn ^ (1U << bit));
  for (uint32_t by = 1; by < 16; ++by) {
    elsewhere.push_back(kReturn + by);
    elsewhere.push_back(kReturn - by);
  }
  // Values that would lead one of the two loads into a page that can be read.
  for (const uint64_t from : {kReturnFloorPage, kReturnCeilingPage}) {
    for (const uint64_t to : {uint64_t{0}, kReturnFloorPage, kReturnCeilingPage}) {
      for (const uint32_t more : {0U, 0x40U, 0xfffU, 0x1000U, 0x8000U}) {
        elsewhere.push_back(kReturn + static_cast<uint32_t>(to - from) + more);
        elsewhere.push_back(kReturn + static_cast<uint32_t>(to - from) - more);
      }
    }
  }
  std::minstd_rand random(37);
  for (int i = 0; i < 2000; ++i) elsewhere.push_back(static_cast<uint32_t>(random()) * 2);
  constexpr std::array<uint32_t, 4> kFlags = {0, kFlagsArithmetic, kFlagZf | kFlagPf,
                                              kFlagCf | kFlagOf | kFlagAf | kFlagDf};
  uint32_t tried = 0;
  for (const uint32_t eip : elsewhere) {
    if (eip == kReturn) continue;
    machine_.reg(Gpr::Edx) = eip;
    machine_.reg(Gpr::Ecx) = ~eip;
    machine_.reg(Gpr::Esp) = Machine::kStack;
    const uint32_t flags = kFlags[++tried % kFlags.size()] | kFlagReservedOne;
    machine_.state().eflags = flags;
    machine_.state().eip = Machine::kCode;
    Exit exit = machine_.run_once();
    while (exit.reason == ExitReason::Unlinked) {
      machine_.translator->cache().link(exit.link, machine_.fragment_at_eip(exit.eip.value()),
                                        SafePointForTest::get());
      exit = machine_.run_once();
    }
    ASSERT_EQ(exit.reason, ExitReason::HostFault) << std::hex << eip;
    ASSERT_TRUE(machine_.gate->is_return_check(exit.fault.address));
    ASSERT_FALSE(machine_.gate->is_poll(exit.fault.address));
    ASSERT_FALSE(machine_.gate->is_return_stack_guard(exit.fault.address));
    ASSERT_EQ(exit.eip, Eip(eip));
    ASSERT_EQ(machine_.state().eflags, flags) << std::hex << eip;
    ASSERT_EQ(machine_.reg(Gpr::Ecx), ~eip);
    ASSERT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
    const Fragment* fragment = machine_.translator->cache().fragment_at(exit.fault.host_pc);
    ASSERT_NE(fragment, nullptr);
    const auto offset = static_cast<uint32_t>(exit.fault.host_pc - fragment->code.address);
    ASSERT_EQ(recovery_point(*fragment, offset).guest_eip, Eip(kReturn));  // says which call it was
  }
}

TEST_P(UserReturns, AfterAnOddOneGoOn) {
  machine_.run_snippet(
      "e8 08 00 00 00 "        // call near .f
      "0f 0b "                 // ud2
      "43 "                    // .there: inc ebx
      "e9 08 00 00 00 "        // jmp near .end
      "c7 04 24 07 10 00 00 "  // .f: mov dword [esp], .there
      "c3 "                    // ret
      "90 "                    // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
  EXPECT_EQ(machine_.odd_returns, 1U);
}

// Wherever the call is: the two loads meet their pages exactly.
TEST_P(UserReturns, AreCheckedByTheEndsOfTwoPages) {
  machine_.load(Machine::kCode, "e8 03 00 00 00 c3");
  const uint64_t frame = reinterpret_cast<uint64_t>(&machine_.gate->frame());
  const uint64_t slots = reinterpret_cast<uint64_t>(&machine_.slots());
  for (const uint32_t eip : {0U, 0x1000U, 0x08048000U, 0x7effffc0U, 0x7f000000U, 0x7fff0000U,
                             0x80000000U, 0xbffff000U, 0xfdfffff0U}) {
    TranslationKey key = machine_.key_at(Machine::kCode);
    key.eip = Eip(eip);
    UnitInstruction call;
    call.eip = key.eip;
    call.guards_return = true;
    call.treatment = Treatment::DirectBranch;
    call.family = Family::Call;
    ASSERT_EQ(decode(bytes_of_hex("e8 03 00 00 00"), DecodeMode::Bits32, &call.instruction),
              DecodeOutcome::Ok);
    TranslationUnit unit;
    unit.key = key;
    unit.instructions = {call};
    unit.continues_at = call.next_eip();
    unit.pieces = {{key.eip, key.physical, 5}};
    Emitter emitter(machine_.translator->stubs());
    const EmittedCode& code = emitter.emit(unit, machine_.translator->arena().next(), 0);
    std::vector<uint64_t> loads;
    constexpr std::array<uint8_t, 4> kLoad = {0x47, 0x8b, 0x8c, 0x05};
    for (size_t i = 0; i + 8 <= code.bytes.size(); ++i) {
      if (std::memcmp(&code.bytes[i], kLoad.data(), kLoad.size()) != 0) continue;
      int32_t displacement = 0;
      std::memcpy(&displacement, &code.bytes[i + 4], sizeof(displacement));
      loads.push_back(slots + uint64_t{call.next_eip().value()} +
                      static_cast<uint64_t>(int64_t{displacement}));
    }
    EXPECT_EQ(loads, (std::vector<uint64_t>{frame + kReturnFloorPage,
                                            frame + kReturnCeilingPage + kPageSize - 4}))
        << std::hex << eip;
  }
}

// ---- indirect branches of a view's own code ----

class ExactJumps : public ::testing::Test {
 protected:
  ExactJumps() { machine_.use_exact_jumps(); }
  Machine machine_;
};

TEST_F(ExactJumps, LeadWhereTheGuestSaysAndMissOnceEach) {
  machine_.reg(Gpr::Ecx) = 3000;
  machine_.run_snippet(
      "89 c8 "                 // .again: mov eax, ecx
      "83 e0 03 "              // and eax, 3
      "8d 04 c5 20 10 00 00 "  // lea eax, [0x1020 + eax*8]
      "ff d0 "                 // call eax
      "49 "                    // dec ecx
      "75 ef "                 // jnz .again
      "eb 37 "                 // jmp .end
      "90 90 90 90 90 90 "     // nop; nop; nop; nop; nop; nop
      "90 90 90 90 90 90 90 "  // nop; nop; nop; nop; nop; nop; nop
      "43 c3 "                 // inc ebx; ret
      "90 90 90 90 90 90 "     // nop; nop; nop; nop; nop; nop
      "46 c3 "                 // inc esi; ret
      "90 90 90 90 90 90 "     // nop; nop; nop; nop; nop; nop
      "b8 48 10 00 00 "        // mov eax, 0x1048
      "ff e0 90 "              // jmp eax; nop
      "47 c3 "                 // inc edi; ret
      "90 90 90 90 90 90 "     // nop; nop; nop; nop; nop; nop
      "90 90 90 90 90 90 "     // nop; nop; nop; nop; nop; nop
      "90 90 45 c3 "           // nop; nop; inc ebp; ret
      "90 "                    // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 750U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 750U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 750U);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 750U);
  EXPECT_EQ(machine_.exits[ExitReason::IndirectMiss], 5U);
  EXPECT_EQ(machine_.odd_returns, 0U);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack);
}

TEST_F(ExactJumps, TouchNoFlag) {
  machine_.state().eflags = kFlagReservedOne | kFlagsArithmetic;
  machine_.run_snippet(
      "b8 0a 10 00 00 "  // mov eax, 0x100a
      "ff d0 "           // call eax
      "eb 02 90 "        // jmp .end; nop
      "c3 "              // ret
      "90 "              // .end: nop
  );
  EXPECT_EQ(machine_.state().eflags & kFlagsArithmetic, kFlagsArithmetic);
}

// The poll comes before anything of the branch.
TEST_F(ExactJumps, NoticeAttentionBeforeTheyPush) {
  machine_.reg(Gpr::Eax) = Machine::kCode;
  machine_.load(Machine::kCode, "ff d0");  // call eax
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::IndirectMiss);
  machine_.set_jump_table(machine_.fragment_at_eip(Machine::kCode));
  const uint32_t esp = machine_.reg(Gpr::Esp);
  machine_.gate->raise_poll();
  const Exit exit = machine_.run_once();
  machine_.gate->lower_poll();
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_TRUE(machine_.gate->is_poll(exit.fault.address));
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Esp), esp);
}

TEST_F(ExactJumps, OutgrowTheReturnStackAndComeBack) {
  machine_.reg(Gpr::Esp) = 0xf0000;
  machine_.reg(Gpr::Ecx) = 50000;
  machine_.run_snippet(
      "ba 0c 10 00 00 "     // mov edx, .f
      "ff d2 "              // call edx
      "e9 0c 00 00 00 "     // jmp near .end
      "40 "                 // .f: inc eax
      "49 "                 // dec ecx
      "0f 84 02 00 00 00 "  // jz near .up
      "ff d2 "              // call edx
      "43 "                 // .up: inc ebx
      "c3 "                 // ret
      "90 "                 // .end: nop
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 50000U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 50000U);
  EXPECT_GE(machine_.return_stack_resets, 1U);
}

// ---- loops that compute ----

TEST(FpuLoops, AskOnceForWhatIsLive) {
  Machine machine;
  machine.write32(Machine::kData, 0x3f800000);  // 1.0
  machine.reg(Gpr::Ecx) = 1000;
  machine.run_snippet(
      "0f 57 c0 "                 // xorps xmm0, xmm0
      "f3 0f 58 05 00 80 00 00 "  // .a: addss xmm0, [0x8000]
      "49 "                       // dec ecx
      "75 f5 "                    // jnz .a
      "f3 0f 11 05 04 80 00 00 "  // movss [0x8004], xmm0
  );
  EXPECT_EQ(machine.read32(Machine::kData + 4), 0x447a0000U);  // 1000.0
  const Fragment& loop = machine.fragment_at_eip(Machine::kCode + 3);
  EXPECT_EQ(machine.translator->cache().links_to(loop), 1U) << "from before it, not from itself";
}

// The state goes while the loop runs: it is asked for again where the loop is entered.
TEST(FpuLoops, AskAgainAfterTheStateHasGone) {
  Machine machine;
  machine.write32(Machine::kData, 0x3f800000);
  machine.load(Machine::kCode,
               "f3 0f 58 05 00 80 00 00 "  // .a: addss xmm0, [0x8000]
               "49 "                       // dec ecx
               "75 f5 f4");                // jnz .a; hlt
  machine.reg(Gpr::Ecx) = 10;
  machine.state().eip = Machine::kCode;
  machine.gate->raise_poll();
  Exit exit = machine.run();
  machine.gate->lower_poll();
  ASSERT_TRUE(machine.gate->is_poll(exit.fault.address));
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 8));  // the decrement that the jump fuses with
  EXPECT_EQ(machine.reg(Gpr::Ecx), 10U);
  machine.slots().unload_fpu();
  const uint32_t asked = machine.exits[ExitReason::EnsureFpu];
  exit = machine.run();
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(machine.exits[ExitReason::EnsureFpu], asked + 1);
  float sum = 0;
  std::memcpy(&sum, &machine.state().fxsave[160], sizeof(sum));  // XMM0
  EXPECT_EQ(sum, 10.0F);
}

class OddSite final : public SoftSites {
 public:
  explicit OddSite(uint32_t last_byte) : last_byte_(last_byte) {}
  [[nodiscard]] bool is_soft(GuestPhysical) const override { return false; }
  [[nodiscard]] bool returns_elsewhere(GuestPhysical last_byte) const override {
    return last_byte.value() == last_byte_;
  }

 private:
  uint32_t last_byte_;
};

TEST_P(UserReturns, AreComparedByABranchWhereThatIsBetter) {
  machine_.load(Machine::kCode, "e8 fb 00 00 00 ff d0 c3");  // call 0x1100; call eax; ret
  const TranslationKey key = machine_.key_at(Machine::kCode);
  const OddSite none(0), second(Machine::kCode + 6);
  const TranslationUnit& unit = planned(key, none);
  EXPECT_TRUE(unit.instructions[0].guards_return);
  EXPECT_TRUE(unit.instructions[1].guards_return);
  EXPECT_FALSE(unit.instructions[2].guards_return);
  (void)planned(key, second);
  EXPECT_TRUE(unit.instructions[0].guards_return);
  EXPECT_FALSE(unit.instructions[1].guards_return);
  TranslationKey other = key;
  other.privilege = Privilege::Supervisor;
  EXPECT_FALSE(planned(other, none).instructions[0].guards_return);
  TranslatorFeatures counting;
  counting.counts_events = true;
  EXPECT_FALSE(planned(key, none, counting).instructions[0].guards_return);
}

}  // namespace
}  // namespace ringshift
