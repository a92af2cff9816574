; Port 0x64 command 0xfe pulses the reset line.
; exit: reset
; serial:
;   now
%include "guest.inc"

main:
  say "now"
  mov al, 0xfe
  out 0x64, al
.wait:
  jmp .wait
