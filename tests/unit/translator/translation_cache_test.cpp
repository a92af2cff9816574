// The cache: links made and undone, drops by page, drop of everything; through code that runs.
#include "translator/translation_cache.h"

#include <cstring>
#include <vector>

#include "shadowmmu/base/counters.h"
#include "tests/support/translator_fixture.h"
#include "translator/emit.h"
#include "translator/plan.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

class Cache : public ::testing::Test {
 protected:
  TranslationCache& cache() { return machine_.translator->cache(); }
  void run_loop() {
    machine_.run_snippet(
        "b9 0a 00 00 00 "     // mov ecx, 10
        "40 "                 // .a: inc eax
        "49 "                 // dec ecx
        "0f 85 f8 ff ff ff "  // jnz near .a
    );
  }
  const SafePoint& safe_ = SafePointForTest::get();
  TranslatorMachine machine_;
};

TEST_F(Cache, FindsWhatItPublishedByWholeKey) {
  machine_.load(Machine::kCode, "90 f4");
  Fragment& fragment = machine_.fragment_at_eip(Machine::kCode);
  TranslationKey key = machine_.key_at(Machine::kCode);
  EXPECT_EQ(cache().find(key), &fragment);
  key.style = AccessStyle::Soft;
  EXPECT_EQ(cache().find(key), nullptr);
  key = machine_.key_at(Machine::kCode);
  key.privilege = Privilege::User;
  EXPECT_EQ(cache().find(key), nullptr);
  EXPECT_EQ(cache().fragment_at(fragment.code.address + fragment.size - 1), &fragment);
  EXPECT_EQ(cache().fragment_at(machine_.translator->stubs().leave), nullptr);
  cache().verify_invariants();
}

TEST_F(Cache, ADroppedFragmentIsTranslatedAnew) {
  run_loop();
  cache().verify_invariants();
  *machine_.ram(Machine::kCode + 5) = 0x43;  // inc ebx in place of inc eax
  EXPECT_EQ(cache().drop_overlapping(GuestPhysical(Machine::kCode + 5), 1, safe_), 2U);
  cache().verify_invariants();
  machine_.state().eip = Machine::kCode;
  machine_.run();
  EXPECT_EQ(machine_.reg(Gpr::Eax), 10U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 10U);
}

TEST_F(Cache, CodeGoesByItsLinearAddressInEachFragmentThatHasIt) {
  run_loop();
  const size_t before = cache().size();
  cache().drop_with_code_at(GuestVirtual(Machine::kCode + 0x100), safe_);
  cache().drop_with_code_at(GuestVirtual(Machine::kKernelBase + Machine::kCode + 5), safe_);
  EXPECT_EQ(cache().size(), before);
  cache().drop_with_code_at(GuestVirtual(Machine::kCode + 5), safe_);
  EXPECT_EQ(cache().size(), before - 2);
  cache().verify_invariants();
}

TEST_F(Cache, TranslatedCodeComesOutWhereItIsKeptOut) {
  machine_.kept_out_addresses = {GuestVirtual(Machine::kCode + 6)};  // the DEC
  machine_.load(Machine::kCode, "b9 0a 00 00 00 40 49 0f 85 f8 ff ff ff f4");
  machine_.state().eip = Machine::kCode;
  const Exit exit = machine_.run_once();
  EXPECT_EQ(exit.reason, ExitReason::Unlinked);
  EXPECT_EQ(machine_.state().eip, Machine::kCode + 6);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
}

TEST_F(Cache, AWriteBesideAFragmentDropsNothing) {
  run_loop();
  EXPECT_EQ(cache().drop_overlapping(GuestPhysical(Machine::kCode - 4), 4, safe_), 0U);
  EXPECT_EQ(cache().drop_overlapping(GuestPhysical(Machine::kCode + 0x100), 4, safe_), 0U);
}

