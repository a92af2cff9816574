; A write into the running block: the very next instruction, and the one after that.
; exit: 0
; serial:
;   next 00000002
;   after 00000003
;   again 00000002 00000003
%include "guest.inc"

main:
  mov ebx, 2
.again:
  mov byte [.next + 1], 1
  mov byte [.after + 1], 1
  mov byte [.next + 1], 2         ; changes the instruction that follows
.next:
  mov eax, 1
  mov esi, eax
  mov byte [.after + 1], 3        ; changes the one after the next
  nop
.after:
  mov eax, 1
  mov edi, eax
  dec ebx
  jz .second
  print "next "
  mov eax, esi
  call print_hex
  say ""
  print "after "
  mov eax, edi
  call print_hex
  say ""
  jmp .again
.second:
  print "again "
  mov eax, esi
  call print_hex
  print " "
  mov eax, edi
  call print_hex
  say ""
  ret
