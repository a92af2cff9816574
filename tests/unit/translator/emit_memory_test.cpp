// Plain instructions with their operands, and string instructions, executed in both styles.
#include "tests/support/translator_fixture.h"

namespace ringshift {
namespace {

using Machine = TranslatorMachine;
using Memory = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Memory, ::testing::Values(AccessStyle::Window, AccessStyle::Soft),
                         style_name);

TEST_P(Memory, RegisterArithmeticComesOutAsItself) {
  machine_.reg(Gpr::Ebx) = 7;
  machine_.run_snippet(
      "b8 05 00 00 00 "  // mov eax, 5
      "01 d8 "           // add eax, ebx
      "6b c8 03 "        // imul ecx, eax, 3
      "29 d2 "           // sub edx, edx
      "f7 d2 "           // not edx
      "0f be f2 "        // movsx esi, dl
      "0f b7 fa "        // movzx edi, dx
      "0f cf "           // bswap edi
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 12U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 36U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0xffffffffU);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0xffffffffU);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0xffff0000U);
}

TEST_P(Memory, StackPointerIsAnOrdinaryRegisterOperand) {
  machine_.reg(Gpr::Eax) = 0x1234;
  machine_.run_snippet(
      "89 e5 "     // mov ebp, esp
      "83 ec 10 "  // sub esp, 0x10
      "89 e3 "     // mov ebx, esp
      "01 c4 "     // add esp, eax
      "94 "        // xchg eax, esp
      "44 "        // inc esp
      "48 "        // dec eax
      "8d 48 08 "  // lea ecx, [eax+8]
      "8d 65 fc "  // lea esp, [ebp-4]
      "83 e4 f0 "  // and esp, -16
  );
  EXPECT_EQ(machine_.reg(Gpr::Ebp), Machine::kStack);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), Machine::kStack - 0x10);
  EXPECT_EQ(machine_.reg(Gpr::Eax), Machine::kStack - 0x10 + 0x1234 - 1);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), Machine::kStack - 0x10 + 0x1234 + 7);
  EXPECT_EQ(machine_.reg(Gpr::Esp), Machine::kStack - 0x10);
}

TEST_P(Memory, SixteenBitFormsKeepTheUpperHalf) {
  machine_.reg(Gpr::Esp) = 0x2ffff;
  machine_.reg(Gpr::Eax) = 0x5555ffff;
  machine_.run_snippet(
      "66 44 "     // inc sp
      "66 40 "     // inc ax
      "66 89 e1 "  // mov cx, sp
      "66 4a "     // dec dx
  );
  EXPECT_EQ(machine_.reg(Gpr::Esp), 0x20000U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x55550000U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0x0000ffffU);
}

TEST_P(Memory, IncAndDecLeaveTheCarryFlag) {
  machine_.run_snippet(
      "f9 "        // stc
      "40 "        // inc eax
      "49 "        // dec ecx
      "0f 92 c2 "  // setc dl
      "0f 98 c6 "  // sets dh
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xffffffffU);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0x0101U);
}

TEST_P(Memory, LoadsAndStoresReachGuestMemory) {
  machine_.write32(Machine::kData, 0x11223344);
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.run_snippet(
      "8b 03 "                 // mov eax, [ebx]
      "89 43 04 "              // mov [ebx+4], eax
      "83 43 04 01 "           // add dword [ebx+4], 1
      "03 43 04 "              // add eax, [ebx+4]
      "87 43 08 "              // xchg eax, [ebx+8]
      "c6 43 08 7f "           // mov byte [ebx+8], 0x7f
      "66 c7 43 0a 34 12 "     // mov word [ebx+10], 0x1234
      "c7 43 0c ef be ad de "  // mov dword [ebx+12], 0xdeadbeef
  );
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 0x11223345U);
  EXPECT_EQ(machine_.read32(Machine::kData + 8), 0x1234667fU);
  EXPECT_EQ(machine_.read32(Machine::kData + 12), 0xdeadbeefU);
}

