; For the census: known numbers of sensitive instructions, some of them executed 1000 times.
%include "guest.inc"
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
