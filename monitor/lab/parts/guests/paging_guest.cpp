#include "monitor/lab/parts/guests/demonstration_guest.h"

// 32-bit code, assembled with the program; link addresses begin at 1 MiB.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  .set at_paging_gdt_pointer, lab_paging_gdt_pointer - lab_paging_image + 0x100000
  .set at_paging_idt_pointer, lab_paging_idt_pointer - lab_paging_image + 0x100000
  .set at_page_fault, lab_page_fault - lab_paging_image + 0x100000

  .balign 4096
lab_paging_image:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_paging_start - lab_paging_image + 0x100000
lab_paging_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
lab_paging_gdt_pointer:
  .word 23
  .long lab_paging_gdt - lab_paging_image + 0x100000
lab_paging_idt_pointer:
  .word 127
  .long 0x110000

lab_paging_start:
  cli
  cld
  mov esp, 0x180000
  lgdt ds:[at_paging_gdt_pointer]
  .byte 0xea
  .long lab_paging_flat - lab_paging_image + 0x100000
  .word 8
lab_paging_flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  # A page fault makes its page present: the frame 4 MiB lower.
  mov eax, offset at_page_fault
  mov edx, eax
  and eax, 0xffff
  or eax, 0x80000
  and edx, 0xffff0000
  or edx, 0x8e00
  mov [0x110070], eax
  mov [0x110074], edx
  lidt ds:[at_paging_idt_pointer]
  # A directory at 0x200000; a table for 0..4 MiB, the same address, and one for 8..12 MiB, empty.
  mov edi, 0x201000
  mov eax, 3
  mov ecx, 1024
2: stosd
  add eax, 0x1000
  loop 2b
  mov dword ptr [0x200000], 0x201003
  mov dword ptr [0x200008], 0x202003
  mov eax, 0x200000
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  # A page that is there: read, then written.
  mov eax, [0x300000]
  mov [0x300000], eax
  # Pages that are not: the handler makes them.
  mov dword ptr [0x800000], 1
  mov eax, [0x801000]
  # The same again: nothing to fault any more.
  mov dword ptr [0x800000], 2
  mov eax, [0x801000]
  # A small function made on a page, run, changed, run again.
  mov dword ptr [0x310000], 0x00002ab8
  mov word ptr [0x310004], 0xc300
  mov ebx, 0x310000
  call ebx
  mov byte ptr [0x310001], 43
  call ebx
  # A table entry taken away; after INVLPG the page faults again.
  mov dword ptr [0x202000], 0
  invlpg [0x800000]
  mov dword ptr [0x800000], 3
  # Another address space would begin with this.
  mov eax, cr3
  mov cr3, eax
  mov eax, [0x300000]
  mov al, 0
  out 0xf4, al
  cli
  hlt

lab_page_fault:
  push eax
  push ecx
  mov eax, cr2
  mov ecx, eax
  shr ecx, 12
  and ecx, 0x3ff
  and eax, 0xfffff000
  sub eax, 0x400000
  or eax, 3
  mov [0x202000 + ecx * 4], eax
  pop ecx
  pop eax
  add esp, 4
  iretd
  .balign 4
lab_paging_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_paging_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_paging_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::span<const uint8_t> paging_guest() { return {lab_paging_image, lab_paging_end}; }

}  // namespace ringshift::lab
