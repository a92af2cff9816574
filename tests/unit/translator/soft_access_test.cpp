// Soft accesses that are more than a TLB entry for one operand: stores beside code, and string
// instructions of the supervisor's.
#include <gtest/gtest.h>

#include <string>

#include "tests/support/translator_fixture.h"
#include "translator/code_bytes.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;

// Stores of every size that miss the TLB go to a page with code, but for the bytes that are code.
TEST(StoresBesideCode, GoToAllBytesButTheCodes) {
  struct Store {
    const char* code;
    uint32_t bytes;
  };
  constexpr Store kStores[] = {
      {"88 03 ", 1},        // mov [ebx], al
      {"66 89 03 ", 2},     // mov [ebx], ax
      {"89 03 ", 4},        // mov [ebx], eax
      {"f0 0f c7 0b ", 8},  // lock cmpxchg8b [ebx]
      {"0f 11 03 ", 16},    // movups [ebx], xmm0
  };
  constexpr uint32_t kFirst = 0x2c, kLength = 3;
  constexpr uint32_t kLast = kPageSize - 2;  // one byte of code
  constexpr uint32_t kSlot = (Machine::kData >> 12) % kSoftTlbEntries;
  constexpr GuestVirtualPage kPage(Machine::kData >> 12);
  CodeBytes bytes;
  bytes.add(kFirst, kLength);
  bytes.add(kLast, 1);
  Machine machine;
  machine.style = AccessStyle::Soft;
  machine.slots().fpu_loaded = machine.slots().x87_live = machine.slots().sse_live = 1;
  Frame& frame = machine.gate->frame();
  const auto run = [&](const Store& store, uint32_t offset, uint32_t flags) {
    machine.flush_soft_tlb();
    frame.supervisor_tlb[kSlot].negated_read_page = 0U - kPage.number();
    frame.supervisor_tlb[kSlot].addend = machine.window();
    frame.code_bytes[0][kSlot] = bytes.base_for(kPage);
    machine.state().eflags = kFlagReservedOne | flags;
    machine.reg(Gpr::Ebx) = Machine::kData + offset;
    machine.reg(Gpr::Ecx) = 0x89abcdef;
    (void)machine.run_code(std::string(store.code) + "f4");  // HLT
    EXPECT_EQ(machine.reg(Gpr::Ecx), 0x89abcdefU);
    return frame.supervisor_tlb[kSlot].negated_write_page == SoftTlbEntry{}.negated_write_page;
  };
  for (const Store& store : kStores) {
    machine.translator->cache().drop_all(SafePointForTest::get());
    for (const uint32_t flags : {0U, kFlagsArithmetic & ~kFlagZf}) {
      for (uint32_t offset = kFirst - 20; offset < kFirst + 20; ++offset) {
        const bool is_beside = offset + store.bytes <= kFirst || offset >= kFirst + kLength;
        EXPECT_EQ(run(store, offset, flags), is_beside) << store.code << " at " << offset;
      }
      EXPECT_TRUE(run(store, kLast - store.bytes, flags));
      EXPECT_EQ(run(store, kPageSize - store.bytes, flags), store.bytes == 1);
    }
  }
  machine.flush_soft_tlb();
  frame.supervisor_tlb[kSlot].negated_read_page = 0U - kPage.number();
  frame.supervisor_tlb[kSlot].addend = machine.window();
  frame.code_bytes[0][kSlot] = 0;
  (void)machine.run_code("89 03 f4");
  EXPECT_NE(frame.supervisor_tlb[kSlot].negated_write_page, SoftTlbEntry{}.negated_write_page)
      << "a page that may only be read";
}