TEST_P(Memory, StackPointerIsABase) {
  machine_.write32(Machine::kStack + 8, 0xcafe);
  machine_.run_snippet(
      "8b 44 24 08 "           // mov eax, [esp+8]
      "89 44 24 f8 "           // mov [esp-8], eax
      "b9 02 00 00 00 "        // mov ecx, 2
      "8b 14 8c "              // mov edx, [esp+ecx*4]
      "01 24 24 "              // add [esp], esp
      "89 a4 cc 00 01 00 00 "  // mov [esp+ecx*8+0x100], esp
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0xcafeU);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0xcafeU);
  EXPECT_EQ(machine_.read32(Machine::kStack - 8), 0xcafeU);
  EXPECT_EQ(machine_.read32(Machine::kStack), Machine::kStack);
  EXPECT_EQ(machine_.read32(Machine::kStack + 0x110), Machine::kStack);
}

TEST_P(Memory, EveryBaseRegisterAddressesItself) {
  for (uint32_t i = 0; i < 8; ++i) machine_.write32(Machine::kData + 16 * i, 100 + i);
  machine_.run_snippet(
      "b8 00 80 00 00 "  // mov eax, 0x8000
      "b9 10 80 00 00 "  // mov ecx, 0x8010
      "ba 20 80 00 00 "  // mov edx, 0x8020
      "bb 30 80 00 00 "  // mov ebx, 0x8030
      "bc 40 80 00 00 "  // mov esp, 0x8040
      "bd 50 80 00 00 "  // mov ebp, 0x8050
      "be 60 80 00 00 "  // mov esi, 0x8060
      "bf 70 80 00 00 "  // mov edi, 0x8070
      "8b 00 "           // mov eax, [eax]
      "8b 09 "           // mov ecx, [ecx]
      "8b 12 "           // mov edx, [edx]
      "8b 1b "           // mov ebx, [ebx]
      "8b 24 24 "        // mov esp, [esp]
      "8b 6d 00 "        // mov ebp, [ebp]
      "8b 36 "           // mov esi, [esi]
      "8b 3f "           // mov edi, [edi]
  );
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(machine_.state().gpr[i], 100 + i);
}

