; A page table whose entries are executed: the walk sets A and D in an entry, and what runs there next
; is what the bytes then are. 03 c8 is add ecx, eax; with A 23 c8, and ecx, eax; with D, too, 63 c8,
; arpl ax, cx. The access that sets the bit is made before the entry is called, and by the instruction
; right before it.
; exit: 0
; serial:
;   add 00000004
;   and 00000001
;   arpl 00000003
;   right before: 00000001
;   right before: 00000003
%include "guest.inc"

PAGE  equ VIRTUAL + 0x10000
ENTRY equ PAGE_TABLES + (PAGE >> 12) * 4
FRESH equ 0x00c3c803              ; present, writable; its last but one byte is ret

%macro fresh_entry 0
  mov dword [ENTRY], FRESH
  invlpg [PAGE]
%endmacro

%macro expect_ecx 1
  cmp ecx, %1
  jne wrong
%endmacro

main:
  call paging_on
  mov word [ENTRY - 8], 0x158b    ; mov edx, [PAGE]; nop; nop
  mov dword [ENTRY - 6], PAGE
  mov word [ENTRY - 2], 0x9090
  mov ebp, 60
.again:
  fresh_entry
  mov eax, 3
  mov ecx, 1
  call ENTRY
  expect_ecx 4
  mov [added], ecx
  mov edx, [PAGE]                 ; A
  mov ecx, 1
  call ENTRY
  expect_ecx 1
  mov [masked], ecx
  mov [PAGE], edx                 ; D
  xor eax, eax
  mov ecx, 3
  call ENTRY
  expect_ecx 3
  cmp eax, 3
  jne wrong
  mov [adjusted], eax
  fresh_entry
  mov eax, 3
  mov ecx, 1
  call ENTRY - 8                  ; reads, and falls into the entry
  expect_ecx 1
  mov byte [ENTRY - 8], 0x89      ; mov [PAGE], edx
  invlpg [PAGE]
  xor eax, eax
  mov ecx, 3
  call ENTRY - 8
  expect_ecx 3
  cmp eax, 3
  jne wrong
  mov byte [ENTRY - 8], 0x8b
  dec ebp
  jnz .again
  print "add "
  mov eax, [added]
  call print_hex
  say ""
  print "and "
  mov eax, [masked]
  call print_hex
  say ""
  print "arpl "
  mov eax, [adjusted]
  call print_hex
  say ""
  say "right before: 00000001"
  say "right before: 00000003"
  ret

wrong:
  mov eax, ecx
  call print_hex
  fail " in ECX"

align 4
added: dd 0
masked: dd 0
adjusted: dd 0
