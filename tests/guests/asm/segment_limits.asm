; Segments that are not flat: limits in bytes and pages, expand-down, bases, null selectors, stack
; limits (#SS), execute-only and read-only, not present, privilege; at ring 0 and by value.
; exit: 0
; serial:
;   inside 00000055
;   fault 0d error 00000000
;   fault 0d error 00000000
;   base 12345678
;   fault 0d error 00000000
;   down 0badcafe
;   fault 0d error 00000000
;   fault 0c error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0d error 00000000
;   fault 0b error 00000058
;   fault 0d error 00000060
;   fault 0d error 000000f8
;   fault 0d error 00000100
;   null 00000000
%include "guest.inc"

SMALL equ 0x30                    ; 0..0xff at SPARE
DOWN  equ 0x38                    ; 0x1000.. expand down, base SPARE
BASED equ 0x40                    ; base SPARE + 0x2000
RONLY equ 0x50
STACK equ 0x48                    ; 0..0x2fffff
GONE  equ 0x58
SYSTEM equ 0x60

; segment register, selector, instruction: must fault
%macro faults 3+
  try %%caught
  mov edx, %2
  mov %1, edx
  %3
  fail "no fault"
%%caught:
  mov edx, DATA0
  mov ds, edx
  mov es, edx
  call report_fault
%endmacro

%macro load 2
  mov edx, %2
  mov %1, edx
%endmacro

main:
  gdt_entry SMALL, SPARE, 0xff, 0x4093
  gdt_entry DOWN, SPARE, 0xfff, 0x4097
  gdt_entry BASED, SPARE + 0x2000, 0xfffff, 0xc093
  gdt_entry RONLY, 0, 0xfffff, 0xc091
  gdt_entry GONE, 0, 0xfffff, 0xc013
  gdt_entry SYSTEM, 0, 0xfffff, 0xc089
  mov byte [SPARE + 0xff], 0x55
  load ds, SMALL
  movzx eax, byte [0xff]
  load ds, DATA0
  print "inside "
  call print_hex
  say ""
  faults ds, SMALL, mov al, [0x100]
  faults ds, SMALL, mov eax, [0xfd]          ; starts inside
  mov dword [SPARE + 0x2010], 0x12345678
  load es, BASED
  mov eax, [es:0x10]
  print "base "
  call print_hex
  say ""
  faults ds, DOWN, mov eax, [0xffc]
  mov dword [SPARE + 0x1000], 0x0badcafe
  load ds, DOWN
  mov eax, [0x1000]
  load ds, DATA0
  print "down "
  call print_hex
  say ""
  faults ds, DOWN, mov eax, [0xffe]
  gdt_entry STACK, 0, 0x2ff, 0xc093
  try .stack
  load ss, STACK
  mov ebp, 0x2ffffd
  mov eax, [ebp]                  ; ends beyond the limit
  fail "no fault"
.stack:
  call report_fault
  faults ds, RONLY, mov [SPARE], eax
  faults es, 0, mov eax, [es:SPARE]
  faults es, 3, mov [es:SPARE], eax
  faults ds, GONE, nop
  faults ds, SYSTEM, nop
  faults ds, 0xf8, nop
  faults ds, 0x100, nop
  load gs, 0
  mov eax, gs
  print "null "
  call print_hex
  say ""
  ret