TEST_P(Memory, ScaledIndexesWork) {
  for (uint32_t i = 0; i < 64; ++i) machine_.write32(Machine::kData + 4 * i, i);
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.reg(Gpr::Ecx) = 4;
  machine_.run_snippet(
      "8b 04 0b "              // mov eax, [ebx+ecx]
      "8b 14 4b "              // mov edx, [ebx+ecx*2]
      "8b 34 8b "              // mov esi, [ebx+ecx*4]
      "8b 3c cb "              // mov edi, [ebx+ecx*8]
      "8b 2c 8d 10 80 00 00 "  // mov ebp, [ecx*4+0x8010]
      "8d 9c cb 45 23 01 00 "  // lea ebx, [ebx+ecx*8+0x12345]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 4U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 8U);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 8U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), Machine::kData + 32 + 0x12345);
}

TEST_P(Memory, KernelAddressesAsDisplacementsWrapToThirtyTwoBits) {
  machine_.write32(Machine::kData, 0x600d);
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.reg(Gpr::Esi) = 0x40008000;  // plus 0xc0000000 wraps to kData
  machine_.run_snippet(
      "a1 00 80 00 c0 "     // mov eax, [0xc0008000]
      "8b 8b 00 00 00 c0 "  // mov ecx, [ebx+0xc0000000]
      "8b 96 00 00 00 c0 "  // mov edx, [esi+0xc0000000]
      "8b bb 00 00 00 c0 "  // mov edi, [ebx*1+0xc0000000]
      "ff 05 00 80 00 c0 "  // inc dword [0xc0008000]
      "8b 2d 00 80 00 00 "  // mov ebp, [0x8000]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x600dU);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x600dU);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0x600dU);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x600dU);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 0x600eU);
}

TEST_P(Memory, SmallNegativeDisplacementsReachBelowARegister) {
  machine_.write32(Machine::kData - 4, 1);
  machine_.write32(Machine::kData - 0x200, 2);
  machine_.reg(Gpr::Ebp) = Machine::kData;
  machine_.run_snippet(
      "8b 45 fc "           // mov eax, [ebp-4]
      "8b 8d 00 fe ff ff "  // mov ecx, [ebp-0x200]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 2U);
}

TEST_P(Memory, AbsoluteOffsetMovesWork) {
  machine_.write32(Machine::kData, 0x11223344);
  machine_.run_snippet(
      "a1 00 80 00 00 "     // mov eax, [0x8000]
      "a3 04 80 00 00 "     // mov [0x8004], eax
      "a0 01 80 00 00 "     // mov al, [0x8001]
      "a2 08 80 00 00 "     // mov [0x8008], al
      "66 a1 02 80 00 00 "  // mov ax, [0x8002]
      "66 a3 0c 80 00 00 "  // mov [0x800c], ax
      "a1 00 80 00 c0 "     // mov eax, [0xc0008000]
      "a3 10 80 00 c0 "     // mov [0xc0008010], eax
  );
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 0x11223344U);
  EXPECT_EQ(machine_.read32(Machine::kData + 8), 0x33U);
  EXPECT_EQ(machine_.read32(Machine::kData + 12), 0x1122U);
  EXPECT_EQ(machine_.read32(Machine::kData + 16), 0x11223344U);
}

TEST_P(Memory, HighByteRegistersGoToAndFromMemory) {
  machine_.write32(Machine::kData, 0x44332211);
  machine_.reg(Gpr::Esi) = Machine::kData;
  machine_.reg(Gpr::Eax) = 0xaaaaa1a0;
  machine_.reg(Gpr::Ecx) = 0xccccc1c0;
  machine_.reg(Gpr::Edx) = 0xddddd1d0;
  machine_.reg(Gpr::Ebx) = 0xbbbbb1b0;
  machine_.run_snippet(
      "88 66 04 "  // mov [esi+4], ah
      "88 6e 05 "  // mov [esi+5], ch
      "88 76 06 "  // mov [esi+6], dh
      "88 7e 07 "  // mov [esi+7], bh
      "8a 26 "     // mov ah, [esi]
      "02 6e 01 "  // add ch, [esi+1]
      "86 76 02 "  // xchg dh, [esi+2]
      "3a 7e 07 "  // cmp bh, [esi+7]
      "0f 94 c3 "  // setz bl
  );
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 0xb1d1c1a1U);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0xaaaa11a0U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xcccce3c0U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 0xdddd33d0U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 0xbbbbb101U);
  EXPECT_EQ(machine_.read32(Machine::kData), 0x44d12211U);
}

TEST_P(Memory, HighByteRegistersWithTheirOwnAddressInTheSameRegister) {
  machine_.write32(Machine::kData, 0x99);
  machine_.reg(Gpr::Eax) = Machine::kData;
  machine_.reg(Gpr::Ebx) = Machine::kData + 4;
  machine_.run_snippet(
      "8a 20 "  // mov ah, [eax]
      "88 3b "  // mov [ebx], bh
      "8a 2b "  // mov ch, [ebx]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0x9900U);
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 0x80U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0x8000U);
}

TEST_P(Memory, HighByteRegistersBesideTheStackPointerAreInterpreted) {
  const Exit exit = machine_.run_code("0f b6 e4");  // movzx esp, ah
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
}

TEST_P(Memory, FlagsSurviveMemoryAccesses) {
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.reg(Gpr::Ecx) = 0x7fffffff;
  machine_.run_snippet(
      "83 c1 01 "           // add ecx, 1
      "8b 03 "              // mov eax, [ebx]
      "89 43 04 "           // mov [ebx+4], eax
      "50 "                 // push eax
      "5a "                 // pop edx
      "8b 83 00 00 00 c0 "  // mov eax, [ebx+0xc0000000]
      "8d 73 04 "           // lea esi, [ebx+4]
      "0f 90 c0 "           // seto al
      "0f 98 c4 "           // sets ah
      "0f 92 c2 "           // setc dl
      "0f 94 c6 "           // setz dh
      "0f 9a c1 "           // setp cl
      "c9 "                 // leave
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax) & 0xffffU, 0x0101U);
  EXPECT_EQ(machine_.reg(Gpr::Edx) & 0xffffU, 0x0000U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx) & 0xffU, 1U);
}

