#include <cmath>

#include "tests/support/interpreter_fixture.h"
#include "translator/event_counter.h"

namespace ringshift {
namespace {

class InterpreterFpu : public InterpreterFixture {
 protected:
  static constexpr uint32_t kExceptionMasks = 0x1f80;
  InterpreterFpu() {
    state.cr0 |= kCr0Ne | kCr0Mp;
    state.cr4 |= kCr4Osfxsr | kCr4Osxmmexcpt;
    set_mxcsr(kExceptionMasks);
    run({0xdb, 0xe3});  // fninit
  }
  void set_mxcsr(uint32_t value) { std::memcpy(state.fxsave.data() + 24, &value, 4); }
  [[nodiscard]] uint32_t mxcsr() const {
    uint32_t value;
    std::memcpy(&value, state.fxsave.data() + 24, 4);
    return value;
  }
  [[nodiscard]] uint16_t status() const {
    uint16_t value;
    std::memcpy(&value, state.fxsave.data() + 2, 2);
    return value;
  }
  void set_xmm32(unsigned number, float value) {
    std::memcpy(state.fxsave.data() + 160 + 16 * number, &value, 4);
  }
  [[nodiscard]] float xmm32(unsigned number) const {
    float value;
    std::memcpy(&value, state.fxsave.data() + 160 + 16 * number, 4);
    return value;
  }
  void set_double(uint32_t at, double value) {
    uint64_t bits;
    std::memcpy(&bits, &value, 8);
    set32(at, static_cast<uint32_t>(bits));
    set32(at + 4, static_cast<uint32_t>(bits >> 32));
  }
  [[nodiscard]] double get_double(uint32_t at) const {
    const uint64_t bits = (uint64_t{get32(at + 4)} << 32) | get32(at);
    double value;
    std::memcpy(&value, &bits, 8);
    return value;
  }
};

TEST_F(InterpreterFpu, SquareRootGoesThroughMemory) {
  set_double(kData, 2.0);
  run({0xdd, 0x05, 0, 0, 5, 0});  // fld qword [kData]
  run({0xd9, 0xfa});              // fsqrt
  run({0xdd, 0x1d, 8, 0, 5, 0});  // fstp qword [kData+8]
  EXPECT_EQ(get_double(kData + 8), std::sqrt(2.0));
}

// Where events are counted each engine leaves the same memory.
TEST_F(InterpreterFpu, StoresNoPointersWhereEventsAreCounted) {
  uint64_t walk = 0, origin = 0;
  EventCounter counter(&walk, &origin, 0x100000, 0x40000);
  for (const bool is_counted : {false, true}) {
    interpreter().set_event_counter(is_counted ? &counter : nullptr);
    counter.allow(1000);
    for (const std::initializer_list<unsigned> store :
         {std::initializer_list<unsigned>{0xd9, 0x35, 0, 0, 5, 0},     // fnstenv [kData]
          std::initializer_list<unsigned>{0xdd, 0x35, 0, 0, 5, 0}}) {  // fnsave [kData]
      run({0xdd, 0x05, 0, 0, 5, 0});                                   // fld qword [kData]
      run({0xdd, 0xd8});                                               // fstp st0
      run(store);
      const uint32_t stored = get32(kData + 12) | (get32(kData + 16) & 0x7ffffffU) |
                              get32(kData + 20) | (get32(kData + 24) & 0xffffU);
      EXPECT_EQ(stored == 0, is_counted);
    }
    run({0xdd, 0x05, 0, 0, 5, 0});        // fld qword [kData]
    run({0x0f, 0xae, 0x05, 0, 0, 5, 0});  // fxsave [kData]
    EXPECT_EQ(get32(kData + 8) == 0 && get32(kData + 16) == 0, is_counted);
    run({0xdb, 0xe3});  // fninit
  }
}

TEST_F(InterpreterFpu, TaskSwitchedRaisesDeviceNotAvailable) {
  state.cr0 |= kCr0Ts;
  const GuestFault expected = GuestFault::simple(Vector::DeviceNotAvailable);
  EXPECT_EQ(fault({0xd9, 0xe8}), expected);        // fld1
  EXPECT_EQ(fault({0x0f, 0x58, 0xc1}), expected);  // addps
  EXPECT_EQ(fault({0x0f, 0xfc, 0xc1}), expected);  // paddb
  EXPECT_EQ(fault({0x9b}), expected);              // fwait, with MP
}

TEST_F(InterpreterFpu, SseWithoutOsSupportIsUndefined) {
  state.cr4 &= ~kCr4Osfxsr;
  EXPECT_EQ(fault({0x0f, 0x58, 0xc1}), GuestFault::invalid_opcode());
  run({0x0f, 0xfc, 0xc1});  // paddb mm0, mm1 does not need it
}

TEST_F(InterpreterFpu, UnmaskedDivideByZeroIsTakenByTheNextWaitingInstruction) {
  set16(kData, 0x0300);           // everything unmasked
  run({0xd9, 0x2d, 0, 0, 5, 0});  // fldcw
  run({0xd9, 0xe8});              // fld1
  run({0xd9, 0xee});              // fldz
  run({0xdc, 0xf9});              // fdiv st1, st0
  EXPECT_EQ(status() & 0x8084, 0x8084);
  EXPECT_EQ(fault({0xd9, 0xe8}), GuestFault::simple(Vector::FloatingPoint));
  run({0xdf, 0xe0});  // fnstsw ax does not wait
  EXPECT_EQ(eax() & 4U, 4U);
  run({0xdb, 0xe2});  // fnclex
  run({0xd9, 0xe8});
}

TEST_F(InterpreterFpu, UnmaskedSimdExceptionLeavesTheDestination) {
  set_xmm32(0, 1.0F);
  set_xmm32(1, 0.0F);
  set_mxcsr(kExceptionMasks & ~(1U << 9));                                       // ZM clear
  EXPECT_EQ(fault({0xf3, 0x0f, 0x5e, 0xc1}).vector, Vector::SimdFloatingPoint);  // divss
  EXPECT_EQ(xmm32(0), 1.0F);
  EXPECT_EQ(mxcsr() & 0x3fU, 4U);
}

TEST_F(InterpreterFpu, MaskedSimdExceptionIsRecorded) {
  set_xmm32(0, 1.0F);
  set_xmm32(1, 0.0F);
  run({0xf3, 0x0f, 0x5e, 0xc1});
  EXPECT_TRUE(std::isinf(xmm32(0)));
  EXPECT_EQ(mxcsr() & 0x3fU, 4U);
}

TEST_F(InterpreterFpu, ComparisonSetsTheIntegerFlags) {
  set_xmm32(0, 1.0F);
  set_xmm32(1, 2.0F);
  run({0x0f, 0x2f, 0xc1});  // comiss xmm0, xmm1
  EXPECT_EQ(flags(), kFlagCf);
}

TEST_F(InterpreterFpu, MovesBetweenXmmAndEveryGeneralRegister) {
  esp() = 0x11223344;
  run({0x66, 0x0f, 0x6e, 0xcc});  // movd xmm1, esp
  run({0x66, 0x0f, 0x7e, 0xcf});  // movd edi, xmm1
  EXPECT_EQ(edi(), 0x11223344U);
  run({0x66, 0x0f, 0xd7, 0xe1});  // pmovmskb esp, xmm1
  EXPECT_EQ(esp(), 0U);
}

TEST_F(InterpreterFpu, MisalignedVectorOperandFaults) {
  eax() = kData + 8;
  EXPECT_EQ(fault({0x0f, 0x28, 0x00}), GuestFault::general_protection(0));  // movaps xmm0, [eax]
  run({0x0f, 0x10, 0x00});                                                  // movups
}

TEST_F(InterpreterFpu, StoreToAnUnmappedPageLeavesTheStack) {
  enable_paging();
  run({0xd9, 0xe8});
  unmap(kData);
  const uint16_t before = status();
  EXPECT_EQ(fault({0xdd, 0x1d, 0, 0, 5, 0}).vector, Vector::PageFault);
  EXPECT_EQ(status(), before);
}

TEST_F(InterpreterFpu, SaveAndRestoreRoundTrip) {
  run({0xd9, 0xeb});                    // fldpi
  run({0xd9, 0xe8});                    // fld1
  run({0xdd, 0x35, 0, 0, 5, 0});        // fnsave [kData]
  EXPECT_EQ(get16(kData + 8), 0x0fff);  // tags: registers 6 and 7 hold values
  EXPECT_EQ(status(), 0);
  run({0xdd, 0x25, 0, 0, 5, 0});  // frstor [kData]
  run({0xde, 0xc1});              // faddp
  run({0xdd, 0x1d, 0x80, 0, 5, 0});
  EXPECT_EQ(get_double(kData + 0x80), M_PI + 1.0);
}

TEST_F(InterpreterFpu, ExtendedRestoreChecksMxcsr) {
  run({0x0f, 0xae, 0x05, 0, 0, 5, 0});  // fxsave [kData]
  set32(kData + 24, 0x10000);
  EXPECT_EQ(fault({0x0f, 0xae, 0x0d, 0, 0, 5, 0}), GuestFault::general_protection(0));
}

TEST_F(InterpreterFpu, MmxInstructionMarksAllRegistersValid) {
  run({0x0f, 0xef, 0xc0});  // pxor mm0, mm0
  EXPECT_EQ(state.fxsave[4], 0xff);
  run({0x0f, 0x77});  // emms
  EXPECT_EQ(state.fxsave[4], 0);
}

TEST_F(InterpreterFpu, MaskedStoreWritesChosenBytes) {
  for (unsigned i = 0; i < 16; ++i) {
    state.fxsave[160 + i] = static_cast<uint8_t>(i + 1);
    state.fxsave[176 + i] = i == 3 ? 0x80 : 0;
  }
  edi() = kData;
  run({0x66, 0x0f, 0xf7, 0xc1});  // maskmovdqu xmm0, xmm1
  EXPECT_EQ(get32(kData), 0x04000000U);
}

TEST_F(InterpreterFpu, StringCompareAnswersInEcx) {
  std::memcpy(state.fxsave.data() + 160, "abc", 4);
  std::memcpy(state.fxsave.data() + 176, "xxabc", 6);
  run({0x66, 0x0f, 0x3a, 0x63, 0xc1, 0x0c});  // pcmpistri xmm0, xmm1, equal ordered
  EXPECT_EQ(ecx(), 2U);
}

TEST_F(InterpreterFpu, NewerExtensionsAreUndefinedOnTheOlderModel) {
  model.sse42 = false;
  run({0x0f, 0x58, 0xc1});                                                   // addps
  EXPECT_EQ(fault({0x66, 0x0f, 0x58, 0xc1}), GuestFault::invalid_opcode());  // addpd
  EXPECT_EQ(fault({0x0f, 0x38, 0x00, 0xc1}), GuestFault::invalid_opcode());  // pshufb
}

TEST_F(InterpreterFpu, InstructionPointerIsTheGuests) {
  const uint32_t at = state.eip;
  run({0xd9, 0xe8});
  uint32_t recorded;
  std::memcpy(&recorded, state.fxsave.data() + 8, 4);
  EXPECT_EQ(recorded, at);
}

TEST_F(InterpreterFpu, MaskedStoreMustBeAbleToWriteAllOfItsOperand) {
  state.cr4 |= kCr4Osfxsr;
  SegmentCache& ds = state.seg(SegmentRegister::Ds);
  ds.limit = kData + 15;
  edi() = kData;
  std::fill_n(state.fxsave.begin() + 160, 32, uint8_t{0});
  run({0x66, 0x0f, 0xf7, 0xc1});  // maskmovdqu xmm0, xmm1
  edi() = kData + 1;
  EXPECT_EQ(fault({0x66, 0x0f, 0xf7, 0xc1}), GuestFault::general_protection(0));
  ds = {0, ~0U, kData0, 0xc091};  // read-only
  EXPECT_EQ(fault({0x66, 0x0f, 0xf7, 0xc1}), GuestFault::general_protection(0));
  EXPECT_EQ(fault({0x0f, 0xf7, 0xc1}), GuestFault::general_protection(0));  // maskmovq
}

}  // namespace
}  // namespace ringshift