TEST_F(Cache, RemembersWhichPiecesOfAPageHoldCode) {
  run_loop();
  EXPECT_TRUE(cache().may_hold_code(GuestPhysical(Machine::kCode), 1));
  EXPECT_TRUE(cache().may_hold_code(GuestPhysical(Machine::kCode + 12), 1));
  EXPECT_FALSE(cache().may_hold_code(GuestPhysical(Machine::kCode + 0x100), 4));
  EXPECT_FALSE(cache().may_hold_code(GuestPhysical(Machine::kCode + kPageSize), 4));
  EXPECT_TRUE(cache().may_hold_code(GuestPhysical(Machine::kCode), kPageSize));
  cache().drop_all(safe_);
  EXPECT_FALSE(cache().may_hold_code(GuestPhysical(Machine::kCode), kPageSize));
}

TEST_F(Cache, UnlinkedCodeStillRuns) {
  run_loop();
  cache().unlink_all(safe_);
  cache().verify_invariants();
  run_loop();
  EXPECT_EQ(machine_.reg(Gpr::Eax), 20U);
}

TEST_F(Cache, LinksThroughTheTableArrive) {
  machine_.load(Machine::kCode,
                "40 "                 // inc eax
                "f8 "                 // clc
                "0f 83 f8 1f 00 00 "  // jnc near 0x3000
  );
  machine_.load(0x3000, "43 f4");
  machine_.state().eip = Machine::kCode;
  const Exit exit = machine_.run_once();
  ASSERT_EQ(exit.reason, ExitReason::Unlinked);
  cache().link_through_table(exit.link, machine_.translator->stubs().dispatch, safe_);
  machine_.set_jump_table(machine_.fragment_at_eip(0x3000));
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 1U);
}

TEST_F(Cache, DroppingAFragmentSendsItsCallersBackToTheLoop) {
  machine_.load(Machine::kCode,
                "f8 "                 // clc
                "0f 83 f9 1f 00 00 "  // jnc near 0x3000
  );
  machine_.load(0x3000, "43 f4");
  machine_.state().eip = Machine::kCode;
  machine_.run();
  cache().drop(machine_.fragment_at_eip(0x3000), safe_);
  cache().verify_invariants();
  machine_.state().eip = Machine::kCode;
  EXPECT_EQ(machine_.run_once().reason, ExitReason::Unlinked);
}

TEST_F(Cache, APageCrossingFragmentGoesWithEitherPage) {
  for (const uint32_t written : {0x1fffU, 0x2000U}) {
    machine_.load(0x1ffe, "b8 78 56 34 12 f4");
    (void)machine_.fragment_at_eip(0x1ffe);
    EXPECT_EQ(cache().drop_overlapping(GuestPhysical(written), 1, safe_), 1U);
    EXPECT_EQ(cache().size(), 0U);
    cache().verify_invariants();
  }
}

TEST_F(Cache, AFragmentGoesWithEachPlaceItFollowedAJumpInto) {
  for (const uint32_t written : {0x1000U, 0x3001U, 0x3101U}) {
    machine_.load(0x1000, "40 e9 fa 1f 00 00");     // inc eax; jmp 0x3000
    machine_.load(0x3000, "41 e9 fa 00 00 00 90");  // inc ecx; jmp 0x3100; nop
    machine_.load(0x3100, "42 f4 90");              // inc edx; hlt; nop
    (void)machine_.fragment_at_eip(0x1000);
    for (const uint32_t beside : {0x1006U, 0x3006U, 0x3102U}) {
      EXPECT_EQ(cache().drop_overlapping(GuestPhysical(beside), 1, safe_), 0U) << beside;
    }
    EXPECT_EQ(cache().drop_mapped_at(GuestPhysicalPage(3), GuestVirtualPage(4), 0, safe_), 0U);
    cache().verify_invariants();
    EXPECT_EQ(cache().drop_overlapping(GuestPhysical(written), 1, safe_), 1U) << written;
    EXPECT_EQ(cache().size(), 0U);
    (void)machine_.fragment_at_eip(0x1000);
    EXPECT_EQ(cache().drop_mapped_at(GuestPhysicalPage(3), GuestVirtualPage(3), 0, safe_), 1U);
    cache().verify_invariants();
  }
}

