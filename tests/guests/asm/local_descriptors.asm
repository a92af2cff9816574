; LDT: segments in it, LLDT of another, selectors after the change, errors name the LDT.
; exit: 0
; serial:
;   first 00000aaa
;   second 00000bbb
;   sldt 00000038
;   fault 0d error 0000001c
;   fault 0d error 0000000c
;   code 00000123
%include "guest.inc"

LDT_A equ 0x30
LDT_B equ 0x38

main:
  gdt_entry LDT_A, ldt_a, 15, 0x82
  gdt_entry LDT_B, ldt_b, 23, 0x82
  mov dword [SPARE], 0xaaa
  mov dword [SPARE + 0x1000], 0xbbb
  mov eax, LDT_A
  lldt ax
  print "first "
  mov eax, 0x0c                   ; index 1, LDT
  mov fs, eax
  mov eax, [fs:0]
  call print_hex
  say ""
  mov eax, LDT_B
  lldt ax
  print "second "
  mov eax, 0x0c
  mov fs, eax
  mov eax, [fs:0]
  call print_hex
  say ""
  print "sldt "
  xor eax, eax
  sldt eax
  call print_hex
  say ""
  try .beyond
  mov eax, 0x1c
  mov fs, eax
  fail "no fault"
.beyond:
  call report_fault
  xor eax, eax
  lldt ax
  try .no_ldt
  mov eax, 0x0c
  mov fs, eax
  fail "no fault"
.no_ldt:
  call report_fault
  mov eax, LDT_B
  lldt ax
  call 0x14:in_ldt                ; code segment in the LDT, flat
  print "code "
  call print_hex
  say ""
  ret

in_ldt:
  mov eax, 0x123
  retf

%define SPARE_HIGH (SPARE >> 16)
align 8
ldt_a:
  dq 0
  dw 0xff, 0, (0x93 << 8) | SPARE_HIGH, 0x40
ldt_b:
  dq 0
  dw 0xff, 0x1000, (0x93 << 8) | SPARE_HIGH, 0x40
  dq 0x00cf9b000000ffff
