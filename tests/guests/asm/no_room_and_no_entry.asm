; A far transfer whose frame has no room on the stack and whose entry point lies outside its code
; segment: the stack's fault comes first (SDM 2A CALL, INT n). Each then with a stack that has room.
; The inner ring is ring 1, so that the faults find a good stack in ring 0.
; exit: 0
; serial:
;   far call
;   fault 0c error 00000000
;   fault 0d error 00000000
;   call gate
;   fault 0c error 00000040
;   fault 0d error 00000000
;   interrupt gate
;   fault 0c error 00000040
;   fault 0d error 00000000
%include "guest.inc"

GATE        equ 0x33
SHORT_CODE1 equ 0x39
NO_ROOM1    equ 0x41
SHORT_CODE3 equ 0x4b
NO_ROOM3    equ 0x53
DATA1       equ 0x59
VECTOR      equ 0x70
BAD_ENTRY   equ 0x5678

%macro in_ring_3 1
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
  gdt_entry SHORT_CODE1, 0, 0xff, 0x40bb
  gdt_entry NO_ROOM1, 0, 7, 0x40b3
  gdt_entry SHORT_CODE3, 0, 0xff, 0x40fb
  gdt_entry NO_ROOM3, 0, 0xfff, 0x40f3
  gdt_entry DATA1, 0, 0xfffff, 0xc0b3
  mov dword [gdt + (GATE & ~7)], BAD_ENTRY | SHORT_CODE1 << 16
  mov dword [gdt + (GATE & ~7) + 4], 0xec02
  mov dword [IDT_AREA + VECTOR * 8], BAD_ENTRY | SHORT_CODE1 << 16
  mov dword [IDT_AREA + VECTOR * 8 + 4], 0xee00
  mov dword [TSS_AREA + 12], STACK_TOP - 0x8000
  say "far call"
  in_ring_3 calls_without_room
  in_ring_3 calls
  say "call gate"
  mov dword [TSS_AREA + 16], NO_ROOM1
  in_ring_3 calls_gate
  mov dword [TSS_AREA + 16], DATA1
  in_ring_3 calls_gate
  say "interrupt gate"
  mov dword [TSS_AREA + 16], NO_ROOM1
  in_ring_3 interrupts
  mov dword [TSS_AREA + 16], DATA1
  in_ring_3 interrupts
  ret

align 4096
user_code:
calls_without_room:
  mov eax, NO_ROOM3
  mov ss, eax
  mov esp, 0x1004
calls:
  call SHORT_CODE3:BAD_ENTRY
calls_gate:
  call GATE:0
interrupts:
  int VECTOR
align 4096
