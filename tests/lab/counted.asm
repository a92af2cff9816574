; For the census: known numbers of sensitive instructions, some of them executed 1000 times.
bits 32
org 0x100000
image:
  align 4
header:
  dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
  dd header, image, 0, 0, start
  times 16 nop                    ; the linear sweep finds its feet here
start:
  mov esp, 0x200000
  mov ecx, 1000
again:
  pushfd
  popfd
  mov eax, cs
  dec ecx
  jnz again
  cli
  smsw eax
  mov al, 5
  out 0xf4, al
  hlt
unreached:
  sgdt [esp]
  sgdt [esp]
  str eax
