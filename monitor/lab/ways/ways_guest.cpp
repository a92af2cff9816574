#include "monitor/lab/ways/ways_guest.h"

// 32-bit code, assembled with the program; link addresses begin at 1 MiB.
// clang-format off
asm(R"guest(
  .section .rodata
  .code32
  .intel_syntax noprefix
  .macro ways_at name
  .set ways_\name, lab_ways_\name - lab_ways_image + 0x100000
  .endm
  # What an event pushes beside what the processor has pushed, a number and an error code, and how
  # it is taken back; and the same for the call that returns, with the segments that user code has.
  .macro ways_save
  push ds; push es; push fs; push gs
  pushad; mov eax, 0x2b; mov ds, eax; mov es, eax
  .endm
  .macro ways_restore
  popad; pop gs; pop fs; pop es
  pop ds; add esp, 8; iretd
  .endm
  .macro ways_frame
  push 0x2b; push 0x2b; push 0; push 0
  pushad
  .endm
  ways_at gdt; ways_at gdt_pointer; ways_at idt_pointer; ways_at tss
  ways_at unexpected; ways_at system_call; ways_at tick; ways_at user
  ways_at calls; ways_at ticks; ways_at count; ways_at good
  ways_at text
  # Addresses of the machine.
  .set ways_idt, 0x110000
  .set ways_updates, 0x120000    # 64 of 16 bytes
  .set ways_code, 0x130000
  .set ways_shared, 0x131000
  .set ways_stack, 0x180000
  .set ways_user_stack, 0x1c1000
  .set ways_directory, 0x200000
  .set ways_table, 0x201000
  .set ways_window_table, 0x202000
  .set ways_other_directory, 0x203000
  .set ways_other_table, 0x204000
  .set ways_frames, 0x210000     # 128 pages, each with its number in its first word
  .set ways_window, 0x400000     # 64 pages

  .balign 4096
lab_ways_image:
  .long 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  .long 0x100000, 0x100000, 0, 0, lab_ways_start - lab_ways_image + 0x100000
lab_ways_gdt:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0
  .quad 0x00cffb000000ffff       # 0x23, and 0x2b: what flat segments are on the host, too, so that
  .quad 0x00cff3000000ffff       # loading them deprivileged does what it should
  .quad 0
lab_ways_gdt_pointer:
  .word 55
  .long ways_gdt
lab_ways_idt_pointer:
  .word 2047
  .long ways_idt
  .balign 4
lab_ways_calls: .long 0          # 1: by calls
lab_ways_ticks: .long 0
lab_ways_count: .long 0
lab_ways_good: .long 0
lab_ways_text: .ascii "the quick brown fox jumps over the lazy dog, and back again ...\n"
  .balign 16
lab_ways_tss:
  .long 0, ways_stack, 0x10
  .zero 88
  .word 0, 104

  # EAX is the vector, EBX the handler, EDX 0x8e00 or the like.
lab_ways_gate:
  lea edi, [ways_idt + eax * 8]; mov eax, ebx; and eax, 0xffff; or eax, 0x80000
  mov [edi], eax; and ebx, 0xffff0000; or ebx, edx; mov [edi + 4], ebx
  ret

lab_ways_start:
  cli; cld; mov esp, ways_stack
  mov eax, [ebx + 16]            # the command line: its last word is "calls" or "native"
9: inc eax; cmp byte ptr [eax], 0; jne 9b; cmp byte ptr [eax - 1], 0x73
  sete byte ptr ds:[ways_calls]; mov eax, offset ways_tss; mov ebx, offset ways_gdt
  mov word ptr [ebx + 48], 103; mov [ebx + 50], ax; shr eax, 16; mov [ebx + 52], al
  mov byte ptr [ebx + 53], 0x89; mov [ebx + 55], ah; lgdt ds:[ways_gdt_pointer]
  .byte 0xea
  .long lab_ways_flat - lab_ways_image + 0x100000
  .word 8
lab_ways_flat:
  mov eax, 0x10; mov ss, eax; mov eax, 0x2b; mov ds, eax
  mov es, eax; xor eax, eax; mov fs, eax; mov gs, eax
  mov eax, 0x30; ltr ax; mov ecx, 255
1: mov eax, ecx; mov ebx, offset ways_unexpected; mov edx, 0x8e00; call lab_ways_gate
  dec ecx; jns 1b; mov eax, 32; mov ebx, offset ways_tick
  mov edx, 0x8e00; cmp byte ptr ds:[ways_calls], 0; je 2f
  mov edx, 0x8f00                # events have a mask of their own
2: call lab_ways_gate; mov eax, 0x80; mov ebx, offset ways_system_call; mov edx, 0xef00
  call lab_ways_gate; lidt ds:[ways_idt_pointer]
  # 0..4 MiB are the kernel's, but for the user's program and stack; 4..8 MiB are a window.
  mov edi, ways_table; mov eax, 3; mov ecx, 1024
3: mov [edi], eax; add edi, 4; add eax, 0x1000; loop 3b
  mov eax, offset ways_user; shr eax, 12; or dword ptr [ways_table + eax * 4], 4
  or dword ptr [ways_table + 0x1c0 * 4], 4
  mov dword ptr ds:[ways_directory], ways_table + 7
  mov dword ptr ds:[ways_directory + 4], ways_window_table + 7
  mov dword ptr ds:[ways_other_directory], ways_table + 7
  mov dword ptr ds:[ways_other_directory + 4], ways_other_table + 7; mov edi, ways_frames
  xor ecx, ecx
4: mov [edi], ecx; mov eax, edi; or eax, 3; cmp ecx, 64
  jae 5f; mov [ways_window_table + ecx * 4], eax; jmp 6f
5: mov [ways_other_table + ecx * 4 - 256], eax
6: add edi, 0x1000; inc ecx; cmp ecx, 128; jb 4b
  mov eax, ways_directory; mov cr3, eax; mov eax, cr0; or eax, 0x80010000
  mov cr0, eax; cmp byte ptr ds:[ways_calls], 0; jne 7f
  # The controller of interrupts: the timer's comes at 32.
  mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al
  mov al, 4; out 0x21, al; mov al, 1; out 0x21, al
  mov al, 0xfe; out 0x21, al; jmp 8f
7: mov al, 0xff; out 0x21, al; mov ecx, 0x52530001; mov eax, ways_code + 1
  xor edx, edx; wrmsr; inc ecx; mov eax, ways_shared + 1
  wrmsr
  mov eax, 2                     # the table of the window
  mov edx, ways_window_table; call ways_call_page
  mov eax, 7                     # events come at 32
  mov edx, 32; xor ebx, ebx; call ways_call_page
8: sti

  .set ways_call_page, lab_ways_image - 0x100000 + ways_code

  # Each operation is done some times before it counts.
  .macro ways_measure number, often, routine
  mov ebp, \often / 8; call \routine; mov al, 0x80 + \number; out 0x80, al
  mov ebp, \often; call \routine; mov eax, ds:[ways_good]; shl eax, 6
  or al, \number; out 0x80, al
  .endm
  ways_measure 0, 1000, lab_ways_mask; sti; ways_measure 1, 1000, lab_ways_enter_user
  ways_measure 2, 32, lab_ways_map; ways_measure 3, 128, lab_ways_switch
  ways_measure 4, 32, lab_ways_timer; ways_measure 5, 32, lab_ways_print; xor eax, eax
  out 0xf4, al
lab_ways_unexpected:
  mov al, 1; out 0xf4, al; cli; hlt

  # EBP times each; ECX, EDX, EBX, ESI, EDI and EAX are lost.
lab_ways_mask:
  cmp byte ptr ds:[ways_calls], 0; jne 2f
1: pushfd; cli; popfd; dec ebp
  jnz 1b; jmp 4f
2: mov cl, ds:[ways_shared]; mov byte ptr ds:[ways_shared], 1; mov ds:[ways_shared], cl
  cmp dword ptr ds:[ways_shared + 4], 0; je 3f; mov eax, 8; call ways_call_page
3: dec ebp; jnz 2b
4: mov dword ptr ds:[ways_good], 1; ret

  # To the user's program, which calls so often and then once with EAX 1.
lab_ways_enter_user:
  mov dword ptr ds:[ways_count], 0; mov edi, ebp
  pop esi                        # where this returns to: the stack is the system call's from here
  push 0x2b; push ways_user_stack; push 0x202; push 0x23
  push offset ways_user; cmp byte ptr ds:[ways_calls], 0; jne 1f; iretd
1: push 0; push 0; ways_frame; jmp lab_ways_return

lab_ways_system_call:
  cmp eax, 1; je 2f; push 0; push 0x80
  cmp byte ptr ds:[ways_calls], 0; jne 1f; ways_save; inc dword ptr ds:[ways_count]
  ways_restore
1: ways_frame; inc dword ptr ds:[ways_count]
lab_ways_return:
  mov edx, esp; xor ebx, ebx; mov eax, 1; call ways_call_page
2: mov esp, ways_stack; cmp edi, ds:[ways_count]; sete byte ptr ds:[ways_good]; jmp esi

  # The window shows the frames from 64 or from 0 on, in turn.
lab_ways_map:
  mov dword ptr ds:[ways_good], 1
1: mov esi, ebp; not esi; and esi, 1
  shl esi, 6                     # the first frame's number
  xor ecx, ecx; cmp byte ptr ds:[ways_calls], 0; jne 3f
2: call lab_ways_entry; mov [ways_window_table + ecx * 4], eax; invlpg [edx]; inc ecx
  cmp ecx, 64; jb 2b; jmp 5f
3: call lab_ways_entry
  inc edx                        # bit 0: drop what is cached of it
  mov edi, ecx; shl edi, 4; mov [ways_updates + edi + 4], edx
  mov [ways_updates + edi + 8], eax; mov dword ptr [ways_updates + edi + 12], 0
  lea eax, [ways_window_table + ecx * 4]; mov [ways_updates + edi], eax; inc ecx
  cmp ecx, 64; jb 3b; mov eax, 4; mov edx, ways_updates
  mov ebx, 64; call ways_call_page
5: xor ecx, ecx
6: mov edx, ecx; shl edx, 12; mov eax, [ways_window + edx]; sub eax, ecx
  cmp eax, esi; je 7f; mov dword ptr ds:[ways_good], 0
7: inc ecx; cmp ecx, 64; jb 6b; dec ebp
  jnz 1b; ret

  # EAX: the entry for page ECX of the window, EDX: the page.
lab_ways_entry:
  lea eax, [esi + ecx]; shl eax, 12; add eax, ways_frames + 3; mov edx, ecx
  shl edx, 12; add edx, ways_window; ret

  # There and back: two each.
lab_ways_switch:
  mov dword ptr ds:[ways_good], 1; mov esi, ds:[ways_window]
1: mov edx, ways_other_directory; call lab_ways_load; cmp dword ptr ds:[ways_window], 64; je 2f
  mov dword ptr ds:[ways_good], 0
2: mov edx, ways_directory; call lab_ways_load; cmp ds:[ways_window], esi; je 3f
  mov dword ptr ds:[ways_good], 0
3: dec ebp; jnz 1b; ret
lab_ways_load:
  cmp byte ptr ds:[ways_calls], 0; jne 1f; mov cr3, edx; ret
1: mov eax, 5; jmp ways_call_page

  # Some 50 microseconds.
lab_ways_timer:
  mov dword ptr ds:[ways_ticks], 0; mov edi, ebp
1: cmp byte ptr ds:[ways_calls], 0; jne 2f; cli; mov al, 0x30
  out 0x43, al; mov al, 60; out 0x40, al; xor al, al
  out 0x40, al; sti; hlt; jmp 3f
2: mov eax, 13                   # what time is it?
  xor edx, edx; call ways_call_page; add eax, 50000; adc edx, 0
  mov ebx, edx; mov edx, eax; xor esi, esi
  mov eax, 11                    # an event then, and nothing until an event
  call ways_call_page
3: dec ebp; jnz 1b; cmp edi, ds:[ways_ticks]; mov eax, 0
  sete al; mov ds:[ways_good], eax; ret

lab_ways_tick:
  push 0; push 32; cmp byte ptr ds:[ways_calls], 0; jne 1f
  ways_save; inc dword ptr ds:[ways_ticks]; mov al, 0x20; out 0x20, al
  ways_restore
1: ways_frame; inc dword ptr ds:[ways_ticks]; mov dword ptr ds:[ways_shared + 4], 0
  jmp lab_ways_return

lab_ways_print:
  mov dword ptr ds:[ways_good], 1
1: cmp byte ptr ds:[ways_calls], 0; jne 3f; mov edx, 0x3f8; mov esi, offset ways_text
  mov ecx, 64
2: mov al, [esi]; out dx, al; inc esi; dec ecx
  jnz 2b; jmp 4f
3: mov eax, 14; mov edx, offset ways_text; mov ebx, 64; call ways_call_page
  cmp eax, 64; je 4f; mov dword ptr ds:[ways_good], 0
4: dec ebp; jnz 1b; ret

  .balign 4096
lab_ways_user:
  xor eax, eax
1: int 0x80; dec ebp; jnz 1b; inc eax
  int 0x80
2: jmp 2b
  .balign 4
lab_ways_end:

  .att_syntax prefix
  .code64
  .text
)guest");
// clang-format on

extern "C" {
extern const uint8_t lab_ways_image[] __attribute__((visibility("hidden")));
extern const uint8_t lab_ways_end[] __attribute__((visibility("hidden")));
}

namespace ringshift::lab {

std::span<const uint8_t> ways_guest() { return {lab_ways_image, lab_ways_end}; }

}  // namespace ringshift::lab
