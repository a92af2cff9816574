#include "monitor/lab/parts/guests/demonstration_guest.h"

// A kernel that does nothing but count the ticks of the interval timer, 1,000 in a second, and
// halts: 32-bit code, assembled with the program; it is linked for 1 MiB.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  .set tick_gdt_pointer, lab_tick_gdt_pointer - lab_tick_image + 0x100000
  .set tick_idt_pointer, lab_tick_idt_pointer - lab_tick_image + 0x100000
  .set tick_handler, lab_tick_handler - lab_tick_image + 0x100000
  # Addresses of the machine.
  .set tick_idt, 0x110000
  .set tick_count, 0x180000
  .set tick_stack, 0x1c0000

  .balign 16
lab_tick_image:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_tick_start - lab_tick_image + 0x100000
lab_tick_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
lab_tick_gdt_pointer:
  .word 23
  .long lab_tick_gdt - lab_tick_image + 0x100000
lab_tick_idt_pointer:
  .word 0x107
  .long tick_idt

lab_tick_start:
  cli
  cld
  mov esp, tick_stack
  lgdt ds:[tick_gdt_pointer]
  .byte 0xea
  .long lab_tick_flat - lab_tick_image + 0x100000
  .word 8
lab_tick_flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  # Vector 0x20 only.
  mov eax, offset tick_handler
  mov ebx, eax
  and eax, 0xffff
  or eax, 0x80000
  mov ds:[tick_idt + 0x100], eax
  and ebx, 0xffff0000
  or ebx, 0x8e00
  mov ds:[tick_idt + 0x104], ebx
  lidt ds:[tick_idt_pointer]
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
  mov al, 0xa9
  out 0x40, al
  mov al, 0x04
  out 0x40, al
1: sti
  hlt
  jmp 1b

lab_tick_handler:
  push eax
  inc dword ptr ds:[tick_count]
  mov al, 0x20
  out 0x20, al
  pop eax
  iretd
  .balign 4
lab_tick_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_tick_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_tick_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::span<const uint8_t> ticking_guest() { return {lab_tick_image, lab_tick_end}; }

}  // namespace ringshift::lab