// One physical page mapped at two consecutive linear pages.
TEST_F(Cache, AFragmentWhosePagesAreOnePageIsDroppedOnce) {
  for (const bool by_mapping : {false, true}) {
    machine_.load(0x1ffe, "b8 78 56 34 12 f4");
    TranslationUnit unit;
    plan(machine_.key_at(0x1ffe), machine_, machine_, {}, {}, &unit);
    const GuestPhysicalPage page = GuestPhysicalPage::of(unit.pieces[0].physical);
    unit.pieces[1].physical = page.address();
    Emitter emitter(machine_.translator->stubs());
    const EmittedCode& code =
        emitter.emit(unit, machine_.translator->arena().next(), cache().next_link());
    ASSERT_NE(cache().publish(unit, code), nullptr);
    EXPECT_EQ(by_mapping ? cache().drop_mapped_at(page, GuestVirtualPage(1), 0, safe_)
                         : cache().drop_overlapping(GuestPhysical(0x1ffe), 1, safe_),
              1U);
    cache().verify_invariants();
  }
}

TEST_F(Cache, AFullArenaIsEmptiedAndFilledAgain) {
  TranslatorConfig config;
  config.arena_bytes = 65536;
  TranslatorMachine machine(AccessStyle::Window, config);
  const uint64_t epoch = machine.translator->cache().epoch();
  // A long chain of jumps: 4,000 units, 16 bytes apart.
  for (uint32_t i = 0; i < 4000; ++i) {
    machine.load(0x30000 + 16 * i,
                 "40 "                // inc eax
                 "f8 "                // clc
                 "0f 83 08 00 00 00"  // jnc near $+14
    );
  }
  *machine.ram(0x30000 + 16 * 4000) = 0xf4;
  machine.state().eip = 0x30000;
  EXPECT_EQ(machine.run().reason, ExitReason::Interpret);
  EXPECT_EQ(machine.reg(Gpr::Eax), 4000U);
  EXPECT_GT(machine.translator->cache().epoch(), epoch);
  machine.translator->cache().verify_invariants();
}

TEST_F(Cache, CodePagesAreTracedBeforeTheirFragmentsExist) {
  machine_.load(0x1ffe, "b8 78 56 34 12 f4");
  (void)machine_.fragment_at_eip(0x1ffe);
  EXPECT_EQ(machine_.traced_pages, (std::vector<uint64_t>{1, 2}));
}

// ---- the same guest bytes at another linear address ----

// RAM lies at 0 and again at kKernelBase.
constexpr uint32_t kMoved = Machine::kKernelBase;

// A call, a jump and a conditional jump within the page and out of it, a return, an indirect call,
// memory operands, an FPU instruction, a callout and a system call.
constexpr const char* kAllKinds =
    "e8 3b 00 00 00 "     // call 0x1040
    "8b 05 00 80 00 00 "  // mov eax, [0x8000]
    "d9 e8 "              // fld1
    "0f 84 ed 0f 00 00 "  // jz 0x2000
    "74 0b "              // jz 0x1020
    "ff d0 "              // call eax
    "0f 00 c0 "           // sldt eax
    "cd 80 "              // int 0x80
    "e9 e0 0f 00 00 ";    // jmp 0x2001