TEST_P(Memory, EveryArithmeticFlagPatternSurvivesAnAccess) {
  constexpr uint32_t kLahfFlags = kFlagCf | kFlagPf | kFlagAf | kFlagZf | kFlagSf;
  for (const uint32_t pattern : {0U, kLahfFlags, kFlagCf | kFlagZf, kFlagPf | kFlagSf, kFlagAf}) {
    for (const uint32_t overflow : {0U, kFlagOf}) {
      machine_.flush_soft_tlb();
      machine_.state().eflags = kFlagReservedOne | pattern | overflow;
      machine_.reg(Gpr::Ebx) = Machine::kData;
      machine_.run_snippet(
          "8b 03 "     // mov eax, [ebx]
          "89 43 08 "  // mov [ebx+8], eax
          "50 "        // push eax
          "ff 33 "     // push dword [ebx]
          "59 "        // pop ecx
          "59 "        // pop ecx
      );
      EXPECT_EQ(machine_.state().eflags, kFlagReservedOne | pattern | overflow);
    }
  }
}

TEST_P(Memory, AFaultBesideAHighByteRegisterFindsItUnchanged) {
  machine_.reg(Gpr::Eax) = 0xa1a2a3a4;
  machine_.reg(Gpr::Ebx) = Machine::kUnmapped;
  const Exit exit = machine_.run_code("8a 23");  // mov ah, [ebx]
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 0xa1a2a3a4U);
}

TEST_P(Memory, BitStringsAndCompareExchange) {
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.reg(Gpr::Ecx) = 0x55;
  machine_.run_snippet(
      "0f ba 2b 03 "           // bts dword [ebx], 3
      "f0 0f c1 0b "           // lock xadd [ebx], ecx
      "b8 5d 00 00 00 "        // mov eax, 0x5d
      "ba 99 00 00 00 "        // mov edx, 0x99
      "f0 0f b1 13 "           // lock cmpxchg [ebx], edx
      "0f 94 c1 "              // setz cl
      "b8 99 00 00 00 "        // mov eax, 0x99
      "31 d2 "                 // xor edx, edx
      "51 "                    // push ecx
      "bb 01 00 00 00 "        // mov ebx, 1
      "b9 02 00 00 00 "        // mov ecx, 2
      "0f c7 0d 00 80 00 00 "  // cmpxchg8b [0x8000]
      "59 "                    // pop ecx
  );
  EXPECT_EQ(machine_.read32(Machine::kData), 1U);
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 1U);
}

TEST_P(Memory, MovzxMovsxCmovAndSetccWithMemory) {
  machine_.write32(Machine::kData, 0xf1e2d3c4);
  machine_.reg(Gpr::Ebx) = Machine::kData;
  machine_.run_snippet(
      "0f b6 03 "     // movzx eax, byte [ebx]
      "0f be 0b "     // movsx ecx, byte [ebx]
      "0f b7 53 02 "  // movzx edx, word [ebx+2]
      "0f bf 73 02 "  // movsx esi, word [ebx+2]
      "39 c0 "        // cmp eax, eax
      "0f 44 3b "     // cmovz edi, [ebx]
      "0f 45 2b "     // cmovnz ebp, [ebx]
      "0f 94 43 04 "  // setz [ebx+4]
      "c1 63 04 04 "  // shl dword [ebx+4], 4
      "f7 5b 04 "     // neg dword [ebx+4]
      "f7 63 04 "     // mul dword [ebx+4]
  );
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0xffffffc4U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0xfffff1e2U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0xf1e2d3c4U);
  EXPECT_EQ(machine_.reg(Gpr::Ebp), 0U);
  EXPECT_EQ(machine_.read32(Machine::kData + 4), 0xfffffff0U);
}

