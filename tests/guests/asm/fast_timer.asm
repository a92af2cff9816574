; exit: 0
; skip: verify-every=1: a verification takes longer than a tick, so that the handler is all that runs
; skip: refuse-every=3: the same
; skip: trace: the same
; skip: all: the same
;
; An interval timer with a tick every 17 us, which is less than it takes many hosts to call the
; monitor: its interrupts are late, and the guest comes on all the same, in its handler and outside.
%include "guest.inc"
main:
  mov ecx, 20
  call start_timer
  sti
.next:
  cmp dword [ticks], 200
  jb .next
.halted:
  hlt
  cmp dword [ticks], 400
  jb .halted
  cli
  finish 0
