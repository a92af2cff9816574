#include "monitor/lab/parts/guests/demonstration_guest.h"

// A small kernel with a user program: 32-bit code, assembled with the program; link addresses begin
// at 1 MiB. The user program sieves, sorts and adds up checksums on pages that come as it touches
// them, calls its kernel, and tries once an instruction that a user program may not use.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  .set work_gdt_pointer, lab_work_gdt_pointer - lab_work_image + 0x100000
  .set work_idt_pointer, lab_work_idt_pointer - lab_work_image + 0x100000
  .set work_unexpected, lab_work_unexpected - lab_work_image + 0x100000
  .set work_refuse, lab_work_refuse - lab_work_image + 0x100000
  .set work_page_fault, lab_work_page_fault - lab_work_image + 0x100000
  .set work_tick, lab_work_tick - lab_work_image + 0x100000
  .set work_call, lab_work_call - lab_work_image + 0x100000
  .set work_user, lab_work_user - lab_work_image + 0x100000
  .set work_ticks, lab_work_ticks - lab_work_image + 0x100000
  .set work_next_frame, lab_work_next_frame - lab_work_image + 0x100000
  .set work_tss, lab_work_tss - lab_work_image + 0x100000
  # Addresses of the machine.
  .set work_idt, 0x110000
  .set work_directory, 0x200000
  .set work_table, 0x201000
  .set work_heap_table, 0x202000
  .set work_kernel_stack, 0x180000
  .set work_user_stack, 0x1c1000
  .set work_heap, 0x400000
  .set work_heap_end, 0x600000

  .balign 4096
lab_work_image:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_work_start - lab_work_image + 0x100000
lab_work_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0x00cffb000000ffff
  .quad 0x00cff3000000ffff
  .quad 0
lab_work_gdt_pointer:
  .word 47
  .long lab_work_gdt - lab_work_image + 0x100000
lab_work_idt_pointer:
  .word 2047
  .long work_idt
lab_work_ticks: .long 0
lab_work_next_frame: .long 0x300000
  .balign 16
lab_work_tss:
  .long 0, work_kernel_stack, 0x10
  .zero 88
  .word 0, 104                   # no map of ports: none is the user's

  # EAX is the vector, EBX the handler, EDX 0x8e00, or 0xee00 for all rings.
lab_work_gate:
  lea edi, [work_idt + eax * 8]
  mov eax, ebx
  and eax, 0xffff
  or eax, 0x80000
  mov [edi], eax
  and ebx, 0xffff0000
  or ebx, edx
  mov [edi + 4], ebx
  ret

lab_work_start:
  cli
  cld
  mov esp, work_kernel_stack
  # The descriptor of the task: its base is this image's.
  mov eax, offset work_tss
  mov ebx, offset work_gdt_pointer
  mov ebx, [ebx + 2]
  mov word ptr [ebx + 40], 103
  mov [ebx + 42], ax
  shr eax, 16
  mov [ebx + 44], al
  mov byte ptr [ebx + 45], 0x89
  mov [ebx + 47], ah
  lgdt ds:[work_gdt_pointer]
  .byte 0xea
  .long lab_work_flat - lab_work_image + 0x100000
  .word 8
lab_work_flat:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov eax, 0x28
  ltr ax
  # Gates: everything is unexpected but for five.
  mov ecx, 255
1: mov eax, ecx
  mov ebx, offset work_unexpected
  mov edx, 0x8e00
  call lab_work_gate
  dec ecx
  jns 1b
  mov eax, 13
  mov ebx, offset work_refuse
  call lab_work_gate
  mov eax, 14
  mov ebx, offset work_page_fault
  call lab_work_gate
  mov eax, 32
  mov ebx, offset work_tick
  call lab_work_gate
  mov eax, 0x80
  mov ebx, offset work_call
  mov edx, 0xee00
  call lab_work_gate
  lidt ds:[work_idt_pointer]
  # 0..4 MiB are the kernel's, but for the user's program and stack; 4..8 MiB are empty.
  mov edi, work_table
  mov eax, 3
  mov ecx, 1024
2: stosd
  add eax, 0x1000
  loop 2b
  mov eax, offset work_user
  shr eax, 12
  or dword ptr [work_table + eax * 4], 4
  or dword ptr [work_table + 0x1c0 * 4], 4
  mov dword ptr [work_directory], work_table + 7
  mov dword ptr [work_directory + 4], work_heap_table + 7
  mov eax, work_directory
  mov cr3, eax
  mov eax, cr0
  or eax, 0x80010000
  mov cr0, eax
  # The clock, a hundred times a second.
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
  mov al, 0x9c
  out 0x40, al
  mov al, 0x2e
  out 0x40, al
  # To the user's program, with interrupts on.
  mov eax, 0x23
  mov ds, eax
  mov es, eax
  push 0x23
  push work_user_stack
  push 0x202
  push 0x1b
  push offset work_user
  iretd

