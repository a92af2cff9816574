#include "translator/stubs_soft.h"

#include "translator/frame.h"
#include "translator/host_registers.h"

namespace ringshift {

using namespace asmjit;  // NOLINT: the assembler's vocabulary
using host::slot32;
using host::slot64;
using x86::dword_ptr;
using x86::qword_ptr;

namespace {

int32_t tlb_displacement(Privilege privilege) {
  return frame_displacement(privilege == Privilege::User ? offsetof(Frame, user_tlb)
                                                         : offsetof(Frame, supervisor_tlb));
}

int32_t part_displacement(Privilege privilege, size_t member) {
  return frame_displacement(offsetof(Frame, watched_parts) +
                            static_cast<size_t>(privilege) * sizeof(WatchedPart) + member);
}

int32_t code_displacement(Privilege privilege) {
  return frame_displacement(offsetof(Frame, code_bytes) +
                            static_cast<size_t>(privilege) * kSoftTlbEntries * sizeof(uint64_t));
}

int32_t table_displacement(size_t member) {
  return frame_displacement(offsetof(Frame, table_tlb) + member);
}

// User code that can write its own page tables is left to the interpreter.
bool stores_to_tables(Privilege privilege, bool is_write) {
  return is_write && privilege == Privilege::Supervisor;
}

// A member of an entry, by the index in R9.
x86::Mem indexed32(int32_t displacement) {
  return dword_ptr(host::frame, host::scratch, 3, displacement);
}
x86::Mem indexed64(int32_t displacement) {
  return qword_ptr(host::frame, host::scratch, 3, displacement);
}
// The entry's place in a table of half the entries' size.
x86::Mem half_indexed64(int32_t displacement) {
  return qword_ptr(host::frame, host::scratch, 2, displacement);
}

}  // namespace

SoftStubEmitter::SoftStubEmitter(x86::Assembler& assembler)
    : a_(assembler), has_bmi2_(CpuInfo::host().features().x86().hasBMI2()) {}

// The entry is that of the first byte's page, the page compared is the last byte's: crossing pages
// misses.
void SoftStubEmitter::emit(Privilege privilege, bool is_write, uint32_t size) {
  const int32_t table = tlb_displacement(privilege);
  const Entry entry{
      .tag = table + static_cast<int32_t>(is_write ? offsetof(SoftTlbEntry, negated_write_page)
                                                   : offsetof(SoftTlbEntry, negated_read_page)),
      .addend = table + static_cast<int32_t>(offsetof(SoftTlbEntry, addend)),
      .readable = table + static_cast<int32_t>(offsetof(SoftTlbEntry, negated_read_page)),
      .code_bytes = code_displacement(privilege)};
  if (has_bmi2_) {
    emit_with_bmi2(privilege, is_write, size, entry);
  } else {
    emit_plainly(privilege, is_write, size, entry);
  }
  emit_watched_part(privilege, is_write, size);
  a_.pop(host::scratch);
  a_.mov(slot64(RINGSHIFT_SLOT(exit_pc)), host::scratch);
  a_.mov(slot32(RINGSHIFT_SLOT(exit_address)), host::address.r32());
  a_.mov(slot32(RINGSHIFT_SLOT(exit_is_write)), is_write ? 1U : 0U);
}

// RORX, SHRX and JECXZ leave the flags alone, so nothing needs saving but ECX.
void SoftStubEmitter::emit_with_bmi2(Privilege privilege, bool is_write, uint32_t size,
                                     const Entry& entry) {
  Label hit = a_.newLabel();
  Label miss = a_.newLabel();
  a_.mov(host::saved_rcx, x86::rcx);
  a_.lea(host::scratch2.r32(), x86::ptr(host::address, static_cast<int32_t>(size) - 1));
  a_.rorx(host::scratch.r32(), host::address.r32(), 12);
  a_.mov(x86::ecx, 12);
  a_.shrx(host::scratch2.r32(), host::scratch2.r32(), x86::ecx);
  a_.movzx(host::scratch.r32(), host::scratch.r8());
  a_.lea(host::scratch.r32(), x86::ptr(host::scratch, host::scratch));
  a_.mov(x86::ecx, indexed32(entry.tag));
  a_.lea(x86::ecx, x86::ptr(x86::rcx, host::scratch2));
  a_.jecxz(x86::ecx, hit);
  a_.jmp(miss);
  a_.bind(hit);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.mov(host::scratch, indexed64(entry.addend));
  a_.lea(host::address, x86::ptr(host::address, host::scratch));
  a_.ret();
  a_.bind(miss);
  if (stores_to_tables(privilege, is_write)) emit_table_store_with_bmi2();
  if (is_write) emit_store_beside_code_with_bmi2(size, entry);
  a_.mov(x86::rcx, host::saved_rcx);
}

void SoftStubEmitter::emit_plainly(Privilege privilege, bool is_write, uint32_t size,
                                   const Entry& entry) {
  Label miss = a_.newLabel();
  save_flags();
  a_.mov(host::scratch.r32(), host::address.r32());
  a_.shr(host::scratch.r32(), 12);
  a_.movzx(host::scratch.r32(), host::scratch.r8());
  a_.add(host::scratch.r32(), host::scratch.r32());
  a_.lea(host::scratch2.r32(), x86::ptr(host::address, static_cast<int32_t>(size) - 1));
  a_.shr(host::scratch2.r32(), 12);
  a_.neg(host::scratch2.r32());
  a_.cmp(host::scratch2.r32(), indexed32(entry.tag));
  a_.jne(miss);
  a_.add(host::address, indexed64(entry.addend));
  restore_flags();
  a_.ret();
  a_.bind(miss);
  if (stores_to_tables(privilege, is_write)) emit_table_store_plainly();
  if (is_write) emit_store_beside_code_plainly(size, entry);
  restore_flags();
}

// A hit in TableTlb is a hit that leaves a mark; another miss goes on behind. R9, R10 and RCX are
// as where the TLB was asked.
void SoftStubEmitter::emit_table_store_with_bmi2() {
  Label hit = a_.newLabel();
  Label miss = a_.newLabel();
  a_.mov(x86::ecx, indexed32(table_displacement(offsetof(TableTlbEntry, negated_page))));
  a_.lea(x86::ecx, x86::ptr(x86::rcx, host::scratch2));
  a_.jecxz(x86::ecx, hit);
  a_.short_().jmp(miss);
  a_.bind(hit);
  mark_table();
  a_.mov(x86::rcx, host::saved_rcx);
  a_.mov(host::scratch, indexed64(table_displacement(offsetof(TableTlbEntry, addend))));
  a_.lea(host::address, x86::ptr(host::address, host::scratch));
  a_.ret();
  a_.bind(miss);
}

// The same with the flags saved and R10 negated.
void SoftStubEmitter::emit_table_store_plainly() {
  Label miss = a_.newLabel();
  a_.cmp(host::scratch2.r32(),
         indexed32(table_displacement(offsetof(TableTlbEntry, negated_page))));
  a_.jne(miss);
  mark_table();
  a_.add(host::address, indexed64(table_displacement(offsetof(TableTlbEntry, addend))));
  restore_flags();
  a_.ret();
  a_.bind(miss);
}

// Before the store, which follows at once: who looks at marks does so outside generated code.
void SoftStubEmitter::mark_table() {
  a_.mov(indexed32(table_displacement(offsetof(TableTlbEntry, is_written))), 1);
  a_.mov(slot32(RINGSHIFT_SLOT(tables_written)), 1);
}

// The page is there for reads, and has CodeBytes: a store to bytes that are no code is a hit. R9
// and R10 are as where the TLB was asked.
void SoftStubEmitter::emit_store_beside_code_with_bmi2(uint32_t size, const Entry& entry) {
  Label readable = a_.newLabel();
  Label beside = a_.newLabel();
  Label miss = a_.newLabel();
  a_.mov(x86::ecx, indexed32(entry.readable));
  a_.lea(x86::ecx, x86::ptr(x86::rcx, host::scratch2));
  a_.jecxz(x86::ecx, readable);
  a_.short_().jmp(miss);
  a_.bind(readable);
  a_.mov(x86::rcx, half_indexed64(entry.code_bytes));
  a_.jecxz(x86::rcx, miss);
  a_.mov(host::scratch2.r32(), 3);
  a_.shrx(host::scratch2.r32(), host::address.r32(), host::scratch2.r32());
  a_.mov(host::scratch2.r32(), dword_ptr(x86::rcx, host::scratch2));
  a_.mov(x86::ecx, 29);  // ECX := the address modulo 8
  a_.shlx(x86::ecx, host::address.r32(), x86::ecx);
  a_.rorx(x86::ecx, x86::ecx, 29);
  a_.shrx(host::scratch2.r32(), host::scratch2.r32(), x86::ecx);
  a_.mov(x86::ecx, 32 - size);
  a_.shlx(x86::ecx, host::scratch2.r32(), x86::ecx);
  a_.jecxz(x86::ecx, beside);
  a_.short_().jmp(miss);
  a_.bind(beside);
  a_.mov(x86::rcx, host::saved_rcx);
  a_.mov(host::scratch, indexed64(entry.addend));
  a_.lea(host::address, x86::ptr(host::address, host::scratch));
  a_.ret();
  a_.bind(miss);
}

// The same with the flags saved and R10 negated; RAX is free.
void SoftStubEmitter::emit_store_beside_code_plainly(uint32_t size, const Entry& entry) {
  Label miss = a_.newLabel();
  a_.cmp(host::scratch2.r32(), indexed32(entry.readable));
  a_.jne(miss);
  a_.mov(host::scratch2, half_indexed64(entry.code_bytes));
  a_.test(host::scratch2, host::scratch2);
  a_.jz(miss);
  a_.mov(x86::eax, host::address.r32());
  a_.shr(x86::eax, 3);
  a_.mov(x86::eax, dword_ptr(host::scratch2, x86::rax));
  a_.mov(host::scratch2, x86::rcx);
  a_.mov(x86::ecx, host::address.r32());
  a_.and_(x86::ecx, 7);
  a_.shr(x86::eax, x86::cl);
  a_.mov(x86::rcx, host::scratch2);
  a_.test(x86::eax, (1U << size) - 1);
  a_.jnz(miss);
  a_.add(host::address, indexed64(entry.addend));
  restore_flags();
  a_.ret();
  a_.bind(miss);
}

// A miss is served if it is in a page that is watched in part, and in the rest of it.
void SoftStubEmitter::emit_watched_part(Privilege privilege, bool is_write, uint32_t size) {
  const auto part = [privilege](size_t member) { return part_displacement(privilege, member); };
  Label served = a_.newLabel();
  Label elsewhere = a_.newLabel();
  save_flags();
  a_.mov(host::scratch.r32(), host::address.r32());
  a_.and_(host::scratch.r32(), ~(kPageSize - 1));
  a_.cmp(host::scratch.r32(), slot32(part(is_write ? offsetof(WatchedPart, write_page)
                                                   : offsetof(WatchedPart, read_page))));
  a_.jne(elsewhere);
  a_.lea(host::scratch2.r32(), x86::ptr(host::address, static_cast<int32_t>(size) - 1));
  a_.xor_(host::scratch.r32(), host::scratch2.r32());
  a_.cmp(host::scratch.r32(), kPageSize);
  a_.jae(elsewhere);
  a_.cmp(host::scratch2.r32(), slot32(part(offsetof(WatchedPart, first))));
  a_.jb(served);
  a_.cmp(host::address.r32(), slot32(part(offsetof(WatchedPart, last))));
  a_.jbe(elsewhere);
  a_.bind(served);
  a_.add(host::address, slot64(part(offsetof(WatchedPart, addend))));
  restore_flags();
  a_.ret();
  a_.bind(elsewhere);
  restore_flags();
}

void SoftStubEmitter::save_flags() {
  a_.mov(host::saved_rcx, x86::rax);
  a_.lahf();
  a_.seto(x86::al);
  a_.mov(slot32(RINGSHIFT_SLOT(scratch_flags)), x86::eax);
}

void SoftStubEmitter::restore_flags() {
  a_.mov(x86::eax, slot32(RINGSHIFT_SLOT(scratch_flags)));
  a_.add(x86::al, 0x7f);  // AL is 0 or 1 from SETO: 1 overflows, which sets OF again
  a_.sahf();
  a_.mov(x86::rax, host::saved_rcx);
}

}  // namespace ringshift