TEST_P(Memory, AccessAcrossAPageBoundary) {
  machine_.write32(Machine::kData + 0xffe, 0x11223344);
  const Exit exit = machine_.run_code(
      "a1 fe 8f 00 00 "  // mov eax, [0x8ffe]
      "f4 "              // hlt
  );
  // A soft access that crosses pages is for the interpreter: its miss never becomes a hit.
  EXPECT_EQ(exit.reason,
            GetParam() == AccessStyle::Soft ? ExitReason::SoftMiss : ExitReason::Interpret);
  EXPECT_EQ(machine_.reg(Gpr::Eax), GetParam() == AccessStyle::Soft ? 0U : 0x11223344U);
}

// Watched bytes miss, and the rest of their page is served without the TLB.
TEST(WatchedPart, ServesTheRestOfThePage) {
  struct Access {
    const char* code;
    uint32_t bytes;
  };
  constexpr Access kAccesses[] = {{"8a 03 ", 1},    {"88 03 ", 1}, {"66 8b 03 ", 2},
                                  {"66 89 03 ", 2}, {"8b 03 ", 4}, {"89 03 ", 4}};
  constexpr uint32_t kFirst = 0x10, kLast = 0x13;
  TranslatorMachine machine;
  machine.style = AccessStyle::Soft;
  for (const uint32_t flags : {0U, kFlagsArithmetic}) {
    for (const Access& access : kAccesses) {
      machine.translator->cache().drop_all(SafePointForTest::get());
      for (uint32_t offset = 0xa; offset < 0x18; ++offset) {
        machine.flush_soft_tlb();
        machine.gate->frame().watched_parts[0] = {.read_page = Machine::kData,
                                                  .write_page = Machine::kData,
                                                  .first = Machine::kData + kFirst,
                                                  .last = Machine::kData + kLast,
                                                  .addend = machine.window()};
        machine.state().eflags = kFlagReservedOne | flags;
        machine.reg(Gpr::Ebx) = Machine::kData + offset;
        machine.run_snippet(access.code);
        EXPECT_EQ(machine.state().eflags, kFlagReservedOne | flags);
        const SoftTlbEntry& entry =
            machine.gate->frame().supervisor_tlb[(Machine::kData >> 12) % kSoftTlbEntries];
        const bool has_missed = entry.negated_read_page != SoftTlbEntry{}.negated_read_page;
        EXPECT_EQ(has_missed, offset + access.bytes > kFirst && offset <= kLast)
            << access.code << " at " << offset;
      }
    }
  }
}

// Stores of every size and kind that miss the TLB go to a page table and leave a mark; loads and
// what crosses the page do not.
TEST(TableStores, LeaveAMark) {
  struct Store {
    const char* code;
    uint32_t offset;
    bool is_served;
  };
  constexpr Store kStores[] = {
      {"88 03 ", 5, true},         // mov [ebx], al
      {"66 89 03 ", 6, true},      // mov [ebx], ax
      {"89 03 ", 8, true},         // mov [ebx], eax
      {"87 03 ", 12, true},        // xchg [ebx], eax
      {"f0 0f b1 03 ", 16, true},  // lock cmpxchg [ebx], eax
      {"f0 0f c7 0b ", 24, true},  // lock cmpxchg8b [ebx]
      {"0f 11 03 ", 32, true},     // movups [ebx], xmm0
      {"89 03 ", 0xffc, true},     // mov [ebx], eax
      {"89 03 ", 0xffd, false},    // mov [ebx], eax
      {"8b 03 ", 8, false},        // mov eax, [ebx]
  };
  TranslatorMachine machine;
  machine.style = AccessStyle::Soft;
  machine.slots().fpu_loaded = machine.slots().x87_live = machine.slots().sse_live = 1;
  constexpr uint32_t kSlot = (Machine::kData >> 12) % kSoftTlbEntries;
  for (const uint32_t flags : {0U, kFlagsArithmetic & ~kFlagZf}) {
    for (const Store& store : kStores) {
      machine.translator->cache().drop_all(SafePointForTest::get());
      machine.flush_soft_tlb();
      Frame& frame = machine.gate->frame();
      frame.slots.tables_written = 0;
      frame.table_tlb[kSlot] = {
          .negated_page = 0U - (Machine::kData >> 12), .is_written = 0, .addend = machine.window()};
      machine.state().eflags = kFlagReservedOne | flags;
      machine.reg(Gpr::Ebx) = Machine::kData + store.offset;
      (void)machine.run_code(std::string(store.code) + "f4");  // HLT
      EXPECT_EQ(frame.table_tlb[kSlot].is_written, store.is_served ? 1U : 0U) << store.code;
      EXPECT_EQ(frame.slots.tables_written, store.is_served ? 1U : 0U) << store.code;
      const bool has_missed = frame.supervisor_tlb[kSlot].addend != 0;
      EXPECT_EQ(has_missed, !store.is_served) << store.code;
    }
  }
}