lab_work_unexpected:
  mov al, 1
  out 0xf4, al
  cli
  hlt

  # What is refused goes on where the user's EBP says.
lab_work_refuse:
  add esp, 4
  mov [esp], ebp
  iretd

lab_work_page_fault:
  push eax
  mov eax, cr2
  cmp eax, work_heap
  jb 1f
  cmp eax, work_heap_end
  jae 1f
  push ecx
  push edi
  push ds
  push es
  mov ecx, 0x10
  mov ds, ecx
  mov es, ecx
  # A frame of zeros.
  mov edi, ds:[work_next_frame]
  add dword ptr ds:[work_next_frame], 0x1000
  shr eax, 12
  and eax, 0x3ff
  mov ecx, edi
  or ecx, 7
  mov [work_heap_table + eax * 4], ecx
  xor eax, eax
  mov ecx, 1024
  rep stosd
  pop es
  pop ds
  pop edi
  pop ecx
  pop eax
  add esp, 4
  iretd
1: pop eax
  jmp lab_work_refuse

lab_work_tick:
  push eax
  push ds
  mov eax, 0x10
  mov ds, eax
  inc dword ptr ds:[work_ticks]
  mov al, 0x20
  out 0x20, al
  pop ds
  pop eax
  iretd

  # EAX 0: print BL. 1: how many ticks so far? 2: end with BL.
lab_work_call:
  push ds
  push edx
  mov edx, 0x10
  mov ds, edx
  cmp eax, 1
  je 1f
  ja 2f
  # As kernels do it: the flags kept, interrupts off while the line is in use.
  pushfd
  cli
  mov dx, 0x3f8
  mov al, bl
  out dx, al
  popfd
  jmp 3f
1: mov eax, ds:[work_ticks]
  jmp 3f
2: mov al, bl
  out 0xf4, al
3: pop edx
  pop ds
  iretd

  .balign 4096
lab_work_user:
  mov esi, work_heap
  mov ecx, 48
lab_work_round:
  push ecx
  call lab_work_sieve
  call lab_work_numbers
  call lab_work_checksum
  add esi, 0x4000
  mov ebx, 0x2e
  xor eax, eax
  int 0x80
  mov eax, 1
  int 0x80
  pop ecx
  loop lab_work_round
  mov ebx, 10
  xor eax, eax
  int 0x80
  jmp lab_work_forbidden

  # A byte for each number below 8192 at ESI: 1 where it is no prime.
lab_work_sieve:
  mov ecx, 2
1: cmp byte ptr [esi + ecx], 0
  jne 3f
  mov eax, ecx
  add eax, ecx
2: cmp eax, 8192
  jae 3f
  mov byte ptr [esi + eax], 1
  add eax, ecx
  jmp 2b
3: inc ecx
  cmp ecx, 91
  jb 1b
  ret

  # 96 numbers at ESI + 8192, put in order by insertion.
lab_work_numbers:
  lea edi, [esi + 8192]
  mov eax, esi
  xor ecx, ecx
1: imul eax, eax, 1103515245
  add eax, 12345
  mov edx, ecx
2: test edx, edx
  jz 3f
  mov ebx, [edi + edx * 4 - 4]
  cmp ebx, eax
  jbe 3f
  mov [edi + edx * 4], ebx
  dec edx
  jmp 2b
3: mov [edi + edx * 4], eax
  inc ecx
  cmp ecx, 96
  jb 1b
  ret

  # Fletcher's sums over the sieve.
lab_work_checksum:
  xor eax, eax
  xor ebx, ebx
  xor ecx, ecx
1: movzx edx, byte ptr [esi + ecx]
  add eax, edx
  add ebx, eax
  inc ecx
  cmp ecx, 8192
  jb 1b
  mov [esi + 12288], eax
  mov [esi + 12292], ebx
  ret

  .macro lab_work_try code:vararg
    call 77f
    jmp 78f
  77: pop ebp
    \code
  78:
  .endm
lab_work_forbidden:
  lab_work_try cli
  lab_work_try hlt
  lab_work_try in al, 0x60
  lab_work_try out 0x20, al
  lab_work_try mov eax, cr0
  lab_work_try mov cr3, eax
  lab_work_try lgdt [esi]
  lab_work_try wrmsr
  lab_work_try mov dword ptr [0x100000], 0
  lab_work_try mov eax, [0x800000]
  mov eax, 2
  xor ebx, ebx
  int 0x80
1: jmp 1b
  .balign 4
lab_work_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_work_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_work_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::span<const uint8_t> working_guest() { return {lab_work_image, lab_work_end}; }

}  // namespace ringshift::lab
