; A fault with no IDT at all: double fault, triple fault, the machine resets.
; exit: reset
; serial:
;   now
%include "guest.inc"

main:
  say "now"
  lidt [no_idt]
  ud2
  fail "still here"
no_idt:
  dw 0
  dd 0