TEST(WatchedPart, IsForReadsAloneOrOfAnotherPage) {
  TranslatorMachine machine;
  machine.style = AccessStyle::Soft;
  const auto misses = [&](uint32_t address, const char* code) {
    machine.translator->cache().drop_all(SafePointForTest::get());
    machine.flush_soft_tlb();
    machine.reg(Gpr::Ebx) = address;
    const Exit exit = machine.run_code(code);
    const SoftTlbEntry& entry =
        machine.gate->frame().supervisor_tlb[(address >> 12) % kSoftTlbEntries];
    return exit.reason == ExitReason::SoftMiss ||
           entry.negated_read_page != SoftTlbEntry{}.negated_read_page;
  };
  WatchedPart& part = machine.gate->frame().watched_parts[0];
  part = {.read_page = Machine::kData,
          .first = Machine::kData + 0x10,
          .last = Machine::kData + 0x13,
          .addend = machine.window()};
  EXPECT_FALSE(misses(Machine::kData + 0x800, "8b 03 f4 "));
  EXPECT_TRUE(misses(Machine::kData + 0x800, "89 03 f4 "));
  EXPECT_TRUE(misses(Machine::kData + 0x1800, "8b 03 f4 "));
  EXPECT_TRUE(misses(Machine::kData + 0xffe, "8b 03 f4 ")) << "it leaves the page";
  EXPECT_TRUE(misses(Machine::kData - 2, "8b 03 f4 ")) << "it comes into the page";
  part = WatchedPart{};
  EXPECT_TRUE(misses(Machine::kData + 0x800, "8b 03 f4 "));
}

class Strings : public ::testing::Test {
 protected:
  TranslatorMachine machine_;
};

TEST_F(Strings, RepeatedMoveCopies) {
  std::memcpy(machine_.ram(Machine::kData), "the quick brown fox", 20);
  machine_.run_snippet(
      "be 00 80 00 00 "  // mov esi, 0x8000
      "bf 00 90 00 00 "  // mov edi, 0x9000
      "b9 05 00 00 00 "  // mov ecx, 5
      "f3 a5 "           // rep movsd
  );
  EXPECT_STREQ(reinterpret_cast<char*>(machine_.ram(0x9000)), "the quick brown fox");
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0x8014U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x9014U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
}

TEST_F(Strings, EveryKindOnce) {
  std::memcpy(machine_.ram(Machine::kData), "abcdefgh", 9);
  machine_.run_snippet(
      "be 00 80 00 00 "  // mov esi, 0x8000
      "bf 00 90 00 00 "  // mov edi, 0x9000
      "ac "              // lodsb
      "aa "              // stosb
      "66 ad "           // lodsw
      "66 ab "           // stosw
      "a4 "              // movsb
      "fd "              // std
      "bf 07 80 00 00 "  // mov edi, 0x8007
      "b0 63 "           // mov al, 'c'
      "b9 08 00 00 00 "  // mov ecx, 8
      "f2 ae "           // repne scasb
      "fc "              // cld
      "89 fb "           // mov ebx, edi
      "be 00 80 00 00 "  // mov esi, 0x8000
      "bf 00 90 00 00 "  // mov edi, 0x9000
      "b9 0a 00 00 00 "  // mov ecx, 10
      "f3 a6 "           // repe cmpsb
  );
  EXPECT_EQ(machine_.read32(0x9000), 0x64636261U);
  EXPECT_EQ(machine_.reg(Gpr::Ebx), 0x8001U);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0x8005U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0x9005U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 5U);
}

