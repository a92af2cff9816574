; The mouse in wrap mode gives back all it is sent, 5,000 times, and then remembers the last byte
; alone: the answer to "again" is as long as one answer.
; exit: 0
; serial:
;   again 55
;   end
%include "guest.inc"

main:
  mov al, 0xa8                    ; the mouse's port is on
  out 0x64, al
  mov bl, 0xee
  call to_mouse
  call from_mouse
  mov ecx, 5000
.next:
  mov bl, 0x55
  call to_mouse
  call from_mouse
  cmp al, 0x55
  jne wrong
  loop .next
  mov bl, 0xec                    ; out of wrap mode: acknowledged
  call to_mouse
  call from_mouse
  cmp al, 0xfa
  jne wrong
  mov bl, 0xee
  call to_mouse
  call from_mouse
  mov bl, 0x55
  call to_mouse
  call from_mouse
  print "again "
  call print_byte
  say ""
  in al, 0x64
  test al, 1                      ; nothing more
  jnz wrong
  say "end"
  finish 0
wrong:
  fail "the mouse says something else"

to_mouse:                         ; BL
  mov al, 0xd4
  out 0x64, al
  mov al, bl
  out 0x60, al
  ret
from_mouse:                       ; to AL
  in al, 0x64
  test al, 1
  jz wrong
  in al, 0x60
  ret
