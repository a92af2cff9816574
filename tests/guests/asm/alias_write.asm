; Two linear pages on one frame: code runs through one and is written through the other, with
; translations of both in use.
; exit: 0
; serial:
;   00000011 00000011
;   00000022 00000022
;   00000033 00000033
%include "guest.inc"

RUN_AT   equ VIRTUAL
WRITE_AT equ VIRTUAL + 0x5000

main:
  call paging_on
  map RUN_AT, SPARE | P | W
  map WRITE_AT, SPARE | P | W
  mov byte [WRITE_AT], 0xb8       ; mov eax, 0x11; ret
  mov dword [WRITE_AT + 1], 0x11
  mov byte [WRITE_AT + 5], 0xc3
  call show
  mov byte [WRITE_AT + 1], 0x22
  call show
  mov byte [RUN_AT + 1], 0x33
show:
  mov ecx, RUN_AT
  call ecx
  call print_hex
  print " "
  mov ecx, WRITE_AT
  call ecx
  call print_hex
  say ""
  ret
