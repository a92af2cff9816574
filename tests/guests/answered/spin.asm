; Says that it is there, and computes for ever. With -DMASKED nothing can interrupt it.
%include "guest.inc"
main:
  mov al, '.'
  mov edx, 0x3f8
  out dx, al
  mov al, 10
  out dx, al
%ifdef MASKED
  cli
%endif
.again:
  inc ebx
  jmp .again