// Each string instruction at a soft site leaves what the host's own leaves on the window.
TEST(SoftStrings, DoAsPlainOnesDo) {
  constexpr const char* kCodes[] = {
      "a4 ", "66 a5 ", "a5 ",  // movs
      "a6 ", "66 a7 ", "a7 ",  // cmps
      "aa ", "66 ab ", "ab ",  // stos
      "ac ", "66 ad ", "ad ",  // lods
      "ae ", "66 af ", "af ",  // scas
  };
  constexpr uint32_t kSource = Machine::kData + 0x120, kDestination = Machine::kData + 0x340;
  Machine plain, soft;
  soft.style = AccessStyle::Soft;
  for (const char* code : kCodes) {
    for (const uint32_t flags : {0U, kFlagDf, kFlagsArithmetic | kFlagDf}) {
      for (Machine* machine : {&plain, &soft}) {
        machine->translator->cache().drop_all(SafePointForTest::get());
        machine->write32(kSource, 0x89abcdef);
        machine->write32(kDestination, 0x01ab23ef);
        machine->reg(Gpr::Esi) = kSource;
        machine->reg(Gpr::Edi) = kDestination;
        machine->reg(Gpr::Eax) = 0x7654cdef;
        machine->reg(Gpr::Ecx) = 0x5a5a5a5a;
        machine->state().eflags = kFlagReservedOne | flags;
        machine->run_snippet(code);
      }
      for (const Gpr reg : {Gpr::Eax, Gpr::Ecx, Gpr::Esi, Gpr::Edi}) {
        EXPECT_EQ(soft.reg(reg), plain.reg(reg)) << code << flags;
      }
      EXPECT_EQ(soft.state().eflags, plain.state().eflags) << code << flags;
      EXPECT_EQ(soft.read32(kDestination), plain.read32(kDestination)) << code << flags;
    }
  }
}

// The same of REP MOVS and REP STOS, within a page and from one to the next.
TEST(SoftStrings, RepeatAsPlainOnesDo) {
  constexpr const char* kCodes[] = {"f3 a4 ", "f3 66 a5 ", "f3 a5 ",
                                    "f3 aa ", "f3 66 ab ", "f3 ab "};
  struct Range {
    uint32_t source, destination, count;
  };
  constexpr uint32_t kSource = Machine::kData, kDestination = Machine::kData + 0x4000;
  constexpr Range kRanges[] = {{0x10, 0x20, 0},      {0x10, 0x20, 1},    {0x10, 0x20, 100},
                               {0xf80, 0x40, 200},   {0x44, 0xf00, 300}, {0xff0, 0xfc0, 40},
                               {0x100, -0x3f04U, 60}};
  // The first instructions put the pages into the TLB: mov eax, [esi]; mov [edi], eax; the same 4
  // KiB on
  const std::string fill = "8b 06 89 07 8b 86 00 10 00 00 89 87 00 10 00 00 ";
  Machine plain, soft;
  soft.style = AccessStyle::Soft;
  for (const char* code : kCodes) {
    for (const Range& range : kRanges) {
      for (const uint32_t flags : {0U, kFlagsArithmetic}) {
        for (Machine* machine : {&plain, &soft}) {
          machine->translator->cache().drop_all(SafePointForTest::get());
          machine->flush_soft_tlb();
          for (uint32_t i = 0; i < 0x2000; i += 4) {
            machine->write32(kSource + i, i * 0x01010193);
            machine->write32(kDestination + i, 0x5a5a5a5a);
          }
          machine->reg(Gpr::Esi) = kSource + range.source;
          machine->reg(Gpr::Edi) = kDestination + range.destination;
          machine->reg(Gpr::Ecx) = range.count;
          machine->state().eflags = kFlagReservedOne | flags;
          machine->run_snippet(fill + code);
        }
        for (const Gpr reg : {Gpr::Eax, Gpr::Ecx, Gpr::Esi, Gpr::Edi}) {
          EXPECT_EQ(soft.reg(reg), plain.reg(reg)) << code << range.count;
        }
        EXPECT_EQ(soft.reg(Gpr::Ecx), 0U);
        EXPECT_EQ(soft.state().eflags, plain.state().eflags) << code;
        for (uint32_t i = 0; i < 0x2000; i += 4) {
          ASSERT_EQ(soft.read32(kSource + i), plain.read32(kSource + i)) << code << i;
          ASSERT_EQ(soft.read32(kDestination + i), plain.read32(kDestination + i)) << code << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ringshift
