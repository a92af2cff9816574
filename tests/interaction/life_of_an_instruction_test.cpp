// The steps of docs/life-of-an-instruction.md, one call each, on the machine's own classes;
// counters are asserted after each step. The test does by hand the work of Vcpu between them.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "monitor/cpu/control_registers.h"
#include "monitor/host/host_signals.h"
#include "monitor/vcpu/execution_mode.h"
#include "shadowmmu/base/counters.h"
#include "tests/support/processor_machine.h"
#include "tests/support/translator_fixture.h"
#include "translator/plan.h"
#include "translator/recovery.h"

namespace ringshift {
namespace {

constexpr uint64_t kRamBytes = 4U << 20;
constexpr uint32_t kPageDirectory = 0x1000;
constexpr uint32_t kPageTable = 0x2000;
constexpr uint32_t kKernelBase = 0xc0000000;
constexpr uint32_t kPresentWritable = 3;
constexpr uint32_t kAccessed = 0x20;
constexpr uint32_t kDirty = 0x40;

constexpr uint32_t kCode = 0xc0101234;  // mov [ebx+16], eax; jnc to the next unit; hlt; hlt
constexpr uint32_t kCodePhysical = 0x101234;
constexpr uint32_t kData = 0xc0200010;  // EBX
constexpr uint32_t kStored = kData + 16;
constexpr uint32_t kStoredPhysical = 0x200020;
constexpr uint32_t kValue = 0x12345678;
constexpr uint16_t kFlatCode = 0xc09b;
constexpr uint16_t kFlatData = 0xc093;

class LifeOfAnInstruction : public ::testing::Test {
 protected:
  LifeOfAnInstruction() {
    std::string error;
    EXPECT_TRUE(HostSignals::install(&processor().gate(), &processor().attention(), &error))
        << error;
    set_up_kernel();
    counters() = Counters{};
  }
  ~LifeOfAnInstruction() override { HostSignals::uninstall(); }

  // A kernel at 3 GiB over all of RAM; no A or D bit is set yet.
  void set_up_kernel() {
    set32(kPageDirectory + (kKernelBase >> 22) * 4, kPageTable | kPresentWritable);
    for (uint32_t page = 0; page < 1024; ++page) {
      set32(kPageTable + page * 4, (page << 12) | kPresentWritable);
    }
    const std::vector<uint8_t> code = {0x89, 0x43, 0x10, 0x73, 0x01, 0xf4, 0xf4};
    std::memcpy(machine_.ram->at(GuestPhysical(kCodePhysical)), code.data(), code.size());
    reset(state());
    state().cr0 |= kCr0Pe | kCr0Pg | kCr0Wp;
    state().cr3 = kPageDirectory;
    for (SegmentCache& cache : state().segment) cache = {0, 0xffffffffU, 0x10, kFlatData};
    state().seg(SegmentRegister::Cs) = {0, 0xffffffffU, 0x08, kFlatCode};
    state().eip = kCode;
    state().reg(Gpr::Eax) = kValue;
    state().reg(Gpr::Ebx) = kData;
    processor().note_state_changed();
    processor().spaces().apply(safe());
  }

  [[nodiscard]] static const SafePoint& safe() { return SafePointForTest::get(); }
  [[nodiscard]] Processor& processor() { return *machine_.processor; }
  [[nodiscard]] GuestState& state() { return machine_.state(); }
  void set32(uint32_t at, uint32_t value) { machine_.set32(at, value); }
  [[nodiscard]] uint32_t get32(uint32_t at) const { return machine_.get32(at); }
  [[nodiscard]] uint32_t page_table_entry(uint32_t linear) const {
    return get32(kPageTable + ((linear - kKernelBase) >> 12) * 4);
  }
  [[nodiscard]] TranslationKey key() {
    return processor().code().key_for(state().pointer(), Privilege::Supervisor).value();
  }
  [[nodiscard]] Exit run_from(uint64_t host_pc) {
    processor().spaces().select(Privilege::Supervisor);
    return processor().gate().run(host_pc, processor().translator().cache());
  }
  // Steps 1 to 10, for tests of what comes after.
  Exit run_until_stored() {
    state().eip = kCode;
    const Fragment& fragment = *processor().translator().ensure(key(), safe());
    const Exit fault = run_from(fragment.body());
    EXPECT_EQ(fault.reason, ExitReason::HostFault);
    EXPECT_EQ(processor().data().fill_window(GuestVirtual(kStored), true, Privilege::Supervisor),
              Miss::Filled);
    return run_from(fragment.body());
  }

