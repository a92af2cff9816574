; INIT to the one processor there is: not implemented, and said so.
; exit: unimplemented
; serial:
;   init
%include "guest.inc"

main:
  say "init"
  mov dword [0xfee00310], 0
  mov dword [0xfee00300], 5 << 8 | 1 << 14
.wait:
  jmp .wait
