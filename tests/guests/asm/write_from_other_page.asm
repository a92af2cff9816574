; A loop on one page changes an instruction on another page before every call of it.
; exit: 0
; serial:
;   sum 0001869f
%include "guest.inc"

main:
  xor ebx, ebx
  mov ecx, 2000
.next:
  mov [patched + 1], ecx
  call patched
  add ebx, eax
  loop .next
  sub ebx, 2000 * 2001 / 2 - 99999
  print "sum "
  mov eax, ebx
  call print_hex
  say ""
  ret

align 4096
patched:
  mov eax, 0
  ret
