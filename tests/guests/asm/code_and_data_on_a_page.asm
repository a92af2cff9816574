; A hot counter on the page of the loop that increments it.
; exit: 0
; serial:
;   counter 000186a0
;   below 00002710
%include "guest.inc"

main:
  mov ecx, 100000
.next:
  inc dword [counter]
  add [sum], ecx
  dec ecx
  jnz .next
  print "counter "
  mov eax, [counter]
  call print_hex
  say ""
  mov ecx, 10000
.push:                            ; the stack is data as well
  mov edx, esp
  mov esp, local_stack
  push ecx
  inc dword [counter]
  pop eax
  mov esp, edx
  loop .push
  print "below "
  mov eax, [counter]
  sub eax, 100000
  call print_hex
  say ""
  ret
  align 4
counter: dd 0
sum: dd 0
  times 16 dd 0
local_stack:
