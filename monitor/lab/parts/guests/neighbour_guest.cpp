#include <cstring>

#include "monitor/lab/parts/guests/demonstration_guest.h"

// A kernel that works without end, in one of several ways, and counts its rounds: 32-bit code,
// assembled with the program; it is linked for 1 MiB. The doubleword behind its header says which.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  .set nb_gdt_pointer, lab_nb_gdt_pointer - lab_nb_image + 0x100000
  .set nb_idt_pointer, lab_nb_idt_pointer - lab_nb_image + 0x100000
  .set nb_handler, lab_nb_handler - lab_nb_image + 0x100000
  .set nb_way, lab_nb_way - lab_nb_image + 0x100000
  .set nb_changed, lab_nb_changed - lab_nb_image + 0x100000
  # Addresses of the machine.
  .set nb_idt, 0x110000
  .set nb_rounds, 0x180000
  .set nb_stack, 0x1c0000
  .set nb_memory, 0x200000
  .set nb_memory_doublewords, 0x180000

  .balign 16
lab_nb_image:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_nb_start - lab_nb_image + 0x100000
lab_nb_way:
  .long 0
lab_nb_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
lab_nb_gdt_pointer:
  .word 23
  .long lab_nb_gdt - lab_nb_image + 0x100000
lab_nb_idt_pointer:
  .word 0x107
  .long nb_idt

lab_nb_start:
  cli
  cld
  mov esp, nb_stack
  lgdt ds:[nb_gdt_pointer]
  .byte 0xea
  .long lab_nb_flat - lab_nb_image + 0x100000
  .word 8
lab_nb_flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov eax, ds:[nb_way]
  cmp eax, 1
  je lab_nb_interrupts
  cmp eax, 2
  je lab_nb_ports
  cmp eax, 3
  je lab_nb_code
  cmp eax, 4
  je lab_nb_ram

  # 0: computes.
lab_nb_compute:
  mov ecx, 1000
1: imul eax, eax, 1664525
  add eax, 1013904223
  loop 1b
  inc dword ptr ds:[nb_rounds]
  jmp lab_nb_compute

  # 1: takes 24,000 interrupts a second of the interval timer's: each 50 counts.
lab_nb_interrupts:
  mov eax, offset nb_handler
  mov ebx, eax
  and eax, 0xffff
  or eax, 0x80000
  mov ds:[nb_idt + 0x100], eax
  and ebx, 0xffff0000
  or ebx, 0x8e00
  mov ds:[nb_idt + 0x104], ebx
  lidt ds:[nb_idt_pointer]
  mov al, 0x11
  out 0x20, al
  mov al, 0x20
  out 0x21, al
  mov al, 4
  out 0x21, al
  mov al, 1
  out 0x21, al
  mov al, 0xfe
  out 0x21, al
  mov al, 0x34
  out 0x43, al
  mov al, 50
  out 0x40, al
  xor eax, eax
  out 0x40, al
1: sti
  hlt
  jmp 1b

  # 2: prints without end.
lab_nb_ports:
  mov edx, 0x3f8
  mov al, '.'
1: out dx, al
  inc dword ptr ds:[nb_rounds]
  jmp 1b

  # 3: changes its own code, and runs it.
lab_nb_code:
  mov ebx, offset nb_changed
1: inc byte ptr [ebx + 1]
lab_nb_changed:
  mov al, 0
  inc dword ptr ds:[nb_rounds]
  jmp 1b

  # 4: writes all over its RAM.
lab_nb_ram:
  mov edi, nb_memory
  mov ecx, nb_memory_doublewords
  rep stosd
  inc eax
  inc dword ptr ds:[nb_rounds]
  jmp lab_nb_ram

lab_nb_handler:
  push eax
  inc dword ptr ds:[nb_rounds]
  mov al, 0x20
  out 0x20, al
  pop eax
  iretd
  .balign 4
lab_nb_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_nb_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_nb_way[] __attribute__((visibility("hidden")));
extern const uint8_t lab_nb_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::vector<uint8_t> neighbour_guest(NeighbourWay way) {
  std::vector<uint8_t> image(lab_nb_image, lab_nb_end);
  const auto number = static_cast<uint32_t>(way);
  std::memcpy(image.data() + (lab_nb_way - lab_nb_image), &number, sizeof number);
  return image;
}

}  // namespace ringshift::lab
