; HLT with interrupts off and no NMI to come: the machine is off.
; exit: power-off
; serial:
;   good night
%include "guest.inc"

main:
  say "good night"
  cli
  hlt
  fail "woke up"
