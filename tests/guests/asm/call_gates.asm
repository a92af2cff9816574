; Ring 3 calls ring 0 through a call gate with two parameters and returns by RETF 8; gates it may
; not use; conforming code, called from ring 3, stays in ring 3; RETF to ring 0 by ring 3.
; exit: 0
; serial:
;   gate 00000077
;   cs in gate 00000008
;   thousand 000003e8
;   conforming cs 0000001b
;   fault 0d error 00000040
;   fault 0d error 00000008
;   fault 0d error 00000008
;   stack restored
%include "guest.inc"

GATE  equ 0x33
GATE0 equ 0x40
CONF  equ 0x48

%macro user_fault 1
  try %%caught
  mov eax, %1
  mov edx, USER_STACK
  call run_user
  fail "ring 3 came back"
%%caught:
  call report_fault
%endmacro

main:
  call paging_on
  user_page addr(user_code)
  user_page USER_STACK - 0x1000
  call flush_tlb
  mov eax, in_gate
  mov ecx, eax
  and eax, 0xffff
  or eax, CODE0 << 16
  and ecx, 0xffff0000
  mov [gdt + (GATE & ~7)], eax
  mov [gdt + GATE0], eax
  mov eax, ecx
  or eax, 0xec02                  ; DPL 3, 32-bit, two parameters
  mov [gdt + (GATE & ~7) + 4], eax
  or ecx, 0x8c02                  ; DPL 0
  mov [gdt + GATE0 + 4], ecx
  gdt_entry CONF, 0, 0xfffff, 0xc09f
  mov eax, user_code
  mov edx, USER_STACK
  call run_user
  print "gate "
  mov eax, [USER_STACK - 0x800]
  call print_hex
  say ""
  print "cs in gate "
  mov eax, [gate_cs]
  call print_hex
  say ""
  print "thousand "
  mov eax, [gate_count]
  dec eax
  call print_hex
  say ""
  print "conforming cs "
  mov eax, [USER_STACK - 0x7fc]
  call print_hex
  say ""
  user_fault wrong_gate
  user_fault jumps_to_ring_0
  user_fault returns_to_ring_0
  cmp dword [USER_STACK - 0x7f8], USER_STACK
  jne .wrong
  say "stack restored"
  ret
.wrong:
  fail "user stack moved"

in_gate:
  mov eax, cs
  mov [gate_cs], eax
  inc dword [gate_count]
  mov eax, [esp + 8]              ; pushed last
  add eax, [esp + 12]
  retf 8
gate_cs: dd 0
gate_count: dd 0

align 4096
user_code:
  push dword 0x70
  push dword 0x07
  call GATE:0
  mov [USER_STACK - 0x800], eax
  mov [USER_STACK - 0x7f8], esp
  mov ecx, 1000
.next:
  push dword 1
  push dword 2
  call GATE:0
  loop .next
  call CONF:in_conforming
  mov [USER_STACK - 0x7fc], eax
  user_exit
in_conforming:
  mov eax, cs
  and eax, 3
  or eax, CONF
  cmp eax, CONF | 3
  jne .wrong
  mov eax, CODE3
.wrong:
  retf
wrong_gate:
  call GATE0:0
  user_exit
jumps_to_ring_0:
  jmp CODE0:user_code
returns_to_ring_0:
  push dword CODE0
  push dword user_code
  retf
align 4096