class Relocated : public Cache, public ::testing::WithParamInterface<AccessStyle> {
 protected:
  Relocated() {
    machine_.style = GetParam();
    machine_.privilege = Privilege::User;
    machine_.load(Machine::kCode, kAllKinds);
    machine_.load(Machine::kCode + 0x40, "ff 05 00 80 00 00 c3");  // inc dword [0x8000]; ret
  }
  [[nodiscard]] std::vector<uint8_t> code_of(const Fragment& fragment) const {
    const uint8_t* bytes = machine_.translator->arena().write_view(fragment.code).bytes;
    return {bytes, bytes + fragment.size};
  }
  // The code that the whole pipeline makes of the fragment's guest code, at the fragment's host
  // address.
  [[nodiscard]] EmittedCode emitted_again(const Fragment& fragment) {
    TranslationUnit unit;
    plan(fragment.key, machine_, machine_, {}, {}, &unit);
    Emitter emitter(machine_.translator->stubs());
    return emitter.emit(unit, fragment.code, fragment.first_link);
  }
};

TEST_P(Relocated, ACopyIsWhatEmitWouldHaveMade) {
  for (const uint32_t eip : {Machine::kCode, Machine::kCode + 0x40}) {
    (void)machine_.fragment_at_eip(eip);
    const uint64_t before = counters().units_relocated;
    Fragment& copy = machine_.fragment_at_eip(kMoved + eip);
    ASSERT_EQ(counters().units_relocated, before + 1);
    const EmittedCode again = emitted_again(copy);
    EXPECT_EQ(code_of(copy), again.bytes);
    for (const RecoveryPoint& point : again.recovery) {
      if (point.kind == RecoveryKind::EipInAddress) continue;
      EXPECT_EQ(recovery_point(copy, point.host_offset),
                recovery_point(again.recovery, point.host_offset));
    }
    EXPECT_EQ(copy.body_offset, again.body);
    EXPECT_EQ(copy.cold_offset, again.cold);
    ASSERT_EQ(copy.link_count, again.links.size());
    for (uint32_t i = 0; i < copy.link_count; ++i) {
      EXPECT_EQ(cache().link_view(copy.first_link + i).destination_eip,
                again.links[i].destination_eip);
    }
    cache().verify_invariants();
  }
}

TEST_P(Relocated, ACopyOfLinkedCodeIsUnlinked) {
  Fragment& model = machine_.fragment_at_eip(Machine::kCode);
  Fragment& callee = machine_.fragment_at_eip(Machine::kCode + 0x40);
  cache().link(model.first_link, callee, safe_);
  Fragment& copy = machine_.fragment_at_eip(kMoved + Machine::kCode);
  EXPECT_EQ(code_of(copy), emitted_again(copy).bytes);
  cache().verify_invariants();
}

TEST_P(Relocated, ACopyOfCodeLinkedThroughTheTableStaysSo) {
  Fragment& model = machine_.fragment_at_eip(Machine::kCode);
  cache().link_through_table(model.first_link, machine_.translator->stubs().dispatch, safe_);
  Fragment& copy = machine_.fragment_at_eip(kMoved + Machine::kCode);
  // The first of its instructions is the call: it leads to the jump table, which knows nothing.
  machine_.state().eip = kMoved + Machine::kCode;
  if (machine_.style == AccessStyle::Soft) machine_.fill_user_page(Machine::kStack - 4);
  const Exit exit = machine_.gate->run(copy.body(), cache());
  EXPECT_EQ(exit.reason, ExitReason::IndirectMiss);
  EXPECT_EQ(exit.eip, Eip(kMoved + Machine::kCode + 0x40));
}

TEST_P(Relocated, CopiesOfCopiesGoOnBeingRight) {
  (void)machine_.fragment_at_eip(Machine::kCode);
  Fragment& copy = machine_.fragment_at_eip(kMoved + Machine::kCode);
  const TranslationKey first = machine_.key_at(Machine::kCode);
  cache().drop(*cache().find(first), safe_);
  cache().verify_invariants();
  const uint64_t before = counters().units_relocated;
  (void)machine_.fragment_at_eip(Machine::kCode);
  EXPECT_EQ(counters().units_relocated, before) << "with the model goes what can be copied";
  cache().drop(copy, safe_);
  Fragment& again = machine_.fragment_at_eip(kMoved + Machine::kCode);
  EXPECT_EQ(counters().units_relocated, before + 1);
  EXPECT_EQ(code_of(again), emitted_again(again).bytes);
}

