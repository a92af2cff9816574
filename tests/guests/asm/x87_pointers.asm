; The instruction, the data and the opcode of the last x87 instruction, stored in each of the ways
; that there are: exact_test.py compares the memory that each engine leaves.
; exit: 0
; serial:
;   stored
%include "guest.inc"

main:
  mov eax, cr0
  and eax, ~0xe                   ; no EM, no TS
  or eax, 0x22                    ; MP, NE
  mov cr0, eax
  mov eax, cr4
  or eax, 0x600                   ; OSFXSR, OSXMMEXCPT
  mov cr4, eax
  fninit
  mov esi, 300
.next:
  fild dword [one]
  fadd dword [half]
  fstp dword [half]
  fnstenv [x87_environment]
  fldenv [x87_environment]
  fld1
  fxsave [fx_image]
  fxrstor [fx_image]
  fstp st0
  fnsave [x87_image]
  dec esi
  jnz .next
  say "stored"
  finish 0

one: dd 1
half: dd 0.5

align 16
fx_image: times 512 db 0
x87_environment: times 28 db 0
x87_image: times 108 db 0
