; REP STOS and REP MOVS over code that has run: byte and dword forms, forwards and backwards.
; exit: 0
; serial:
;   00000001
;   00000040
;   00000003
;   00000004
;   00000000
%include "guest.inc"

main:
  call show
  mov edi, target                 ; sixty-four times INC EAX
  mov ecx, 64
  mov al, 0x40
  rep stosb
  call show
  mov esi, three
  mov edi, target
  mov ecx, 6
  rep movsb
  call show
  mov esi, four + 4
  mov edi, target + 4
  mov ecx, 2
  std
  rep movsd
  cld
  call show
  mov edi, target
  mov eax, 0x90909090
  mov ecx, 16
  rep stosd
show:
  xor eax, eax
  call target
  call print_hex
  say ""
  ret

three:
  mov eax, 3
  ret
align 4
four:
  mov eax, 4
  ret
  nop
  nop

align 4096
target:
  inc eax
  ret
  times 62 nop
  ret