TEST_P(Relocated, AWriteDropsTheModelAndItsCopies) {
  (void)machine_.fragment_at_eip(Machine::kCode);
  (void)machine_.fragment_at_eip(kMoved + Machine::kCode);
  EXPECT_EQ(cache().drop_overlapping(GuestPhysical(Machine::kCode), 1, safe_), 2U);
  const uint64_t before = counters().units_relocated;
  (void)machine_.fragment_at_eip(kMoved + Machine::kCode);
  EXPECT_EQ(counters().units_relocated, before);
  cache().verify_invariants();
}

TEST_P(Relocated, TheReturnAddressIsTheMovedOne) {
  // A loop of calls, first where it was made and then elsewhere.
  for (const uint32_t moved : {0U, kMoved}) {
    machine_.load(0x3000,
                  "b9 05 00 00 00 "  // mov ecx, 5
                  "e8 06 00 00 00 "  // .a: call .b
                  "49 "              // dec ecx
                  "75 f8 "           // jnz .a
                  "cd 80 "           // int 0x80
                  "90 "              // nop
                  "8b 1c 24 "        // .b: mov ebx, [esp]
                  "40 "              // inc eax
                  "c3 ");            // ret
    machine_.reg(Gpr::Eax) = 0;
    machine_.reg(Gpr::Esp) = Machine::kStack;
    machine_.state().eip = moved + 0x3000;
    (void)machine_.run();
    EXPECT_EQ(machine_.reg(Gpr::Eax), 5U);
    EXPECT_EQ(machine_.reg(Gpr::Ebx), moved + 0x300a);
    EXPECT_EQ(machine_.state().eip, moved + 0x300d);
  }
  EXPECT_GT(counters().units_relocated, 0U);
  cache().verify_invariants();
}

TEST_P(Relocated, WhatIsNotSharedIsNotCopied) {
  const uint64_t before = counters().units_relocated;
  machine_.privilege = Privilege::Supervisor;
  (void)machine_.fragment_at_eip(Machine::kCode);
  (void)machine_.fragment_at_eip(kMoved + Machine::kCode);
  machine_.privilege = Privilege::User;
  TranslationKey own = machine_.key_at(Machine::kCode);
  (void)machine_.fragment_at_eip(Machine::kCode);
  own.eip += kMoved;
  own.view = 1;
  (void)machine_.translator->find_or_make(own, safe_);
  EXPECT_EQ(counters().units_relocated, before);
}

TEST_P(Relocated, NothingIsCopiedWhereADebuggerWantsCodeToComeOut) {
  const uint64_t before = counters().units_relocated;
  (void)machine_.fragment_at_eip(Machine::kCode + 0x40);
  machine_.kept_out_addresses = {GuestVirtual(kMoved + Machine::kCode + 0x46)};  // the RET
  const Fragment& other = machine_.fragment_at_eip(kMoved + Machine::kCode + 0x40);
  EXPECT_EQ(counters().units_relocated, before);
  EXPECT_EQ(other.instruction_count, 1U);
}

TEST_P(Relocated, CodeThatCrossesAPageIsNotCopied) {
  const uint64_t before = counters().units_relocated;
  machine_.load(0x4ffe, "b8 78 56 34 12 cd 80");
  (void)machine_.fragment_at_eip(0x4ffe);
  (void)machine_.fragment_at_eip(kMoved + 0x4ffe);
  EXPECT_EQ(counters().units_relocated, before);
}

TEST_P(Relocated, ABranchThatWrapsIsCopiedToo) {
  // Forward from 0x5000 (0x40000000 on), backward from 0xc0005000: either way it polls.
  machine_.load(0x5000, "e9 00 00 00 40");
  const uint64_t before = counters().units_relocated;
  (void)machine_.fragment_at_eip(0x5000);
  Fragment& other = machine_.fragment_at_eip(kMoved + 0x5000);
  EXPECT_EQ(counters().units_relocated, before + 1);
  EXPECT_EQ(code_of(other), emitted_again(other).bytes);
}

