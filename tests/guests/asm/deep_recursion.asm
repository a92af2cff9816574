; 200,000 calls deep and back, twice; the return stack of any implementation overflows.
; exit: 0
; serial:
;   00030d40
;   00030d40
%include "guest.inc"

main:
  call once
once:
  xor ebx, ebx
  mov ecx, 200000
  mov ebp, esp
  mov esp, 0x1c00000              ; room for the levels below
  call descend
  mov esp, ebp
  mov eax, ebx
  call print_hex
  say ""
  ret

descend:
  dec ecx
  jz .bottom
  call descend
.bottom:
  inc ebx
  ret
