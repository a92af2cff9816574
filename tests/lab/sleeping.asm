; Halts for ever with interrupts on, and nothing to interrupt it.
%include "guest.inc"
start:
  mov esp, 0x200000
  mov al, 0xff                    ; both interrupt controllers masked
  out 0x21, al
  out 0xa1, al
  sti
again:
  hlt
  jmp again