TEST_P(Relocated, BranchesOutOfThePageGoThroughTheTableAtOnce) {
  machine_.load(0x6000, "e9 fb 0f 00 00");  // jmp 0x7000
  machine_.state().eip = 0x6000;
  const Exit exit = machine_.run_once();
  EXPECT_EQ(exit.reason, ExitReason::IndirectMiss);
  EXPECT_EQ(exit.eip, Eip(0x7000U));
}

TEST_P(Relocated, CopiesGoAndWhatTheyWereMadeOfStays) {
  Fragment& model = machine_.fragment_at_eip(Machine::kCode);
  Fragment& callee = machine_.fragment_at_eip(Machine::kCode + 0x40);
  Fragment& copy = machine_.fragment_at_eip(kMoved + Machine::kCode);
  // An original beside a copy, at one linear page; links both ways and between copies.
  machine_.load(Machine::kCode + 0x80, "e9 7b ff ff ff");  // jmp $ - 128
  Fragment& original = machine_.fragment_at_eip(kMoved + Machine::kCode + 0x80);
  EXPECT_FALSE(original.is_copy);
  Fragment& other = machine_.fragment_at_eip(kMoved + Machine::kCode + 0x40);
  cache().link(original.first_link, copy, safe_);
  cache().link(copy.first_link, other, safe_);
  cache().link(copy.first_link + 1, original, safe_);
  cache().link(model.first_link, callee, safe_);
  cache().verify_invariants();

  const uint64_t epoch = cache().epoch();
  const size_t before = cache().size();
  cache().drop_copies(safe_);
  cache().verify_invariants();
  EXPECT_GT(cache().epoch(), epoch);
  EXPECT_EQ(cache().size(), before - 2);
  EXPECT_EQ(cache().find(machine_.key_at(kMoved + Machine::kCode)), nullptr);
  EXPECT_EQ(cache().links_to(callee), 1U);
  EXPECT_EQ(cache().links_to(original), 0U);
  EXPECT_EQ(code_of(original), emitted_again(original).bytes) << "its link leads nowhere again";
  EXPECT_EQ(machine_.translator->arena().used_at_top(), 0U);
  // And they are made again.
  const uint64_t copied = counters().units_relocated;
  Fragment& again = machine_.fragment_at_eip(kMoved + Machine::kCode);
  EXPECT_EQ(counters().units_relocated, copied + 1);
  EXPECT_EQ(code_of(again), emitted_again(again).bytes);
}

// Five units, of which each leads to the next and the last to the first.
class RelocatedPage : public Relocated {
 protected:
  static constexpr uint32_t kPage = 0x7000;
  static constexpr uint32_t kUnits = 5;
  static uint32_t unit_at(uint32_t number) { return kPage + 0x20 * number; }
  RelocatedPage() {
    for (uint32_t i = 0; i < kUnits; ++i) {
      const uint32_t at = unit_at(i) + 1;
      const uint32_t destination = unit_at((i + 1) % kUnits);
      machine_.load(unit_at(i), "40");  // inc eax
      machine_.load(
          at,
          "0f 84 00 00 00 00 ff 05 00 80 00 00 cd 80");  // jz $ + 6; inc dword [0x8000]; int 0x80
      const uint32_t displacement = destination - (at + 6);
      std::memcpy(machine_.ram(at + 2), &displacement, sizeof displacement);
      (void)machine_.fragment_at_eip(unit_at(i));
    }
  }
  Fragment* copy_of(uint32_t number) {
    return cache().find(machine_.key_at(kMoved + unit_at(number)));
  }
};

