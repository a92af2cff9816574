; Halts for ever with interrupts on, and nothing to interrupt it.
bits 32
org 0x100000
image:
  align 4
header:
  dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  dd header, image, 0, 0, start
start:
  mov esp, 0x200000
  mov al, 0xff                    ; both interrupt controllers masked
  out 0x21, al
  out 0xa1, al
  sti
again:
  hlt
  jmp again
