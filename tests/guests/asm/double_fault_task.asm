; A page fault that cannot be pushed (ESP in no page) becomes a double fault, which goes through a
; task gate to a stack of its own; the old task's state is in its TSS. It returns by IRET.
; exit: 0
; serial:
;   double fault error 00000000
;   old esp 00900000
;   nt set, busy
;   back in the old task
%include "guest.inc"

DF_TSS equ 0x30
DF_STACK equ STACK_TOP - 0x20000

main:
  call paging_on
  gdt_entry DF_TSS, DOUBLE_TSS, 103, 0x89
  mov dword [DOUBLE_TSS + 28], PAGE_DIR
  mov dword [DOUBLE_TSS + 32], on_double_fault
  mov dword [DOUBLE_TSS + 36], 2
  mov dword [DOUBLE_TSS + 56], DF_STACK
  mov dword [DOUBLE_TSS + 72], DATA0
  mov dword [DOUBLE_TSS + 76], CODE0
  mov dword [DOUBLE_TSS + 80], DATA0
  mov dword [DOUBLE_TSS + 84], DATA0
  mov dword [TSS_AREA + 28], PAGE_DIR
  mov dword [IDT_AREA + 8 * 8], DF_TSS << 16
  mov dword [IDT_AREA + 8 * 8 + 4], 0x8500
  mov ebp, esp
  mov ebx, 0x600d
  mov esp, VIRTUAL + 0x100000
  push eax                        ; #PF, and its frame cannot be pushed
.back:
  mov esp, ebp
  cmp ebx, 0x600d
  jne .wrong
  say "back in the old task"
  ret
.wrong:
  fail "a register changed"

on_double_fault:
  pop eax
  print "double fault error "
  call print_hex
  say ""
  print "old esp "
  mov eax, [TSS_AREA + 56]
  call print_hex
  say ""
  pushfd
  test dword [esp], 0x4000
  jz .not_nested
  print "nt set"
.not_nested:
  popfd
  cmp byte [gdt + DF_TSS + 5], 0x8b
  jne .not_busy
  print ", busy"
.not_busy:
  say ""
  mov dword [TSS_AREA + 32], main.back
  iret