TEST_P(RelocatedPage, IsCopiedAtOnceAndJoined) {
  const uint64_t before = counters().units_relocated;
  (void)machine_.fragment_at_eip(kMoved + unit_at(2));
  EXPECT_EQ(counters().units_relocated, before + kUnits);
  cache().verify_invariants();
  for (uint32_t i = 0; i < kUnits; ++i) {
    ASSERT_NE(copy_of(i), nullptr);
    EXPECT_TRUE(copy_of(i)->is_copy);
    EXPECT_EQ(cache().links_to(*copy_of(i)), 1U);
    EXPECT_EQ(cache().fragment_at(copy_of(i)->code.address + 1), copy_of(i));
  }
  cache().unlink_all(safe_);
  for (uint32_t i = 0; i < kUnits; ++i) {
    EXPECT_EQ(code_of(*copy_of(i)), emitted_again(*copy_of(i)).bytes) << i;
  }
}

TEST_P(RelocatedPage, JoinedCopiesRunRound) {
  (void)machine_.fragment_at_eip(kMoved + unit_at(0));
  machine_.reg(Gpr::Eax) = 0xffffffffU;  // the first JZ is taken, the second not
  machine_.state().eip = kMoved + unit_at(0);
  if (GetParam() == AccessStyle::Soft) machine_.fill_user_page(Machine::kData);
  EXPECT_EQ(machine_.run_once().reason, ExitReason::Interpret) << "not one branch unlinked";
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.state().eip, kMoved + unit_at(1) + 13);
}

TEST_P(RelocatedPage, IsNotCopiedOverWhatIsThere) {
  // With three models left none is copied, so that an original comes to be there.
  for (uint32_t i = 0; i < 2; ++i) {
    cache().drop(*cache().find(machine_.key_at(unit_at(i))), safe_);
  }
  EXPECT_FALSE(machine_.fragment_at_eip(kMoved + unit_at(0)).is_copy);
  (void)machine_.fragment_at_eip(unit_at(1));
  const uint64_t before = counters().units_relocated;
  EXPECT_TRUE(machine_.fragment_at_eip(kMoved + unit_at(1)).is_copy);
  EXPECT_EQ(counters().units_relocated, before + 1) << "by itself, beside the original";
  cache().verify_invariants();
}

TEST_P(RelocatedPage, WrittenCodeIsNotCopiedAnyMore) {
  (void)machine_.fragment_at_eip(kMoved + unit_at(0));
  EXPECT_EQ(cache().drop_overlapping(GuestPhysical(unit_at(3)), 1, safe_), 2U);
  cache().drop_copies(safe_);
  cache().verify_invariants();
  *machine_.ram(unit_at(3)) = 0x41;  // inc ecx
  (void)machine_.fragment_at_eip(kMoved + unit_at(0));
  EXPECT_EQ(copy_of(3), nullptr);
  EXPECT_NE(copy_of(4), nullptr);
  Fragment& changed = machine_.fragment_at_eip(kMoved + unit_at(3));
  EXPECT_FALSE(changed.is_copy);
  cache().verify_invariants();
}

TEST_P(RelocatedPage, IsCopiedAgainAfterTheCopiesHaveGone) {
  for (int i = 0; i < 3; ++i) {
    const uint64_t before = counters().units_relocated;
    (void)machine_.fragment_at_eip(kMoved + unit_at(1));
    EXPECT_EQ(counters().units_relocated, before + kUnits);
    cache().link(copy_of(0)->first_link, *copy_of(1), safe_);
    cache().drop(*copy_of(2), safe_);
    cache().verify_invariants();
    cache().drop_copies(safe_);
    cache().verify_invariants();
    EXPECT_EQ(cache().size(), kUnits);
  }
}