  ProcessorMachine machine_{kRamBytes};
};

TEST_F(LifeOfAnInstruction, ChooseAndLocateFindAKeyAndNoFragment) {
  EXPECT_EQ(execution_mode(state()), ModeReason::Translatable);
  const auto found = processor().code().key_for(Eip(kCode), Privilege::Supervisor);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->eip, Eip(kCode));
  EXPECT_EQ(found->physical, GuestPhysical(kCodePhysical));
  EXPECT_EQ(found->style, AccessStyle::Window);
  EXPECT_EQ(processor().translator().cache().find(*found), nullptr);
  // The fetch is an access (SDM 3A 4.8): A is set, D is not.
  EXPECT_EQ(page_table_entry(kCode) & (kAccessed | kDirty), kAccessed);
  EXPECT_EQ(counters().units_translated, 0U);
}

TEST_F(LifeOfAnInstruction, PlanDecodesAndClassifiesPastTheBranch) {
  TranslationUnit unit;
  plan(key(), processor().code(), processor().sites(), TranslatorFeatures{}, PlanLimits{}, &unit);
  ASSERT_EQ(unit.instructions.size(), 3U);
  EXPECT_EQ(unit.instructions[0].treatment, Treatment::Memory);
  EXPECT_EQ(unit.instructions[0].family, Family::Reencode);
  EXPECT_EQ(unit.instructions[0].style, AccessStyle::Window);
  EXPECT_EQ(unit.instructions[0].instruction.length, 3U);
  EXPECT_EQ(unit.instructions[1].treatment, Treatment::DirectBranch);
  EXPECT_EQ(unit.instructions[2].treatment, Treatment::Interpret);
  EXPECT_FALSE(unit.crosses_page);
  EXPECT_EQ(counters().traces_code, 0U);
}

TEST_F(LifeOfAnInstruction, TraceEmitAndPublishMakeAFragmentOfAWatchedPage) {
  EXPECT_FALSE(machine_.watch.watches(GuestPhysicalPage::of(GuestPhysical(kCodePhysical))));
  Fragment& fragment = *processor().translator().ensure(key(), safe());
  EXPECT_TRUE(machine_.watch.watches(GuestPhysicalPage::of(GuestPhysical(kCodePhysical))));
  EXPECT_EQ(processor().translator().cache().find(key()), &fragment);
  EXPECT_EQ(fragment.instruction_count, 3U);
  EXPECT_EQ(fragment.link_count, 1U);
  EXPECT_EQ(counters().traces_code, 1U);
  EXPECT_EQ(counters().units_translated, 1U);
  EXPECT_EQ(counters().instructions_translated, 3U);
  EXPECT_EQ(counters().treatment_memory, 1U);
  EXPECT_EQ(counters().treatment_direct_branch, 1U);
  processor().spaces().verify_invariants();
}

TEST_F(LifeOfAnInstruction, RunMissesAndRecoversTheBoundaryWithItsRegisters) {
  const Fragment& fragment = *processor().translator().ensure(key(), safe());
  const Exit exit = run_from(fragment.body());
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.eip, Eip(kCode));
  EXPECT_TRUE(exit.fault.is_write);
  EXPECT_EQ(processor().data().window_address(exit.fault.address, Privilege::Supervisor),
            GuestVirtual(kStored));
  EXPECT_EQ(state().eip, kCode);
  EXPECT_EQ(state().reg(Gpr::Eax), kValue);
  EXPECT_EQ(state().reg(Gpr::Ebx), kData);
  EXPECT_EQ(get32(kStoredPhysical), 0U);
  EXPECT_EQ(counters().shadow_fills, 0U);
  EXPECT_EQ(page_table_entry(kStored) & (kAccessed | kDirty), 0U);
}

TEST_F(LifeOfAnInstruction, HandleFillsTheWindowOnceAAndDAreSetAndTheStoreCompletes) {
  const Fragment& fragment = *processor().translator().ensure(key(), safe());
  const Exit fault = run_from(fragment.body());
  ASSERT_EQ(processor().data().fill_window(GuestVirtual(kStored), fault.fault.is_write,
                                           Privilege::Supervisor),
            Miss::Filled);
  EXPECT_EQ(page_table_entry(kStored) & (kAccessed | kDirty), kAccessed | kDirty);
  EXPECT_EQ(counters().faults_hidden, 1U);
  EXPECT_EQ(counters().shadow_fills, 1U);
  const auto offset = static_cast<uint32_t>(fault.fault.host_pc - fragment.code.address);
  const Exit exit =
      run_from(fragment.code.address + resume_offset(fragment.shape->recovery, offset));
  EXPECT_EQ(exit.reason, ExitReason::Unlinked);
  EXPECT_EQ(exit.eip, Eip(kCode + 6));
  EXPECT_EQ(get32(kStoredPhysical), kValue);
  EXPECT_EQ(counters().shadow_fills, 1U);
  processor().spaces().verify_invariants();
}