TEST_F(Strings, AFaultInTheMiddleOfARepeatResumesThere) {
  machine_.set_page_access(0xa000, HostAccess::Read);
  machine_.reg(Gpr::Eax) = 0x5a5a5a5a;
  machine_.reg(Gpr::Edi) = 0x9ff8;
  machine_.reg(Gpr::Ecx) = 4;
  const Exit exit = machine_.run_code(
      "f3 ab "  // rep stosd
      "f4 "     // hlt
  );
  ASSERT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_TRUE(exit.fault.is_write);
  EXPECT_EQ(exit.fault.address, machine_.window() + 0xa000);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0xa000U);
  machine_.set_page_access(0xa000, HostAccess::ReadWrite);
  EXPECT_EQ(machine_.run().reason, ExitReason::Interpret);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 0U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0xa008U);
  EXPECT_EQ(machine_.read32(0xa004), 0x5a5a5a5aU);
}

TEST_F(Strings, AFaultInAMoveRecoversBothPointers) {
  machine_.set_page_access(0xa000, HostAccess::None);
  machine_.reg(Gpr::Esi) = 0x9ffc;
  machine_.reg(Gpr::Edi) = 0xc0008000;
  machine_.reg(Gpr::Ecx) = 3;
  const Exit exit = machine_.run_code(
      "f3 a5 "  // rep movsd
      "f4 "     // hlt
  );
  ASSERT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_FALSE(exit.fault.is_write);
  EXPECT_EQ(machine_.reg(Gpr::Esi), 0xa000U);
  EXPECT_EQ(machine_.reg(Gpr::Edi), 0xc0008004U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 2U);
}

TEST_F(Strings, AFaultingLoadStringRecoversItsPointer) {
  machine_.reg(Gpr::Esi) = Machine::kUnmapped;
  machine_.reg(Gpr::Eax) = 42;
  const Exit exit = machine_.run_code(
      "ad "  // lodsd
      "f4 "  // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(machine_.reg(Gpr::Esi), Machine::kUnmapped);
  EXPECT_EQ(machine_.reg(Gpr::Eax), 42U);
}

TEST_F(Strings, WithFsOverrideAreInterpreted) {
  const Exit exit = machine_.run_code("64 ad");  // fs lodsd
  EXPECT_EQ(exit.reason, ExitReason::Interpret);
}

using Segments = BothStyles;
INSTANTIATE_TEST_SUITE_P(Styles, Segments,
                         ::testing::Values(AccessStyle::Window, AccessStyle::Soft), style_name);

TEST_P(Segments, FsAndGsAddTheirBases) {
  machine_.set_flat_segment(SegmentRegister::Fs, Machine::kData);
  machine_.set_flat_segment(SegmentRegister::Gs, Machine::kData + 0x100);
  machine_.write32(Machine::kData + 0x10, 1);
  machine_.write32(Machine::kData + 0x110, 2);
  machine_.write32(Machine::kData + 0x118, 3);
  machine_.reg(Gpr::Ebx) = 8;
  machine_.run_snippet(
      "64 a1 10 00 00 00 "     // mov eax, [fs:0x10]
      "65 8b 4b 08 "           // mov ecx, [gs:ebx+8]
      "65 8b 54 1b 08 "        // mov edx, [gs:ebx*2+8]
      "64 89 13 "              // mov [fs:ebx], edx
      "65 ff 35 10 00 00 00 "  // push dword [gs:0x10]
      "65 00 25 10 00 00 00 "  // add [gs:0x10], ah
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 1U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 2U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 3U);
  EXPECT_EQ(machine_.read32(Machine::kData + 8), 3U);
  EXPECT_EQ(machine_.read32(Machine::kStack - 4), 2U);
}

TEST_P(Segments, SegmentBasesWrap) {
  machine_.set_flat_segment(SegmentRegister::Fs, 0xfffff000);
  machine_.write32(Machine::kData, 7);
  machine_.run_snippet("64 a1 00 90 00 00 "  // mov eax, [fs:0x9000]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 7U);
}

TEST_P(Segments, APoisonedSegmentFaultsBeforeAnythingHappens) {
  machine_.poison_segment(SegmentRegister::Gs);
  machine_.reg(Gpr::Eax) = 5;
  const Exit exit = machine_.run_code(
      "40 "                    // inc eax
      "65 01 05 00 80 00 00 "  // add [gs:0x8000], eax
      "f4 "                    // hlt
  );
  // A soft site looks, where a plain one faults.
  EXPECT_EQ(exit.reason,
            GetParam() == AccessStyle::Soft ? ExitReason::Interpret : ExitReason::HostFault);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 1));
  EXPECT_EQ(machine_.reg(Gpr::Eax), 6U);
  EXPECT_EQ(machine_.read32(Machine::kData), 0U);
}