TEST_P(RelocatedPage, BranchesThatWrapComeAlong) {
  // From 0x7100 forward by 0x40000000, which wraps above 0xc0000000.
  machine_.load(unit_at(8), "0f 84 00 00 00 40 cd 80");
  (void)machine_.fragment_at_eip(unit_at(8));
  (void)machine_.fragment_at_eip(kMoved + unit_at(0));
  EXPECT_NE(copy_of(4), nullptr);
  EXPECT_NE(copy_of(8), nullptr);
  EXPECT_TRUE(machine_.fragment_at_eip(kMoved + unit_at(8)).is_copy);
  cache().verify_invariants();
}

INSTANTIATE_TEST_SUITE_P(Styles, RelocatedPage,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         [](const auto& style) {
                           return style.param == AccessStyle::Window ? "Window" : "Soft";
                         });

TEST_P(Relocated, ADroppedCopyLeavesNothingForTheOthersToTripOver) {
  (void)machine_.fragment_at_eip(Machine::kCode);
  (void)machine_.fragment_at_eip(Machine::kCode + 0x40);
  Fragment& copy = machine_.fragment_at_eip(kMoved + Machine::kCode);
  Fragment& other = machine_.fragment_at_eip(kMoved + Machine::kCode + 0x40);
  cache().link(copy.first_link, other, safe_);
  cache().drop(other, safe_);
  cache().verify_invariants();
  EXPECT_EQ(cache().fragment_at(other.code.address), nullptr);
  EXPECT_EQ(code_of(copy), emitted_again(copy).bytes);
  cache().drop_copies(safe_);
  cache().verify_invariants();
}

TEST_P(Relocated, CopiesFillTheArenaWithoutTheOriginalsGoing) {
  TranslatorConfig config;
  config.arena_bytes = 128 << 10;
  TranslatorMachine machine(GetParam(), config);
  machine.privilege = Privilege::User;
  TranslationCache& cache = machine.translator->cache();
  // A page's worth of code, at many linear addresses: the physical page is what counts.
  machine.load(Machine::kCode, kAllKinds);
  const Fragment& model = machine.fragment_at_eip(Machine::kCode);
  const uint64_t all = counters().cache_flushes;
  const uint64_t copies = counters().copy_flushes;
  TranslationKey key = model.key;
  for (int i = 0; i < 4000; ++i) {
    key.eip += kPageSize;
    EXPECT_TRUE(machine.translator->find_or_make(key, safe_).is_copy);
  }
  EXPECT_GT(counters().copy_flushes, copies);
  EXPECT_EQ(counters().cache_flushes, all);
  EXPECT_EQ(&machine.fragment_at_eip(Machine::kCode), &model);
  cache.verify_invariants();
}

TEST_P(Relocated, AFaultInACopyHasTheCopysOwnEip) {
  machine_.load(0x6000,
                "90 ff 05 00 00 00 40 cd 80");  // nop; inc dword [0x40000000] (unmapped); int 0x80
  (void)machine_.fragment_at_eip(0x6000);
  const Fragment& copy = machine_.fragment_at_eip(kMoved + 0x6000);
  ASSERT_TRUE(copy.is_copy);
  machine_.state().eip = kMoved + 0x6000;
  const Exit exit = machine_.run_once();
  EXPECT_EQ(exit.reason,
            GetParam() == AccessStyle::Soft ? ExitReason::SoftMiss : ExitReason::HostFault);
  EXPECT_EQ(machine_.state().eip, kMoved + 0x6001);
}

TEST_P(Relocated, NewCodeIsJoinedToWhatItsPageHas) {
  Fragment& callee = machine_.fragment_at_eip(Machine::kCode + 0x40);
  Fragment& caller = machine_.fragment_at_eip(Machine::kCode);
  EXPECT_EQ(cache().link_within_page(caller, safe_), 1U);
  EXPECT_EQ(callee.first_incoming, caller.first_link);
  cache().verify_invariants();
}

INSTANTIATE_TEST_SUITE_P(Styles, Relocated,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         [](const auto& style) {
                           return style.param == AccessStyle::Window ? "Window" : "Soft";
                         });

}  // namespace
}  // namespace ringshift