TEST_F(LifeOfAnInstruction, OrElseTheWalkFaultsAndTheInterpreterReturnsTheFault) {
  set32(kPageTable + ((kStored - kKernelBase) >> 12) * 4, 0);
  const Fragment& fragment = *processor().translator().ensure(key(), safe());
  EXPECT_EQ(run_from(fragment.body()).reason, ExitReason::HostFault);
  EXPECT_EQ(processor().data().fill_window(GuestVirtual(kStored), true, Privilege::Supervisor),
            Miss::Interpret);
  const StepResult step = processor().interpreter().step();
  EXPECT_EQ(step.kind, StepKind::Fault);
  EXPECT_EQ(step.fault.vector, Vector::PageFault);
  EXPECT_EQ(state().eip, kCode);
  EXPECT_EQ(counters().shadow_fills, 0U);
}

TEST_F(LifeOfAnInstruction, OrElseTheStoreGoesToAWatchedPageAndDropsTheFragment) {
  constexpr uint32_t kSecondUnit = kCode + 6;
  state().reg(Gpr::Ebx) = kSecondUnit - 16;  // it overwrites the HLT that comes next
  const Fragment& fragment = *processor().translator().ensure(key(), safe());
  state().eip = kSecondUnit;
  (void)processor().translator().ensure(key(), safe());
  state().eip = kCode;
  EXPECT_EQ(processor().translator().cache().size(), 2U);
  EXPECT_EQ(run_from(fragment.body()).reason, ExitReason::HostFault);
  EXPECT_EQ(processor().data().fill_window(GuestVirtual(kSecondUnit), true, Privilege::Supervisor),
            Miss::Interpret);
  EXPECT_EQ(processor().interpreter().step().kind, StepKind::Done);
  EXPECT_EQ(counters().trace_writes_code, 1U);
  EXPECT_TRUE(processor().spaces().has_pending_work());
  EXPECT_EQ(counters().fragments_dropped, 0U);  // not before the safe point
  processor().spaces().apply(safe());
  EXPECT_EQ(counters().fragments_dropped, 1U);
  state().eip = kCode;
  EXPECT_NE(processor().translator().cache().find(key()), nullptr);
  state().eip = kSecondUnit;
  EXPECT_EQ(processor().translator().cache().find(key()), nullptr);
  processor().spaces().verify_invariants();
}

TEST_F(LifeOfAnInstruction, AWriteWhereAllCodeHasGoneLiftsTheTrace) {
  (void)run_until_stored();
  const GuestPhysical beside(kCodePhysical + 0x800);
  machine_.watch.on_write(beside, 4);
  EXPECT_FALSE(processor().spaces().has_pending_work()) << "data beside code";
  EXPECT_EQ(counters().trace_writes_code, 1U);

  processor().translator().cache().drop_all(safe());
  machine_.watch.on_write(beside, 4);
  EXPECT_EQ(counters().trace_writes_code, 2U);
  processor().spaces().apply(safe());
  machine_.watch.on_write(beside, 4);
  EXPECT_EQ(counters().trace_writes_code, 2U) << "it is a page like any other now";
}

TEST_F(LifeOfAnInstruction, OrElseTheSiteIsSoftUntilAllCodeIsTranslatedAnew) {
  const GuestPhysical site(kCodePhysical);
  EXPECT_FALSE(processor().sites().note_fault(site, Privilege::Supervisor));
  EXPECT_TRUE(processor().sites().note_fault(site, Privilege::Supervisor));
  EXPECT_TRUE(processor().sites().is_soft(site));
  EXPECT_FALSE(processor().sites().note_fault(site, Privilege::Supervisor));
  processor().translator().cache().drop_all(safe());
  EXPECT_FALSE(processor().sites().is_soft(site));
  EXPECT_FALSE(processor().sites().note_fault(site, Privilege::Supervisor));
}

TEST_F(LifeOfAnInstruction, AgainTheBranchIsLinkedAndNothingComesBackBeforeTheHalt) {
  const Exit unlinked = run_until_stored();
  ASSERT_EQ(unlinked.reason, ExitReason::Unlinked);
  state().eip = unlinked.eip.value();
  Fragment& next = *processor().translator().ensure(key(), safe());
  processor().translator().cache().link(unlinked.link, next, safe());
  EXPECT_EQ(counters().links_made, 1U);
  const Counters before = counters();
  set32(kStoredPhysical, 0);
  state().eip = kCode;
  const Exit exit = run_from(processor().translator().ensure(key(), safe())->body());
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(kCode + 6));
  EXPECT_EQ(get32(kStoredPhysical), kValue);
  EXPECT_EQ(counters().units_translated, before.units_translated);
  EXPECT_EQ(counters().shadow_fills, before.shadow_fills);
  EXPECT_EQ(counters().interpreted_instructions, before.interpreted_instructions);
}

}  // namespace
}  // namespace ringshift
