; Resets by the keyboard controller as soon as it runs.
[map symbols resets.map]
%include "guest.inc"

main:
  mov al, 0xfe
  out 0x64, al
.wait:
  jmp .wait
