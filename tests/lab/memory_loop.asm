; For three: a loop whose turns differ in memory only. Wherever it is interrupted, all registers are
; those of every other turn.
%include "guest.inc"
start:
  mov esp, 0x200000
  mov dword [0x180004], 16000000
again:
  add dword [0x180000], 3
  dec dword [0x180004]
  jnz again
  mov al, 7
  out 0xf4, al
  hlt
