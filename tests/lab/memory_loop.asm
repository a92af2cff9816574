; For three: a loop whose turns differ in memory only. Wherever it is interrupted, all registers are
; those of every other turn.
bits 32
org 0x100000
image:
  align 4
header:
  dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  dd header, image, 0, 0, start
start:
  mov esp, 0x200000
  mov dword [0x180004], 4000000
again:
  add dword [0x180000], 3
  dec dword [0x180004]
  jnz again
  mov al, 7
  out 0xf4, al
  hlt