TEST_P(Segments, FlatOverridesAreIgnored) {
  machine_.write32(Machine::kData, 9);
  machine_.run_snippet(
      "26 a1 00 80 00 00 "        // mov eax, [es:0x8000]
      "36 8b 0d 00 80 00 00 "     // mov ecx, [ss:0x8000]
      "3e 8b 94 24 00 80 fe ff "  // mov edx, [ds:esp-0x18000]
  );
  EXPECT_EQ(machine_.reg(Gpr::Eax), 9U);
  EXPECT_EQ(machine_.reg(Gpr::Ecx), 9U);
  EXPECT_EQ(machine_.reg(Gpr::Edx), 9U);
}

TEST(Memory, AnOffsetBeyondTheWindowFaultsInsteadOfReachingTheHost) {
  TranslatorMachine machine;
  machine.reg(Gpr::Ebx) = 0xffffffff;
  const Exit exit = machine.run_code("8b 83 ff ff ff 7f");  // mov eax, [ebx+0x7fffffff]
  EXPECT_EQ(exit.reason, ExitReason::HostFault);
  EXPECT_EQ(exit.eip, Eip(Machine::kCode));
}

TEST(Memory, OneSoftSiteIsSoftAlone) {
  TranslatorMachine machine;
  machine.soft_sites.insert(Machine::kCode + 5);
  machine.write32(Machine::kData, 3);
  machine.run_snippet(
      "bb 00 80 00 00 "  // mov ebx, 0x8000
      "8b 03 "           // mov eax, [ebx]
      "8b 0b "           // mov ecx, [ebx]
  );
  EXPECT_EQ(machine.exits[ExitReason::SoftMiss], 1U);
  EXPECT_EQ(machine.reg(Gpr::Eax), 3U);
}

TEST(Memory, ReadOnlySoftEntriesRefuseWrites) {
  TranslatorMachine machine(AccessStyle::Soft);
  machine.set_page_access(Machine::kData, HostAccess::Read);
  const Exit exit = machine.run_code(
      "a1 00 80 00 00 "  // mov eax, [0x8000]
      "a3 00 80 00 00 "  // mov [0x8000], eax
      "f4 "              // hlt
  );
  EXPECT_EQ(exit.reason, ExitReason::SoftMiss);
  EXPECT_TRUE(exit.is_write);
  EXPECT_EQ(exit.address, GuestVirtual(Machine::kData));
  EXPECT_EQ(exit.eip, Eip(Machine::kCode + 5));
}

TEST(Memory, UserFragmentsUseTheUserTlb) {
  TranslatorMachine machine(AccessStyle::Soft);
  machine.privilege = Privilege::User;
  machine.run_snippet(
      "a1 00 80 00 00 "  // mov eax, [0x8000]
      "a3 00 80 00 00 "  // mov [0x8000], eax
  );
  EXPECT_EQ(machine.gate->frame().user_tlb[8].negated_read_page, 0U - 8U);
  EXPECT_EQ(machine.gate->frame().supervisor_tlb[8].negated_read_page, 1U);
}

}  // namespace
}  // namespace ringshift
